"""PP-OCRv6 small, from the weights in RapidOCR's package, with RapidOCR's way from a heat map to boxes."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np

from pipeline.errors import Unavailable, UsageError
from schemas.canonical import sha256_hex
from workers.images import Pixels
from workers.lookalikes import Letter, lookalikes
from workers.runtimes import LoadedModel, Runtime, Tensor, start_runtime
from workers.text_model import Box, RecognizedLine

INSTALL = "pip install 'autocapture-pipeline[ocr]'"

WEIGHTS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}

Parameter = bool | int | float | str

PARAMETERS: dict[str, Parameter] = {
    "Det.thresh": 0.3,
    "Det.box_thresh": 0.5,
    "Det.max_candidates": 3000,
    "Det.unclip_ratio": 1.8,
    "Det.use_dilation": False,
    "Det.score_mode": "fast",
}
"""How boxes are found in the heat map; measured in docs/benchmarks.md. By RapidOCR's names."""

MAX_READ_PIXELS = 17_000_000
"""Two 4K screens side by side are read as they are; more is shrunk to this, since detection takes 0.2 GB a million."""

LINE_HEIGHT = 48
STEP = 8
"""Columns of the scaled picture for each step of the recognizer."""

LATE = 0.035
"""Heights of the line by which the step that tells a letter lies right of the letter's middle."""

WIDTHS = (64, 96, 128, 160, 192, 224, 256, 288, 320, 384, 448, 512, 640, 768, 1024, 1280, 1792, 2560, 3840)
"""Widths to which a scaled line is filled up: few, since a runtime prepares itself anew for each, at some cost."""

SIDES = (64, 128, 192, 256, 384, 512, 768, 1024)
"""Widths and heights to which a block is filled up for the detector, for the same reason; larger: multiples of 256."""

_LIBRARIES = ("rapidocr", "pyclipper", "shapely")


class PpOcr:
    """PP-OCRv6 small as a TextModel; `changes` are to PARAMETERS.

    Raises Unavailable when a package or weight is missing, UsageError for a parameter that there is not.
    """

    model_id = "PP-OCRv6-small"

    def __init__(
        self, threads: int, runtime: str = "auto", changes: Mapping[str, Parameter] = MappingProxyType({})
    ) -> None:
        self._parameters = PARAMETERS | _checked(changes)
        try:
            rapidocr = import_module("rapidocr")
            post_process = import_module("rapidocr.ch_ppocr_det.utils").DBPostProcess
            self._runtime: Runtime = start_runtime(min(threads, os.cpu_count() or 1), runtime)
        except ImportError as error:
            raise Unavailable(f"the OCR engine needs the package {error.name or error}", remedy=INSTALL) from error
        self.weights = _find_weights(Path(str(rapidocr.__file__)).parent / "models")
        self.detector: LoadedModel = self._runtime.load(self.weights["Det"])
        self.recognizer: LoadedModel = self._runtime.load(self.weights["Rec"])
        self._boxes = post_process(**{name.removeprefix("Det."): value for name, value in self._parameters.items()})
        self._characters = ["", *self.recognizer.characters, " "]
        self._numbers = {mark: number for number, mark in enumerate(self._characters)}

    @property
    def provider_id(self) -> str:
        """RapidOCR's weights on the runtime that was chosen."""
        return f"rapidocr-{self._runtime.name}"

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """Weights, parameters, runtime and libraries. The number of threads is not here: it changes no result."""
        return {
            "weights": {part: sha256_hex(path.read_bytes()) for part, path in self.weights.items()},
            "parameters": {name: str(value) for name, value in self._parameters.items()},
            "sizes": {
                "widths": list(WIDTHS),
                "sides": list(SIDES),
                "line_height": LINE_HEIGHT,
                "pixels": MAX_READ_PIXELS,
            },
            "runtime": self._runtime.fingerprint,
            "versions": {name: metadata.version(name) for name in _LIBRARIES} | {"opencv": str(cv2.__version__)},
        }

    def detect(self, picture: Pixels) -> list[Box]:
        """The upright boxes around the lines of a picture; a huge one is shrunk first."""
        height, width = picture.shape[:2]
        shrunk = _shrunk(picture)
        rows, columns = shrunk.shape[:2]
        below, right = _side(rows) - rows, _side(columns) - columns
        filled = np.asarray(cv2.copyMakeBorder(shrunk, 0, below, 0, right, cv2.BORDER_REPLICATE), dtype=np.uint8)
        heat = self.detector.run(tensor_of(filled, filled.shape[1]))
        quads, _ = self._boxes(heat[:, :, :rows, :columns], (height, width))
        return [box for quad in quads if (box := _upright(quad, width, height)) is not None]

    def recognize(self, line: Pixels) -> RecognizedLine:
        """Read a line; it is scaled to one height and filled up to one of few widths."""
        height, width = line.shape[:2]
        columns = min(max(1, math.ceil(LINE_HEIGHT * width / height)), WIDTHS[-1])
        scaled = np.asarray(cv2.resize(line, (columns, LINE_HEIGHT)), dtype=np.uint8)
        chances = self.recognizer.run(tensor_of(scaled, self.filled_width(columns)))[0]
        best = chances.argmax(axis=1)
        steps = [step for step, mark in enumerate(best) if mark and (step == 0 or mark != best[step - 1])]
        if not steps:
            return RecognizedLine("", 0.0)
        letters = tuple(
            Letter(self._characters[best[step]], dict(self._chances(chances[step], best[step]))) for step in steps
        )
        scale = width / columns
        places = tuple(float((step + 0.5) * STEP * scale - LATE * height) for step in steps)
        score = float(np.mean([round(float(chances[step, best[step]]), 5) for step in steps]))
        return RecognizedLine("".join(letter.text for letter in letters), score, letters, places)

    def filled_width(self, columns: int) -> int:
        """The width to which a scaled line of so many columns is filled up."""
        return next(known for known in WIDTHS if known >= columns)

    def interrupt(self) -> None:
        """End the running inference."""
        self._runtime.interrupt()

    def rearm(self) -> None:
        """Let inferences run again."""
        self._runtime.rearm()

    def _chances(self, chances: Any, mark: int) -> Iterator[tuple[str, float]]:
        for other in lookalikes(self._characters[mark]):
            if other in self._numbers:
                yield other, float(chances[self._numbers[other]])


