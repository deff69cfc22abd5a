"""An OCR server without a model: answers at once, 40 lines a frame. For benchmarks and tests.

    python scripts/null_ocr_server.py --run-file DATA_ROOT/derived/workers/ocr.json

The lines are a function of the image's bytes: 20 are the same in every frame, 20 vary with its hash. Only the header of
a PNG is looked at, for its size.
"""

from __future__ import annotations

import hashlib
import struct
import sys
import time
from collections.abc import Sequence
from functools import lru_cache

from schemas.canonical import sha256_hex
from schemas.serving import ModelIdentity, ReadFailed, ReadText, TextLine
from workers.server import options, serve
from workers.text_service import TextService

LINES = 40
LINE_HEIGHT = 20
_PNG_HEADER = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


class NullEngine:
    """Pretends to read, for `delay_s` seconds an image."""

    def __init__(self, delay_s: float = 0.0) -> None:
        self._delay_s = delay_s
        self._interrupted = False
        self.identity = ModelIdentity(provider_id="null", model_id="null-40", model_digest=sha256_hex(b"null-40"))

    def read(self, image: bytes) -> ReadText | ReadFailed:
        started = time.perf_counter_ns()
        if not image.startswith(_PNG_HEADER):
            return ReadFailed(error="image_unreadable", message="not a PNG")
        width, height = struct.unpack(">II", image[16:24])
        self._pretend_to_work()
        digest = hashlib.sha256(image).hexdigest()
        pairs = zip(_constant_lines(width, height), _varying_lines(digest, width, height), strict=True)
        lines = [line for pair in pairs for line in pair]
        elapsed_us = (time.perf_counter_ns() - started) // 1000
        return ReadText.model_construct(width=width, height=height, lines=lines, elapsed_us=elapsed_us)

    def interrupt(self) -> None:
        self._interrupted = True

    def rearm(self) -> None:
        self._interrupted = False

    def _pretend_to_work(self) -> None:
        end = time.monotonic() + self._delay_s
        while self._delay_s and not self._interrupted and time.monotonic() < end:
            time.sleep(0.01)


@lru_cache(maxsize=64)
def _boxes(width: int, height: int) -> list[tuple[int, int, int, int]]:
    tops = [min(number * LINE_HEIGHT, height - 1) for number in range(LINES)]
    return [(min(10, width - 1), top, width, min(top + LINE_HEIGHT, height)) for top in tops]


@lru_cache(maxsize=64)
def _constant_lines(width: int, height: int) -> list[TextLine]:
    boxes = _boxes(width, height)[::2]
    return [_line(f"line {number:02d} the same words in every frame", box) for number, box in enumerate(boxes)]


def _varying_lines(digest: str, width: int, height: int) -> list[TextLine]:
    boxes = _boxes(width, height)[1::2]
    return [_line(f"seen in frame {digest[n : n + 12]} and nowhere else", box) for n, box in enumerate(boxes)]


def _line(text: str, box: tuple[int, int, int, int]) -> TextLine:
    return TextLine.model_construct(text=text, bbox=box, score=9_876)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to end; returns the exit code."""
    parser = options("ocr")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds to spend on each image")
    given = parser.parse_args(argv)
    return serve("ocr", given, lambda: TextService(NullEngine(given.delay_s)))


if __name__ == "__main__":
    sys.exit(main())
