"""Public data sets: where their files are, how they are fetched, and how they are read."""
