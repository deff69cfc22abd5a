"""Resolves the id of a record or a fact row to its frame, box and text; and draws the box on the frame."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, SampleError, Unavailable, UsageError
from pipeline.query.check import Checker, Claim
from pipeline.query.evidence import Evidence
from pipeline.query.mentions import OCR, Mention, of_frame, of_track, of_visit, of_window
from pipeline.stores.evidence import load_blob
from pipeline.stores.index_rows import Box, FrameRow
from pipeline.stores.text_index import TextIndex, track_key
from schemas.fields import from_utc_microseconds, utc_text
from schemas.record_types import MODEL_OUTPUT

_COLOUR = (215, 40, 40)
_REMEDY = "take record_id from a citation of: pipeline query TEXT --json"


@dataclass(frozen=True)
class Place:
    """Where something stands, checked: the record, its text, the frame and the box."""

    record_id: str
    line: int | None
    text: str
    frame: FrameRow
    box: Box

    def content(self) -> dict[str, object]:
        """The place as one JSON object."""
        return {
            "record_id": self.record_id, "line": self.line, "text": self.text, "frame_id": self.frame.frame_id,
            "ts_utc": utc_text(from_utc_microseconds(self.frame.ts)), "bbox": list(self.box),
            "width": self.frame.width, "height": self.frame.height, "content_hash": self.frame.content_hash,
            "blob_path": self.frame.blob_path,
        }  # fmt: skip


def resolve(root: DataRoot, name: str, line: int | None) -> Place:
    """Resolve a text record (with `line`), line track, page visit, window or frame by its id, and check it.

    Raises UsageError for an id that is not known or a line that is not there, ContractInvalid when it does not check
    `[answer-1]`, NotAvailableYet without an index.
    """
    with Evidence(root) as evidence, TextIndex(root.text_index) as index:
        record = _record_line(root, index, name, line)
        if record is not None:
            _require_blob(root, record.frame)
            return record
        mention = _mention(index, evidence, name)
        if mention is None:
            raise UsageError(f"nothing is known by the id {name!r}", remedy=_REMEDY)
        _, refused = Checker(root, evidence, index).sift([Claim("", (mention,))])
        if refused:
            raise ContractInvalid(f"{name} does not check: {refused[0].reason}", remedy="pipeline doctor says more")
        line = mention.line if mention.source == OCR else None
        return Place(mention.record_id, line, mention.text, mention.frame, mention.box)


def draw(root: DataRoot, place: Place, out: Path) -> None:
    """Draw the box on the frame's picture, as PNG. Raises Unavailable without Pillow, ContractInvalid, UsageError."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise Unavailable("drawing needs Pillow", remedy="pip install 'autocapture-pipeline[ocr]'") from error
    picture_bytes = _require_blob(root, place.frame)
    try:
        with Image.open(io.BytesIO(picture_bytes)) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ContractInvalid("the frame's picture cannot be decoded", remedy="pipeline status says more") from error
    left, top, right, bottom = place.box
    box = (max(left - 3, 0), max(top - 3, 0), min(right + 2, picture.width - 1), min(bottom + 2, picture.height - 1))
    ImageDraw.Draw(picture).rectangle(box, outline=_COLOUR, width=3)
    try:
        picture.save(out, format="PNG", optimize=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}", remedy="name another file with --png") from error


def _record_line(root: DataRoot, index: TextIndex, name: str, line: int | None) -> Place | None:
    """A line of a text record, from its fact file; None when the id is none of a text record that is indexed."""
    if f"/{MODEL_OUTPUT}/" not in name:
        return None
    record = index.record_named(name)
    if record is None:
        return None
    if line is None:
        raise UsageError(f"{name} holds many lines", remedy=f"say which: pipeline cite {name} --line N")
    from pipeline.query.records import read_line

    found = read_line(root, record.path, name, line)
    if found is None:
        raise UsageError(f"{name} has no line {line}", remedy=_REMEDY)
    text, box = found
    frame = index.frame(record.frame)
    if not (0 <= box[0] < box[2] <= frame.width and 0 <= box[1] < box[3] <= frame.height):
        raise ContractInvalid(f"line {line} of {name} does not lie in its frame", remedy="pipeline doctor says more")
    return Place(name, line, text, frame, box)


def _mention(index: TextIndex, evidence: Evidence, name: str) -> Mention | None:
    key = track_key(name)
    track = index.track_keyed(key) if key else None
    if track is not None:
        return of_track(index, track)
    visit = index.visit_named(name)
    if visit is not None:
        return of_visit(index, evidence, visit)
    window = index.window_named(name)
    if window is not None:
        return of_window(index, window)
    frame = index.frame_named(name)
    return of_frame(frame) if frame is not None else None


def _require_blob(root: DataRoot, frame: FrameRow) -> bytes:
    try:
        return load_blob(root, frame.blob_path, frame.content_hash)
    except SampleError as error:
        raise ContractInvalid(
            f"the picture of {frame.frame_id} does not check: {error.failure.code}", remedy="pipeline doctor says more"
        ) from error
