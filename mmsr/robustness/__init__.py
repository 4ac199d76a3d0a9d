"""The robustness of a trained model to missing modalities: curves, knock-outs, plots, records."""
