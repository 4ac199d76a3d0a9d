"""What a study found: comparisons, test results, knock-outs, the exported config."""
