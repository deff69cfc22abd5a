"""PaddleOCR-VL as a TextModel: our own detector finds the lines, the model behind an endpoint reads each.

    picture ─ detect (PP-OCR, here) ─▶ lines ─ recognize ─▶ `OCR:` and the picture ─▶ vLLM on loopback ─▶ its text

The model is served by somebody else `[model-3]`; what it says is untrusted: bounded, checked, and text only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from pipeline.chat_endpoint import Called, ask_chat_endpoint, find_card, served_names
from pipeline.errors import Unavailable, UsageError
from pipeline.loopback import HangUp, require_loopback
from workers.answering import Lost
from workers.images import Pixels
from workers.picture_reader import LEAST_SIDE, REQUEST_PARAMETERS, NotRead, PictureReader
from workers.text_model import Box, RecognizedLine, TextModel
from workers.vlm_folder import digest_files

REQUIRED, OPTIONAL = ("model_dir", "url"), ("model", "token_file")
"""What a description has to name: the folder that the server was given, and where it is; and what it may name."""

_SUFFIXES = (".safetensors", ".bin", ".json", ".jinja", ".txt", ".model", ".tiktoken", ".yml")
_WEIGHTS = (".safetensors", ".bin")
_EXAMPLE = (
    'in DATA_ROOT/pipeline.toml: parameters = { model_dir = "FOLDER", url = "http://127.0.0.1:8118" }'
    " (docs/operating.md, 'Another OCR model')"
)


class PaddleOcrVl:
    """PaddleOCR-VL behind an OpenAI-compatible endpoint, with a detector of ours.

    Raises UsageError for a parameter that there is not; Unavailable, saying what is missing: a parameter, the folder,
    its weights, the endpoint, the model there, its way to answer; ContractInvalid beyond loopback `[model-1]`.
    """

    def __init__(self, detector: Callable[[], TextModel], parameters: Mapping[str, object]) -> None:
        settled = _checked(parameters)
        folder = Path(settled["model_dir"])
        self._files = _model_files(folder)
        self._reader = _find_reader(settled, folder)
        self._detector = detector()
        self._folder = folder
        self._interrupted = threading.Event()
        self._try_out()

    @property
    def provider_id(self) -> str:
        """Whoever serves it."""
        return f"paddleocr-vl-{self._reader.owner}"

    @property
    def model_id(self) -> str:
        """The name of its folder."""
        return self._folder.name

    @property
    def fingerprint(self) -> Mapping[str, object]:
        """The files of its folder, the server's kind and version, the request, and the detector; no place of any."""
        return {
            "weights": self._files,
            "server": {"kind": self._reader.owner, "version": self._reader.version, "name": self._reader.served},
            "request": REQUEST_PARAMETERS,
            "detector": dict(self._detector.fingerprint),
        }

    def detect(self, picture: Pixels) -> list[Box]:
        """The boxes that our detector finds: the model itself tells none for the text of a picture."""
        return self._detector.detect(picture)

    def recognize(self, line: Pixels) -> RecognizedLine:
        """Ask for the text of a line; it tells neither letters nor their places. Raises Lost when nobody answers."""
        return self._reader.read(line, self._interrupted)

    def interrupt(self) -> None:
        """End the request that runs, and what the detector does."""
        self._interrupted.set()
        self._reader.hang_up()
        self._detector.interrupt()

    def rearm(self) -> None:
        """Let calls through again."""
        self._interrupted.clear()
        self._reader.hang_up = HangUp()
        self._detector.rearm()

    def _try_out(self) -> None:
        """Have an empty picture read, so that a server that cannot is told before there is work."""
        try:
            self._reader.read(np.full((LEAST_SIDE, LEAST_SIDE, 3), 255, np.uint8), self._interrupted)
        except (Lost, NotRead) as error:
            problem = f"the PaddleOCR-VL endpoint {self._reader.url} does not read a picture: {error}"
            raise Unavailable(problem, remedy=_serve(self._folder)) from error


def _checked(parameters: Mapping[str, object]) -> dict[str, str]:
    unknown = sorted(parameters.keys() - {*REQUIRED, *OPTIONAL})
    if unknown:
        raise UsageError(f"the OCR engine paddleocr-vl has no parameter {unknown[0]!r}", remedy=_EXAMPLE)
    missing = [name for name in REQUIRED if not isinstance(parameters.get(name), str) or not parameters[name]]
    if missing:
        raise Unavailable(f"the OCR engine paddleocr-vl needs {missing[0]} in its description", remedy=_EXAMPLE)
    return {name: str(parameters.get(name, "")) for name in (*REQUIRED, *OPTIONAL)}


def _model_files(folder: Path) -> dict[str, str]:
    """The files that decide what the model says, by hash. Raises Unavailable when the folder holds no model."""
    if not folder.is_dir():
        raise Unavailable(f"PaddleOCR-VL's folder {folder} is not there", remedy=_get(folder))
    if not (folder / "config.json").is_file():
        raise Unavailable(f"PaddleOCR-VL's folder {folder} holds no config.json", remedy=_get(folder))
    if not any(path.suffix in _WEIGHTS for path in folder.iterdir()):
        raise Unavailable(f"PaddleOCR-VL's folder {folder} holds no weights (*.safetensors)", remedy=_get(folder))
    return digest_files(folder, _SUFFIXES)


def _find_reader(settled: Mapping[str, str], folder: Path) -> PictureReader:
    url, token = require_loopback(settled["url"].rstrip("/").removesuffix("/v1")), _read_token(settled["token_file"])
    key = "name the file with its server's key: token_file, beside url (docs/operating.md)"
    told = ask_chat_endpoint(url, token, Called("PaddleOCR-VL endpoint", _serve(folder), key))
    card = find_card(told.models, settled["model"], folder)
    if card is None:
        raise Unavailable(
            f"the PaddleOCR-VL endpoint {url} serves {served_names(told.models)}, and not {settled['model'] or folder}",
            remedy=f"{_serve(folder)}, or name it as it is served: model, beside url",
        )
    return PictureReader(url, card.id, card.owned_by or "server", told.version, token)


def _read_token(path: str) -> str:
    if not path:
        return ""
    try:
        if Path(path).stat().st_mode & 0o077:
            raise Unavailable(f"PaddleOCR-VL's key file {path} may be read by others", remedy=f"chmod 600 {path}")
        return Path(path).read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"PaddleOCR-VL's key file {path} cannot be read ({type(error).__name__})", remedy="set token_file right"
        ) from error


def _serve(folder: Path) -> str:
    return f"vllm serve {folder} --host 127.0.0.1 --port 8118 --trust-remote-code (docs/operating.md)"


def _get(folder: Path) -> str:
    return (
        f"put the files of PaddleOCR-VL (config.json, model.safetensors, tokenizer) into {folder}; none is downloaded"
    )
