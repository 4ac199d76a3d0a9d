"""From a study's declaration and its command line to a checked plan."""
