"""Studies for Python and notebooks: what a run returns, and results of any study as data frames."""
