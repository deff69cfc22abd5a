"""Keeps what was computed from bytes, so that the same bytes need not be computed with again.

A memo may forget anything at any time: that costs time and changes nothing `[row-1]`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Protocol

import orjson


class Store(Protocol):
    """Where entries lie beyond the memory of this process."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...


class Memo:
    """JSON by the hash of what it was computed from; the entries used last are kept in memory.

    `owner` goes into every key: the digest of the model that the results are from.
    """

    def __init__(self, owner: str, max_bytes: int, store: Store | None = None) -> None:
        self._owner = owner.encode()
        self._max_bytes = max_bytes
        self._store = store
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._size = 0

    def key(self, kind: str, *parts: bytes) -> bytes:
        """The hash over what a result is computed from; parts cannot run into each other."""
        digest = hashlib.sha256(self._owner + kind.encode())
        for part in parts:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.digest()

    def get(self, key: bytes) -> object | None:
        """What was put under this key, if it is still known."""
        value = self._kept.get(key)
        if value is not None:
            self._kept.move_to_end(key)
        elif self._store is not None and (value := self._store.get(key)) is not None:
            self._keep(key, value)
        return None if value is None else orjson.loads(value)

    def put(self, key: bytes, result: object) -> None:
        """Keep a result: JSON, of which floats come back as they were."""
        value = orjson.dumps(result)
        self._keep(key, value)
        if self._store is not None:
            self._store.put(key, value)

    def _keep(self, key: bytes, value: bytes) -> None:
        self._size += len(value) - len(self._kept.pop(key, b""))
        self._kept[key] = value
        while self._size > self._max_bytes:
            _, forgotten = self._kept.popitem(last=False)
            self._size -= len(forgotten)
