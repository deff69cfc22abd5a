"""The version of our contract and the hash of its schemas. Written by `scripts/contract --accept`."""

from __future__ import annotations

CONTRACT_VERSION = "1.0"
SCHEMA_HASH = "51f94c8d682ff5c51c60448d96a90016577a015374d4c8c5b72db0c1dd707bfd"
