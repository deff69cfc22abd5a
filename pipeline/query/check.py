"""The checker: no claim is shown whose citations do not resolve, and no number that its rows do not give.

`[answer-1]` the record exists, the frame's blob hashes to its content_hash, the cited text is in the record at that
span, the box lies in the frame. `[answer-4]` counts, durations and orders are computed again from what was resolved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, SampleError
from pipeline.query.evidence import Evidence, shows, uia_nodes
from pipeline.query.mentions import ADDRESS, OCR, Mention
from pipeline.query.near_spans import NearSpan
from pipeline.query.span_proof import told_otherwise, written_otherwise
from pipeline.query.timeline import Seen
from pipeline.stages.name_apps import name_app
from pipeline.stores.evidence import load_blob
from pipeline.stores.index_rows import Box
from pipeline.stores.text_index import TextIndex, line_proof
from schemas.canonical import nfc
from schemas.fields import parse_utc, utc_microseconds
from schemas.record_types import WINDOW

Rule = Callable[[Sequence[Seen]], bool]


@dataclass(frozen=True)
class Claim:
    """A statement; what it cites; what else it was computed from; how to compute it again; where meaning found it."""

    text: str
    cited: tuple[Mention, ...]
    weighed: tuple[Mention, ...] = ()
    rule: Rule | None = None
    found_by: NearSpan | None = None


@dataclass(frozen=True)
class Refused:
    """A statement that did not stand, and why."""

    record_id: str
    reason: str


class _Unproven(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Checker:
    """Checks claims against the evidence, each blob and file once."""

    def __init__(self, root: DataRoot, evidence: Evidence, index: TextIndex) -> None:
        self._root = root
        self._index = index
        self._evidence = evidence
        self._blobs: dict[str, str] = {}
        self._files: dict[str, bool] = {}
        self._resolved: dict[tuple[object, ...], Seen | _Unproven] = {}
        self.rewritten: set[str] = set()
        """Records whose fact file was rewritten after they had been indexed; they were looked up there again."""

    def sift(self, claims: Iterable[Claim]) -> tuple[list[Claim], list[Refused]]:
        """Part the claims that stand from those that do not."""
        kept, refused = [], []
        for claim in claims:
            problem = self._problem(claim)
            if problem is None:
                kept.append(claim)
            else:
                refused.append(problem)
        return kept, refused

    def _problem(self, claim: Claim) -> Refused | None:
        if not claim.cited:
            return Refused("", "nothing is cited")
        self._evidence.fetch(item.frame.frame_id for item in (*claim.cited, *claim.weighed))
        self._evidence.fetch(item.record_id for item in (*claim.cited, *claim.weighed) if item.source != OCR)
        seen = []
        for mention in (*claim.cited, *claim.weighed):
            found = self._resolve_once(mention)
            if isinstance(found, _Unproven):
                return Refused(mention.record_id, found.reason)
            seen.append(found)
        for mention in claim.cited:
            reason = self._blob_problem(mention)
            if reason:
                return Refused(mention.record_id, reason)
        if claim.rule is not None and not claim.rule(seen):
            return Refused(claim.cited[0].record_id, "computed again from what it cites, it comes out otherwise")
        return self._span_problem(claim.found_by) if claim.found_by is not None else None

    def _span_problem(self, near: NearSpan) -> Refused | None:
        """Why a span that a claim was found by cannot be relied on, if so."""
        reason = told_otherwise(near, self._index)
        for path, sha256, again in (
            (near.span.path, near.span.sha256, "spans"), (near.span.record_path, near.span.record_sha256, "records"),
        ):  # fmt: skip
            if not reason and not self._file_unchanged(path, sha256):
                reason = written_otherwise(self._root, near.span, again)
        return Refused(near.span.span_id, reason) if reason else None

    def _resolve_once(self, mention: Mention) -> Seen | _Unproven:
        """Claims share what they were computed from: each place is looked at once."""
        name = (
            mention.record_id,
            mention.line,
            mention.frame.id,
            mention.box,
            mention.whole,
            mention.start,
            mention.end,
        )
        if name not in self._resolved:
            try:
                self._resolved[name] = self._resolve(mention)
            except _Unproven as error:
                self._resolved[name] = error
        return self._resolved[name]

    def _resolve(self, mention: Mention) -> Seen:
        frame = self._payload(mention.frame.frame_id, "the frame's evidence record")
        if frame.get("content_hash") != mention.frame.content_hash:
            raise _Unproven("the frame's evidence record names another picture")
        if not _inside(mention.box, frame):
            raise _Unproven("the box does not lie in the frame")
        if not 0 <= mention.start < mention.end <= len(mention.whole):
            raise _Unproven("the span does not lie in the text")
        if mention.source == OCR:
            return self._resolve_line(mention, frame)
        if mention.source == ADDRESS:
            return self._resolve_address(mention, frame)
        return self._resolve_title(mention)

    def _resolve_line(self, mention: Mention, frame: dict[str, Any]) -> Seen:
        record, line = mention.record, mention.line
        if record is None or line is None:
            raise _Unproven("the record is not known")
        if line_proof(record.record_id, line, mention.box, mention.whole) != mention.proof:
            raise _Unproven("the indexed line is not the one that its record held")
        if not self._file_unchanged(record.path, record.sha256):
            self._read_again(mention)
            self.rewritten.add(record.record_id)
        return Seen(_moment(frame), str(frame.get("run_id")), mention.whole)

    def _resolve_address(self, mention: Mention, frame: dict[str, Any]) -> Seen:
        snapshot = self._payload(mention.record_id, "the accessibility snapshot")
        if not any(shows(node, mention.whole) for node in uia_nodes(snapshot)):
            raise _Unproven("the accessibility snapshot does not hold the address")
        where = self._evidence.node_box(mention.record_id, mention.whole, mention.frame.width, mention.frame.height)
        if where is not None and where != mention.box:
            raise _Unproven("the accessibility snapshot has the address at another place")
        window = _window(frame)
        return Seen(_moment(frame), str(frame.get("run_id")), mention.whole, _app(_text(window, "process_path")),
                    _text(window, "process_path"), window.get("hwnd"), is_address=True)  # fmt: skip

    def _resolve_title(self, mention: Mention) -> Seen:
        record = self._payload(mention.record_id, "the evidence record")
        window = _window(record)
        if nfc(_text(window, "title")) != mention.whole:
            raise _Unproven("the evidence record has another title")
        path = _text(window, "process_path")
        return Seen(_moment(record), str(record.get("run_id")), mention.whole, _app(path), path,
                    window.get("hwnd"), mention.record_type == WINDOW)  # fmt: skip

    def _payload(self, record_id: str, what: str) -> dict[str, Any]:
        payload = self._evidence.payload(record_id)
        if payload is None:
            raise _Unproven(f"{what} is not there")
        return payload

    def _blob_problem(self, mention: Mention) -> str:
        frame = mention.frame
        if frame.frame_id not in self._blobs:
            try:
                load_blob(self._root, frame.blob_path, frame.content_hash)
                self._blobs[frame.frame_id] = ""
            except SampleError as error:
                self._blobs[frame.frame_id] = f"the frame's picture does not check: {error.failure.code}"
        return self._blobs[frame.frame_id]

    def _file_unchanged(self, path: str, sha256: str) -> bool:
        if path not in self._files:
            try:
                with (self._root.path / path).open("rb") as stream:
                    self._files[path] = hashlib.file_digest(stream, "sha256").hexdigest() == sha256
            except OSError:
                self._files[path] = False
        return self._files[path]

    def _read_again(self, mention: Mention) -> None:
        """Look a record up in its fact file, which is not the one that was indexed. Slow, and rarely needed."""
        from pipeline.query.records import read_line

        record = mention.record
        try:
            found = record and read_line(self._root, record.path, record.record_id, mention.line or 0)
        except ContractInvalid as error:
            raise _Unproven("the record's fact file cannot be read") from error
        if found is None:
            raise _Unproven("the record is not there")
        if found != (mention.whole, mention.box):
            raise _Unproven("the record does not hold the text at that span")


@cache
def _app(process_path: str) -> str | None:
    return name_app(process_path)


def _inside(box: Box, frame: dict[str, Any]) -> bool:
    left, top, right, bottom = box
    width, height = frame.get("width"), frame.get("height")
    if not isinstance(width, int) or not isinstance(height, int):
        return False
    return 0 <= left < right <= width and 0 <= top < bottom <= height


def _window(record: dict[str, Any]) -> dict[str, Any]:
    """The window of a window record, or the one that a frame points at."""
    reference = record.get("window_ref")
    window = reference.get("window") if isinstance(reference, dict) else record.get("window")
    return window if isinstance(window, dict) else {}


def _text(window: dict[str, Any], name: str) -> str:
    value = window.get(name)
    return value if isinstance(value, str) else ""


def _moment(record: dict[str, Any]) -> int:
    try:
        return utc_microseconds(parse_utc(record["ts_utc"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _Unproven("the evidence record has no usable time") from error
