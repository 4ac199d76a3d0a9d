"""One driver's run of a study, from opening it to the exit code."""
