"""Trained models at work: they recommend, explain, and give vectors. Knows nothing of training."""
