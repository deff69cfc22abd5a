"""Calls model servers: loopback only `[model-1]`, and what they answer is untrusted."""

from pipeline.clients.text import ServerGone, TextClient

__all__ = ["ServerGone", "TextClient"]
