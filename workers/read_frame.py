"""Reads frames and pays only for pixels never seen before: what was read in them is kept by the hash of the pixels.

    frame ─ same bytes? ─────────────────────────────────────────────── its lines
      └ cut ┬ line ─── same ink? ───────────────────────────────────── its text
            │     └ words ─ same picture? ── else recognize
            └ block ── same pixels? ────────────────────────────────── its lines
                  └ cut, finer ┬ line, as above
                               └ rest ── detect ── line ── same picture? ── else recognize

Each step is a function of the pixels that it is keyed by, and of the model. So is the whole, whatever was kept
`[row-1]`.
"""

from __future__ import annotations

import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from schemas.canonical import canonical_sha256, nfc, sha256_hex
from schemas.serving import MAX_LINE_LENGTH, MAX_LINES_IN_FRAME, ModelIdentity, ReadFailed, ReadText, TextLine
from workers.cut_frame import CUT_PARAMETERS, RULING_IN_BLOCK, cut_picture
from workers.images import Pixels, decode_image
from workers.lookalikes import Letter
from workers.memo import Memo, Store
from workers.ocr_lines import LINE_PARAMETERS, mend_line
from workers.read_line import READ_PARAMETERS, cut_line, read_line
from workers.reading_order import reading_order
from workers.text_model import Box, RecognizedLine, TextModel

TEXT_SCORE = 0.5
"""Lines read with less confidence are dropped."""

ALONE_SCORE = 0.9
"""The same for a line of one letter: an icon often looks somewhat like one."""

UPRIGHT_FROM = 1.5
"""How many times as high as wide a line that the detector found must be to be read from top to bottom."""

MEMORY_BYTES = 64 << 20

Found = tuple[str, Box, float]


class FrameReader:
    """Reads frames with a TextModel; `read` is a function of the image's bytes."""

    def __init__(self, model: TextModel, store: Callable[[str], Store] | None = None) -> None:
        self.model = model
        self.spent: Counter[str] = Counter()
        """Nanoseconds of processor time and numbers of calls, by kind of work."""
        digest = self.identity.model_digest
        self._memo = Memo(digest, MEMORY_BYTES, store(digest) if store is not None else None)

    @cached_property
    def identity(self) -> ModelIdentity:
        """The model, with a digest over its fingerprint and over how frames are cut and lines set right."""
        reading = {"text_score": f"{TEXT_SCORE} {ALONE_SCORE}", "upright_from": str(UPRIGHT_FROM)}
        described = {
            "model": dict(self.model.fingerprint),
            "cut": CUT_PARAMETERS,
            "read": READ_PARAMETERS | reading,
            "lines": LINE_PARAMETERS,
        }
        return ModelIdentity(
            provider_id=self.model.provider_id,
            model_id=self.model.model_id,
            model_digest=canonical_sha256(described),
        )

    def read(self, image: bytes) -> ReadText | ReadFailed:
        """Read all lines of an image, in reading order. Raises Interrupted."""
        started = time.perf_counter_ns()
        with self._spending("look_up"):
            key = self._memo.key("frame", sha256_hex(image).encode())
            known = self._known(key, _frame_from)
        if known is None:
            with self._spending("decode"):
                pixels = decode_image(image)
            if isinstance(pixels, ReadFailed):
                return pixels
            height, width = pixels.shape[:2]
            lines = [line for found in self._frame(pixels) if (line := _line(found)) is not None]
            known = width, height, reading_order(lines)[:MAX_LINES_IN_FRAME]
            self._memo.put(key, [width, height, [[line.text, line.bbox, line.score] for line in known[2]]])
        elapsed_us = (time.perf_counter_ns() - started) // 1000
        return ReadText(width=known[0], height=known[1], lines=known[2], elapsed_us=elapsed_us)

    def interrupt(self) -> None:
        """Make the running inference fail within some tenths of a second."""
        self.model.interrupt()

    def rearm(self) -> None:
        """Let inferences run again."""
        self.model.rearm()

    def _frame(self, pixels: Pixels) -> list[Found]:
        with self._spending("cut"):
            cut = cut_picture(pixels)
        lines = [self._line(pixels, box) for box in cut.lines]
        in_blocks = [
            found
            for block in cut.blocks
            for found in self._block(pixels, block)
            # A block is a rectangle, and may hold a piece of a line that was cut out beside it.
            if not any(_covers(box, found[1]) for box in cut.lines)
        ]
        return [found for found in lines + in_blocks if found[2] >= (TEXT_SCORE if len(found[0]) > 1 else ALONE_SCORE)]

    def _block(self, pixels: Pixels, block: Box) -> list[Found]:
        left, top, right, bottom = block
        region = np.ascontiguousarray(pixels[top:bottom, left:right])
        with self._spending("look_up"):
            key = self._key_of("block", region)
            known = self._known(key, _block_from)
        if known is None:
            known = list(self._read_block(region))
            self._memo.put(key, known)
        return [(text, (box[0] + left, box[1] + top, box[2] + left, box[3] + top), score) for text, box, score in known]

    def _read_block(self, region: Pixels) -> Iterator[Found]:
        with self._spending("cut"):
            cut = cut_picture(region, RULING_IN_BLOCK)
        for box in cut.lines:
            yield self._line(region, box)
        for left, top, right, bottom in cut.blocks:
            rest = np.ascontiguousarray(region[top:bottom, left:right])
            with self._spending("detect"):
                boxes = self.model.detect(rest)
            for box in boxes:
                if not any(_covers(line, _moved(box, left, top)) for line in cut.lines):
                    text, score = self._detected(rest, box)
                    yield text, _moved(box, left, top), score

    def _line(self, pixels: Pixels, box: Box) -> Found:
        with self._spending("look_up"):
            ink, ground = cut_line(pixels, box)
            key = self._key_of("line", ink, bytes(ground))
            known = self._known(key, _text_from)
        if known is None:
            read = read_line(ink, ground, self._recognize)
            known = _clean(read.text), read.score
            self._memo.put(key, known)
        return known[0], box, known[1]

    def _detected(self, pixels: Pixels, box: Box) -> tuple[str, float]:
        left, top, right, bottom = box
        picture = pixels[top:bottom, left:right]
        if bottom - top >= UPRIGHT_FROM * (right - left):
            picture = np.rot90(picture)
        picture = np.ascontiguousarray(picture)
        read = self._recognize(picture)
        text = read.text
        if text == "".join(letter.text for letter in read.letters):
            text = mend_line(picture, list(read.letters), list(read.places))
        return _clean(text), read.score

    def _recognize(self, picture: Pixels) -> RecognizedLine:
        with self._spending("look_up"):
            key = self._key_of("words", picture)
            known: RecognizedLine | None = self._known(key, _recognized_from)
        if known is None:
            with self._spending("recognize"):
                known = self.model.recognize(picture)
            letters = [[letter.text, dict(letter.chances)] for letter in known.letters]
            self._memo.put(key, [known.text, known.score, letters, known.places])
        return known

    def _key_of(self, kind: str, picture: Pixels, *more: bytes) -> bytes:
        return self._memo.key(kind, picture.shape[0].to_bytes(4, "little"), picture.tobytes(), *more)

    def _known(self, key: bytes, parse: Callable[[Any], Any]) -> Any:
        """What is kept under a key; None when nothing is, or nothing of the right form."""
        kept = self._memo.get(key)
        try:
            return parse(kept) if isinstance(kept, list) else None
        except (TypeError, ValueError, KeyError, IndexError):
            return None

    @contextmanager
    def _spending(self, kind: str) -> Iterator[None]:
        started = time.process_time_ns()
        yield
        self.spent[f"{kind}_ns"] += time.process_time_ns() - started
        self.spent[kind] += 1


