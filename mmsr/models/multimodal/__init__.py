"""Sequential models that read feature vectors of items, and their parts."""
