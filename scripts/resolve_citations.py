"""Resolves citations from the outside: with the files of a DataRoot, and nothing of what made the answer."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from schemas.answer import Answer, Citation
from schemas.canonical import nfc


class Evidence:
    """What a DataRoot holds, by record id."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hashes: dict[str, str] = {}

    @cached_property
    def payloads(self) -> dict[str, dict[str, Any]]:
        """Evidence records."""
        with closing(sqlite3.connect(f"file:{self.root / 'metadata.db'}?mode=ro", uri=True)) as connection:
            return {name: json.loads(text) for name, text in connection.execute("SELECT id, payload FROM metadata")}

    @cached_property
    def lines(self) -> dict[str, list[dict[str, Any]]]:
        """The lines that a model read, by its record."""
        found = {}
        for path in sorted((self.root / "derived" / "facts" / "records").rglob("part-*.parquet")):
            table = pq.ParquetFile(path).read(columns=["record_id", "modality", "output_json"])
            for row in table.to_pylist():
                if row["modality"] == "ocr":
                    found[row["record_id"]] = json.loads(row["output_json"])["lines"]
        return found

    def unresolved(self, answer: Answer) -> str:
        """The first thing that does not resolve; empty when all does."""
        if not answer.claims or any(not claim.citations for claim in answer.claims):
            return "a claim without a citation"
        return next((problem for citation in answer.citations for problem in self._problems(citation)), "")

    def _problems(self, citation: Citation) -> Iterator[str]:
        frame = self.payloads.get(citation.frame_id)
        if frame is None:
            yield f"no frame {citation.frame_id}"
            return
        if frame.get("content_hash") != citation.content_hash or self._hash(citation, frame) != citation.content_hash:
            yield f"another picture for {citation.frame_id}"
        left, top, right, bottom = citation.bbox
        if not (0 <= left < right <= frame["width"] and 0 <= top < bottom <= frame["height"]):
            yield f"a box outside {citation.frame_id}"
        if not any(
            text[citation.offset_start : citation.offset_end] == citation.text for text in self._texts(citation)
        ):
            yield f"{citation.record_id} does not hold {citation.text!r} at that span"

    def _hash(self, citation: Citation, frame: dict[str, Any]) -> str:
        name = citation.frame_id
        if name not in self._hashes:
            day = frame["ts_utc"][:10].replace("-", "/")
            plain = self.root / "media" / _rid(frame["run_id"]) / "evidence" / day / f"{_rid(name)}.blob"
            path = self.root / frame["blob_path"] if "blob_path" in frame else plain
            self._hashes[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        return self._hashes[name]

    def _texts(self, citation: Citation) -> list[str]:
        """The texts of a record that a span may lie in: one line of a reading, or any text of an evidence record."""
        if citation.source == "ocr":
            lines = self.lines.get(citation.record_id, [])
            chosen = lines[citation.line : citation.line + 1] if citation.line is not None else []
            return [line["text"] for line in chosen if tuple(line["bbox"]) == citation.bbox]
        return [nfc(text) for text in _strings(self.payloads.get(citation.record_id, {}))]


def _rid(name: str) -> str:
    return "rid_" + base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
