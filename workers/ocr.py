"""Reads the text of whole frames: PP-OCR through RapidOCR on ONNX Runtime, on the CPU, from weights in the package."""

from __future__ import annotations

import math
import os
import sys
import time
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from pipeline.errors import Unavailable, UsageError
from pipeline.settings import OcrModel
from schemas.canonical import canonical_sha256, nfc, sha256_hex
from schemas.serving import MAX_LINE_LENGTH, MAX_LINES_IN_FRAME, ModelIdentity, ReadFailed, ReadText, TextLine
from workers.reading_order import Box, reading_order
from workers.server import options, serve
from workers.text_service import TextService

INSTALL = "pip install 'autocapture-pipeline[ocr]'"

_WEIGHTS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}

PARAMETERS: dict[str, bool | int | float | str] = {
    "Global.use_cls": False,
    "Global.text_score": 0.5,
    "Global.min_side_len": 30,
    "Global.use_vertical_padding": True,
    "Det.limit_side_len": 736,
    "Det.limit_type": "min",
    "Det.thresh": 0.3,
    "Det.box_thresh": 0.5,
    "Det.max_candidates": 3000,
    "Det.unclip_ratio": 1.8,
    "Det.use_dilation": False,
    "Det.score_mode": "fast",
    "Rec.rec_batch_num": 1,
}
"""What decides over the text and is not in the weights; measured in docs/benchmarks.md. A batch of one line, since in a
larger one a line is padded to its widest neighbour, and would read differently beside another `[row-1]`. The number of
threads is not here: one and two gave the same lines with the same scores."""

MAX_READ_PIXELS = 17_000_000
"""Two 4K screens side by side are read as they are; more is shrunk to this, since detection takes 0.2 GB a million."""

_VERSIONS_THAT_MATTER = ("rapidocr", "onnxruntime", "pillow", "pyclipper", "shapely")


class OcrEngine:
    """PP-OCR; `read` is a function of the image's bytes. `changes` are to PARAMETERS.

    Raises Unavailable when a package or weight is missing, UsageError for a parameter that there is not.
    """

    def __init__(self, threads: int, changes: Mapping[str, bool | int | float | str] = MappingProxyType({})) -> None:
        self._settled = PARAMETERS | _checked(changes)
        try:
            rapidocr, runtime = import_module("rapidocr"), import_module("onnxruntime")
            self._decode = import_module("workers.images").decode_image
            self._lines = import_module("workers.ocr_lines")
        except ImportError as error:
            raise Unavailable(f"the OCR engine needs the package {error.name or error}", remedy=INSTALL) from error
        runtime.disable_telemetry_events()
        self._weights = _find_weights(Path(str(rapidocr.__file__)).parent / "models")
        self._session_runs = _Interruptible(runtime.RunOptions)
        self._ocr = rapidocr.RapidOCR(params=self._parameters(threads))
        self._make_interruptible()
        self._ocr.text_rec = self._lines.LineReader(self._ocr.text_rec)

    @cached_property
    def identity(self) -> ModelIdentity:
        """PP-OCRv6 small, with a digest over weights, parameters and the libraries that change what is read."""
        described = {
            "weights": {part: sha256_hex(path.read_bytes()) for part, path in self._weights.items()},
            "parameters": {name: str(value) for name, value in self._settled.items()} | {"max_pixels": MAX_READ_PIXELS},
            "lines": self._lines.LINE_PARAMETERS,
            "versions": {name: metadata.version(name) for name in _VERSIONS_THAT_MATTER} | {"opencv": _opencv()},
        }
        return ModelIdentity(
            provider_id="rapidocr-onnxruntime",
            model_id="PP-OCRv6-small",
            model_digest=canonical_sha256(described),
        )

    def read(self, image: bytes) -> ReadText | ReadFailed:
        """Read all lines of an image, in reading order."""
        started = time.perf_counter_ns()
        pixels = self._decode(image)
        if isinstance(pixels, ReadFailed):
            return pixels
        height, width = pixels.shape[:2]
        self._ocr.max_side_len = longest_side_read(width, height)
        found = self._ocr(pixels)
        lines = [] if found.boxes is None else _lines(found.boxes, found.txts, found.scores, width, height)
        elapsed_us = (time.perf_counter_ns() - started) // 1000
        return ReadText(width=width, height=height, lines=lines[:MAX_LINES_IN_FRAME], elapsed_us=elapsed_us)

    def interrupt(self) -> None:
        """Make the running inference fail within some tenths of a second."""
        self._session_runs.interrupt()

    def rearm(self) -> None:
        """Let inferences run again."""
        self._session_runs.rearm()

    def _parameters(self, threads: int) -> dict[str, Any]:
        return self._settled | {
            "Global.log_level": "error",
            "Det.model_path": str(self._weights["Det"]),
            "Rec.model_path": str(self._weights["Rec"]),
            # RapidOCR takes more threads than there are cores for "not set".
            "EngineConfig.onnxruntime.intra_op_num_threads": min(threads, os.cpu_count() or 1),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }

    def _make_interruptible(self) -> None:
        """Load both models now, and pass our run options to each inference: RapidOCR offers no way to."""
        for part in (self._ocr._load_det_model(), self._ocr._load_rec_model()):
            part.session.session = self._session_runs.wrap(part.session.session)


