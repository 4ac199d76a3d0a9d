"""Tracked trainings outside of studies, and the delivery of what waits in all journals."""
