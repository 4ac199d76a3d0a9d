"""Dimensions of search spaces: what a study varies, and how."""
