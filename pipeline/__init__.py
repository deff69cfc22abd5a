"""Autocapture Pipeline: a person's own screen memory, processed on their own machine."""

__version__ = "0.1.0"
