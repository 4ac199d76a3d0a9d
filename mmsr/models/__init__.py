"""Models: MMSR, its aggregators, fusions and readouts."""
