"""MMSR: graph-based adaptive fusion, and the parts that its config names."""
