"""Models on the tracking server: what a journal's event says is logged, and registered."""
