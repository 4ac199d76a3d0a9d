"""Commands of trained models: recommendations, and vectors."""
