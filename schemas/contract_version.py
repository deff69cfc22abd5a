"""The version of our contract and the hash of its schemas. Written by `scripts/contract --accept`."""

from __future__ import annotations

CONTRACT_VERSION = "1.0"
SCHEMA_HASH = "7e51188377ddd37d906cd0bc8cc9f69c03b9ebeae8a40bb4f010e264071ef42f"
