"""PaddleOCR's own detector and recognizer as a TextModel, from model folders on this machine and from nowhere else."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from pipeline.errors import Unavailable, UsageError
from schemas.canonical import sha256_hex
from workers.images import Pixels
from workers.text_model import Box, Interrupted, RecognizedLine

INSTALL = "pip install paddlepaddle==3.3.1 paddleocr==3.7.0"

PARAMETERS = ("detection_name", "detection_dir", "recognition_name", "recognition_dir")
"""What a description of this engine has to name: both models as PaddleOCR calls them, and where their files lie."""

_FILES = (("inference.yml",), ("inference.json", "inference.pdmodel"), ("inference.pdiparams",))
"""What a model's folder holds; of each group one."""

_LIBRARIES = ("paddlepaddle", "paddleocr", "paddlex")

_OFFLINE = {
    "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True",
    "PADDLE_PDX_MODEL_SOURCE": "huggingface",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
"""Set before the library is imported. The folders are complete, so that it has nothing to look for anyway."""

_EXAMPLE = (
    'in DATA_ROOT/pipeline.toml: parameters = { detection_name = "PP-OCRv5_mobile_det", detection_dir = "FOLDER",'
    ' recognition_name = "PP-OCRv5_mobile_rec", recognition_dir = "FOLDER" }'
)


class PaddleOcr:
    """PaddleOCR as a TextModel. Its runs cannot be ended from outside: an interrupted one ends when it is through.

    Raises UsageError for a parameter that there is not, Unavailable when a folder, a file or a package is missing.
    """

    def __init__(self, threads: int, parameters: Mapping[str, object]) -> None:
        self._settled = _checked(parameters)
        self.weights = {part: _model_files(part, Path(self._settled[f"{part}_dir"])) for part in _PARTS}
        os.environ.update(_OFFLINE)
        try:
            library = import_module("paddleocr")
        except ImportError as error:
            missing = error.name or error
            raise Unavailable(f"the OCR engine paddleocr needs the package {missing}", remedy=INSTALL) from error
        self._interrupted = threading.Event()
        self._detector = self._load(library.TextDetection, "detection", threads)
        self._recognizer = self._load(library.TextRecognition, "recognition", threads)

    @property
    def provider_id(self) -> str:
        """PaddleOCR on PaddlePaddle, on the CPU."""
        return "paddleocr"

    @property
    def model_id(self) -> str:
        """Both models' names."""
        return f"{self._settled['detection_name']}+{self._settled['recognition_name']}"

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """Weights, names and libraries; where the folders lie decides nothing, nor does the number of threads."""
        weights = {
            part: {path.name: sha256_hex(path.read_bytes()) for path in files} for part, files in self.weights.items()
        }
        names = {part: self._settled[f"{part}_name"] for part in _PARTS}
        return {"weights": weights, "names": names, "versions": {name: metadata.version(name) for name in _LIBRARIES}}

    def detect(self, picture: Pixels) -> list[Box]:
        """The upright boxes around the lines of a picture."""
        height, width = picture.shape[:2]
        [found] = self._run(self._detector, picture)
        boxes = (_upright(quad, width, height) for quad in found["dt_polys"])
        return [box for box in boxes if box is not None]

    def recognize(self, line: Pixels) -> RecognizedLine:
        """Read a line; PaddleOCR tells neither letters nor their places."""
        [found] = self._run(self._recognizer, line)
        return RecognizedLine(str(found["rec_text"]), min(max(float(found["rec_score"]), 0.0), 1.0))

    def interrupt(self) -> None:
        """Refuse calls, and what the running one gives."""
        self._interrupted.set()

    def rearm(self) -> None:
        """Let calls through again."""
        self._interrupted.clear()

    def _load(self, model: Any, part: str, threads: int) -> Any:
        name, folder = self._settled[f"{part}_name"], self._settled[f"{part}_dir"]
        try:
            return model(model_name=name, model_dir=folder, device="cpu", cpu_threads=threads)
        except Exception as error:  # the library raises anything for files that are not what it expects
            raise Unavailable(
                f"PaddleOCR cannot load {name} from {folder} ({type(error).__name__})", remedy=_get(part)
            ) from error

    def _run(self, model: Any, picture: Pixels) -> list[Any]:
        if self._interrupted.is_set():
            raise Interrupted("told to end")
        found = model.predict(picture.copy(), batch_size=1)
        if self._interrupted.is_set():
            raise Interrupted("told to end")
        return list(found)


_PARTS = ("detection", "recognition")


def _checked(parameters: Mapping[str, object]) -> dict[str, str]:
    unknown = sorted(parameters.keys() - set(PARAMETERS))
    if unknown:
        raise UsageError(f"the OCR engine paddleocr has no parameter {unknown[0]!r}", remedy=_EXAMPLE)
    missing = [name for name in PARAMETERS if not isinstance(parameters.get(name), str) or not parameters[name]]
    if missing:
        raise Unavailable(f"the OCR engine paddleocr needs {missing[0]} in its description", remedy=_EXAMPLE)
    return {name: str(parameters[name]) for name in PARAMETERS}


def _model_files(part: str, folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise Unavailable(f"the {part} model's folder {folder} is not there", remedy=_get(part))
    files = []
    for group in _FILES:
        found = [folder / name for name in group if (folder / name).is_file()]
        if not found:
            raise Unavailable(f"the {part} model's folder {folder} holds no {' or '.join(group)}", remedy=_get(part))
        files.append(found[0])
    return files


def _get(part: str) -> str:
    return (
        f"unpack the {part} model's inference files (inference.yml, inference.json, inference.pdiparams) into it, as"
        f" {part}_name names them"
    )


def _upright(quad: Any, width: int, height: int) -> Box | None:
    """The upright box around a quadrilateral, within the picture; None when nothing is left of it."""
    xs, ys = [float(x) for x, _ in quad], [float(y) for _, y in quad]
    left, top = max(0, int(min(xs))), max(0, int(min(ys)))
    right, bottom = min(width, int(max(xs)) + 1), min(height, int(max(ys)) + 1)
    return (left, top, right, bottom) if left < right and top < bottom else None
