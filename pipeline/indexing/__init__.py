"""Builds what makes facts findable; nothing here answers a question."""
