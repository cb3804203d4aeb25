"""Encoders, and before them the libraries that they come from, loaded in the quick way."""

from geoseg.nn import libraries

__all__ = ["libraries"]
