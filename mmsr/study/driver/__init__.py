"""One driver's run of a study: opening it, running its trials, and the exit code."""