def _checked(changes: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Raises UsageError for a parameter that there is not, or one of another type."""
    for name, value in changes.items():
        if name not in PARAMETERS or (type(value) is not type(PARAMETERS[name])):
            known = ", ".join(f"{item} ({type(default).__name__})" for item, default in PARAMETERS.items())
            raise UsageError(f"no parameter {name!r} of that type", remedy=f"the parameters are: {known}")
    return dict(changes)


def _find_weights(folder: Path) -> dict[str, Path]:
    found = {part: folder / name for part, name in WEIGHTS.items()}
    for path in found.values():
        if not path.is_file():
            raise Unavailable(f"the OCR engine's weights {path.name} are not in its package", remedy=INSTALL)
    return found


def tensor_of(picture: Pixels, width: int) -> Tensor:
    """A picture as the models want it: channels first, -1 to 1, filled up with 0 on the right."""
    filled = np.zeros((1, 3, picture.shape[0], width), dtype=np.float32)
    filled[0, :, :, : picture.shape[1]] = picture.transpose(2, 0, 1)
    filled[0, :, :, : picture.shape[1]] *= np.float32(2 / 255)
    filled[0, :, :, : picture.shape[1]] -= np.float32(1)
    return filled


def _side(length: int) -> int:
    return next((known for known in SIDES if known >= length), -(-length // 256) * 256)


def _shrunk(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    longest = longest_side_read(width, height)
    if longest == max(width, height):
        return picture
    scale = longest / max(width, height)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    return np.asarray(cv2.resize(picture, size), dtype=np.uint8)


def longest_side_read(width: int, height: int) -> int:
    """The length to which an image's longer side is shrunk before it is read; its own length for all but huge ones."""
    longest = max(width, height)
    if width * height <= MAX_READ_PIXELS:
        return longest
    return math.isqrt(longest * longest * MAX_READ_PIXELS // (width * height))


def _upright(quad: Any, width: int, height: int) -> Box | None:
    """The upright box around a quadrilateral, within the picture; None when nothing is left of it."""
    xs, ys = [float(x) for x, _ in quad], [float(y) for _, y in quad]
    left, top = max(0, int(min(xs))), max(0, int(min(ys)))
    # The corners are pixels that belong to the text; the box ends after them.
    right, bottom = min(width, int(max(xs)) + 1), min(height, int(max(ys)) + 1)
    return (left, top, right, bottom) if left < right and top < bottom else None
