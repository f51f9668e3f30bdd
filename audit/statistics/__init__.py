"""Samples, estimates and limits; without input or output."""
