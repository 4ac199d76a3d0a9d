"""`mmsr data`: import, generate, list and describe data sets; a file for each command."""
