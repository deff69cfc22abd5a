"""The version of our contract and the hash of its schemas. Written by `scripts/contract --accept`."""

from __future__ import annotations

CONTRACT_VERSION = "1.1"
SCHEMA_HASH = "eafa46544942e1797d9912167bc0e5bf61e20bb1057ec3e62ab82b1bea29a747"
