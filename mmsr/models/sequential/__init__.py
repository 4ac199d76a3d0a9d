"""Models of ids alone: what a user had, in order, and nothing about the items."""
