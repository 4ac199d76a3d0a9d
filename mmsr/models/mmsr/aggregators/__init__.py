"""Aggregators: how nodes read their neighbours."""
