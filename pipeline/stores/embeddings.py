"""Embeddings by text, so that the same text is never sent to a model twice. `derived/cache/embeddings.db`.

A memo of what is in `records`: thrown away, it is filled from there again.
"""

from __future__ import annotations

import sqlite3
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import orjson

from pipeline.dataroot import DataRoot
from pipeline.stores.atomic import make_directories
from pipeline.stores.facts import read_file
from schemas.canonical import sha256_hex
from schemas.serving import Embedding

_SCHEMA = """
CREATE TABLE embeddings(
    model_digest TEXT NOT NULL, text_sha256 TEXT NOT NULL, tokens INTEGER NOT NULL, cut INTEGER NOT NULL,
    vector BLOB NOT NULL, vector_sha256 TEXT NOT NULL, PRIMARY KEY(model_digest, text_sha256)) WITHOUT ROWID
"""
_ADD = "INSERT OR REPLACE INTO embeddings VALUES (?,?,?,?,?,?)"
_FIND = "SELECT tokens, cut, vector, vector_sha256 FROM embeddings WHERE model_digest = ? AND text_sha256 = ?"
_COLUMNS = ["model_digest", "output_json", "emb_vectors"]

Row = tuple[str, str, int, bool, bytes, str]


class EmbeddingMemo:
    """What a model's embeddings of texts were. Only the holder of the run lock may use it, as a context manager."""

    def __init__(self, root: DataRoot, model_digest: str, producer: str) -> None:
        """Open the memo; one that is missing or damaged is made from the `records` that `producer` wrote."""
        make_directories(root.cache)
        self._model_digest = model_digest
        self._connection = _open(root.embedding_memo, lambda: _rows_of_records(root, producer))

    def __enter__(self) -> EmbeddingMemo:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def find(self, texts: Sequence[str]) -> dict[int, Embedding]:
        """Look texts up; the embeddings that are known, by the index of their text."""
        found = {}
        with suppress(sqlite3.DatabaseError):  # a memo that a power cut damaged knows nothing
            for index, text in enumerate(texts):
                row = self._connection.execute(_FIND, (self._model_digest, sha256_hex(text.encode()))).fetchone()
                if row is not None and sha256_hex(row[2]) == row[3]:
                    found[index] = Embedding(_vector(row[2]), row[0], bool(row[1]))
        return found

    def add(self, text: str, embedding: Embedding) -> None:
        """Remember the embedding of a text."""
        digest, data = sha256_hex(text.encode()), _bytes(embedding.vector)
        row = (self._model_digest, digest, embedding.tokens, embedding.cut, data, sha256_hex(data))
        with suppress(sqlite3.DatabaseError):
            self._connection.execute(_ADD, row)


def _open(path: Path, known: Callable[[], Iterator[Row]]) -> sqlite3.Connection:
    for _ in range(2):
        fresh = not path.exists()
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")
            if fresh:
                connection.execute("BEGIN")
                connection.execute(_SCHEMA)
                connection.executemany(_ADD, known())
                connection.execute("COMMIT")
            connection.execute("SELECT count(*) FROM (SELECT 1 FROM embeddings LIMIT 1)")
        except sqlite3.DatabaseError:
            connection.close()
            path.unlink()
        else:
            return connection
    raise AssertionError("unreachable")


def _rows_of_records(root: DataRoot, producer: str) -> Iterator[Row]:
    for path in sorted(root.fact_files("records", producer)):
        for row in read_file(path, "records", _COLUMNS).to_pylist():
            output = orjson.loads(row["output_json"])
            for item in row["emb_vectors"]:
                data = _bytes(array("f", item["vector"]))
                yield row["model_digest"], output["text_sha256"], output["tokens"], output["cut"], data, item["sha256"]


def _bytes(vector: array[float]) -> bytes:
    """Little-endian, as its sha256 is taken."""
    if sys.byteorder == "little":
        return vector.tobytes()
    swapped = array("f", vector)
    swapped.byteswap()
    return swapped.tobytes()


def _vector(data: bytes) -> array[float]:
    vector = array("f", data)
    if sys.byteorder == "big":
        vector.byteswap()
    return vector
