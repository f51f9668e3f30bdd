"""Audit a training corpus before you fine-tune on it."""

__version__ = "0.1.0"
