"""What missing modalities cost a trained model: curves, knock-outs, plots and their record."""
