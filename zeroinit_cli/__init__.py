"""Deterministic ZerO initialization: one architecture in, one reproducible checkpoint out."""

__version__ = "0.1.0"
