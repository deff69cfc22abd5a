"""Canonical JSON and the hashes that stand on it `[hash-1]`–`[hash-4]`."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from typing import Any

import orjson

JsonValue = Any
"""None, bool, int, str, list or dict of the same; a float is an error in anything that is hashed."""


class NotCanonical(ValueError):
    """A value that canonical JSON cannot hold: a float, a lone surrogate, two keys that are one in NFC."""


def canonical_json(value: JsonValue) -> bytes:
    """Write a JSON value in its one canonical form, as UTF-8 `[hash-1]`.

    Keys are strings and sorted by code point, strings are NFC, nothing is escaped that need not be.
    Raises NotCanonical.
    """
    try:
        return orjson.dumps(_canonical(value), option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError) as error:
        return _canonical_by_standard_library(value, error)
    except RecursionError as error:
        raise NotCanonical("nested too deeply") from error


def sha256_hex(data: bytes) -> str:
    """Hash bytes to 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def canonical_sha256(value: JsonValue) -> str:
    """Hash a JSON value by its canonical form. Raises NotCanonical."""
    return sha256_hex(canonical_json(value))


def payload_hash(record: Mapping[str, JsonValue]) -> str:
    """Hash a record without its own `payload_hash` `[hash-2]`. Raises NotCanonical."""
    return canonical_sha256({key: value for key, value in record.items() if key != "payload_hash"})


def ledger_entry_hash(entry: Mapping[str, JsonValue]) -> str:
    """Hash a ledger entry, chained to the one before it by `prev_hash` `[hash-3]`. Raises NotCanonical."""
    body = canonical_json({key: value for key, value in entry.items() if key != "entry_hash"})
    return sha256_hex(body + (entry.get("prev_hash") or "").encode())


def nfc(text: str) -> str:
    """Bring text to Unicode NFC, the form in which all text is hashed and stored."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _canonical(value: JsonValue) -> JsonValue:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else unicodedata.normalize("NFC", value)
    if kind is int or kind is bool or value is None:
        return value
    if kind is list or kind is tuple:
        return [_canonical(item) for item in value]
    if isinstance(value, Mapping):
        return _canonical_mapping(value)
    raise NotCanonical(f"canonical JSON holds no {kind.__name__}")


def _canonical_mapping(value: Mapping[JsonValue, JsonValue]) -> dict[str, JsonValue]:
    result = {}
    for key, item in value.items():
        if type(key) is not str:
            raise NotCanonical(f"canonical JSON keys are strings, not {type(key).__name__}")
        result[nfc(key)] = _canonical(item)
    if len(result) != len(value):
        raise NotCanonical("two keys are the same in Unicode NFC")
    return result


def _canonical_by_standard_library(value: JsonValue, cause: Exception) -> bytes:
    """Integers beyond 64 bits and deep nesting are legal JSON, and the fast encoder has no room for them."""
    import json

    try:
        text = json.dumps(_canonical(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotCanonical(f"not canonical JSON: {cause}") from error
