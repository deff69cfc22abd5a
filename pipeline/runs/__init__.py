"""The run loop and what belongs to it."""
