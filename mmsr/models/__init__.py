"""Models: what every model implements, MMSR, and the models that it is compared with."""