def _moved(box: Box, right: int, down: int) -> Box:
    return box[0] + right, box[1] + down, box[2] + right, box[3] + down


def _covers(line: Box, found: Box) -> bool:
    """Whether half of what was found lies in a line, or half of the line in it."""
    across = min(line[2], found[2]) - max(line[0], found[0])
    down = min(line[3], found[3]) - max(line[1], found[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (line, found))
    return across > 0 and down > 0 and 2 * across * down >= smaller


def _line(found: Found) -> TextLine | None:
    text, box, score = found
    return TextLine(text=text, bbox=box, score=round(min(max(score, 0.0), 1.0) * 10_000)) if text else None


def _clean(text: str) -> str:
    kept = "".join(mark for mark in text if unicodedata.category(mark) not in ("Cc", "Cs"))
    return nfc(kept).strip()[:MAX_LINE_LENGTH]


def _frame_from(kept: Any) -> tuple[int, int, list[TextLine]]:
    width, height, lines = kept
    return width, height, [TextLine(text=text, bbox=tuple(box), score=score) for text, box, score in lines]


def _block_from(kept: Any) -> list[Found]:
    return [(str(text), _box_from(box), float(score)) for text, box, score in kept]


def _text_from(kept: Any) -> tuple[str, float]:
    text, score = kept
    return str(text), float(score)


def _recognized_from(kept: Any) -> RecognizedLine:
    text, score, letters, places = kept
    return RecognizedLine(
        str(text),
        float(score),
        tuple(Letter(str(mark), dict(chances)) for mark, chances in letters),
        tuple(float(place) for place in places),
    )


def _box_from(kept: Any) -> Box:
    left, top, right, bottom = (int(edge) for edge in kept)
    return left, top, right, bottom
