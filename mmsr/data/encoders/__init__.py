"""From texts to feature vectors."""