class _Interruptible:
    """Runs inferences with options on which another thread can set `terminate`."""

    def __init__(self, new_options: Any) -> None:
        self._new_options = new_options
        self._options = new_options()

    def interrupt(self) -> None:
        self._options.terminate = True

    def rearm(self) -> None:
        if self._options.terminate:
            self._options = self._new_options()

    def wrap(self, session: Any) -> Any:
        return _Session(session, self)

    def run(self, session: Any, outputs: Sequence[str], inputs: dict[str, Any]) -> Any:
        return session.run(outputs, inputs, self._options)


class _Session:
    """An ONNX Runtime session of which `run` can be interrupted."""

    def __init__(self, session: Any, runs: _Interruptible) -> None:
        self._session = session
        self._runs = runs

    def run(self, outputs: Sequence[str], inputs: dict[str, Any]) -> Any:
        return self._runs.run(self._session, outputs, inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def _checked(changes: Mapping[str, bool | int | float | str]) -> dict[str, bool | int | float | str]:
    """Raises UsageError for a parameter that there is not, or one of another type."""
    for name, value in changes.items():
        if name not in PARAMETERS or (type(value) is not type(PARAMETERS[name])):
            known = ", ".join(f"{item} ({type(default).__name__})" for item, default in PARAMETERS.items())
            raise UsageError(f"no parameter {name!r} of that type", remedy=f"the parameters are: {known}")
    return dict(changes)


def longest_side_read(width: int, height: int) -> int:
    """The length to which an image's longer side is shrunk before it is read; its own length for all but huge ones."""
    longest = max(width, height)
    if width * height <= MAX_READ_PIXELS:
        return longest
    return math.isqrt(longest * longest * MAX_READ_PIXELS // (width * height))


def _find_weights(folder: Path) -> dict[str, Path]:
    found = {part: folder / name for part, name in _WEIGHTS.items()}
    for path in found.values():
        if not path.is_file():
            raise Unavailable(f"the OCR engine's weights {path.name} are not in its package", remedy=INSTALL)
    return found


def _opencv() -> str:
    return str(import_module("cv2").__version__)


def _lines(quads: Any, texts: Sequence[str], scores: Sequence[float], width: int, height: int) -> list[TextLine]:
    lines = []
    for quad, raw, score in zip(quads, texts, scores, strict=True):
        box, text = _box(quad, width, height), _clean(raw)
        if box is not None and text:
            lines.append(TextLine(text=text, bbox=box, score=round(min(max(float(score), 0.0), 1.0) * 10_000)))
    return reading_order(lines)


def _box(quad: Any, width: int, height: int) -> Box | None:
    """The upright box around a quadrilateral, within the image; None when nothing is left of it."""
    xs, ys = [float(x) for x, _ in quad], [float(y) for _, y in quad]
    left, top = max(0, int(min(xs))), max(0, int(min(ys)))
    # The corners are pixels that belong to the text; the box ends after them.
    right, bottom = min(width, int(max(xs)) + 1), min(height, int(max(ys)) + 1)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _clean(text: str) -> str:
    kept = "".join(mark for mark in text if unicodedata.category(mark) not in ("Cc", "Cs"))
    return nfc(kept).strip()[:MAX_LINE_LENGTH]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve OCR until told to end; returns the exit code."""
    parser = options("ocr")
    parser.add_argument("--threads", type=int, default=2, help="threads of the model's runtime")
    parser.add_argument("--model", default="", metavar="JSON", help="engine and parameters; empty for the default")
    given = parser.parse_args(argv)
    return serve("ocr", given, lambda: TextService(OcrEngine(given.threads, _parameters(given.model))))


def _parameters(model: str) -> dict[str, bool | int | float | str]:
    try:
        return OcrModel.model_validate_json(model).parameters if model else {}
    except ValidationError as error:
        raise UsageError("--model is no description of an OCR model", remedy="see: pipeline settings") from error


if __name__ == "__main__":
    sys.exit(main())
