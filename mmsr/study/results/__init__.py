"""Results of a study: comparisons, test results, knock-outs, the exported config."""
