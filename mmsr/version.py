"""The version of mmsr."""

__version__ = "0.1.0"
