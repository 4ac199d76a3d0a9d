"""Reference models: what popularity and item-to-item similarities reach without any training.

They are fitted to the interactions that models are trained on, within seconds and with fixed
settings. A search that does not clearly beat them has found little.
"""
