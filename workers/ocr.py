"""Serves OCR: reads the text of whole frames with PP-OCR on the CPU, from weights in the package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline.errors import Unavailable, UsageError
from pipeline.settings import OcrModel
from workers.memo_file import MemoFile
from workers.server import options, serve
from workers.text_service import TextService

if TYPE_CHECKING:
    from workers.read_frame import FrameReader

INSTALL = "pip install 'autocapture-pipeline[ocr]'"


_ENGINES = {
    "rapidocr": "workers.pp_ocr",
    "paddleocr": "workers.paddle_ocr",
    "paddleocr-vl": "workers.paddle_ocr_vl",
}


def load_reader(
    threads: int,
    runtime: str = "auto",
    changes: Mapping[str, bool | int | float | str] = MappingProxyType({}),
    store: Callable[[str], MemoFile] | None = None,
    engine: str = "rapidocr",
) -> FrameReader:
    """An OCR engine, ready to read frames; `changes` are to its parameters. `runtime` is that of PP-OCR.

    Raises Unavailable when a package or weight is missing, UsageError for a parameter that there is not.
    """
    try:
        modules = {name: import_module(_ENGINES[name]) for name in {engine, "rapidocr"}}
        reader = import_module("workers.read_frame")
    except ImportError as error:
        raise Unavailable(f"the OCR engine needs the package {error.name or error}", remedy=INSTALL) from error
    model = modules[engine]
    if engine == "paddleocr":
        chosen = model.PaddleOcr(threads, changes)
    elif engine == "paddleocr-vl":
        chosen = model.PaddleOcrVl(lambda: modules["rapidocr"].PpOcr(threads, runtime), changes)
    else:
        chosen = model.PpOcr(threads, runtime, changes)
    loaded: FrameReader = reader.FrameReader(chosen, store)
    return loaded


def main(argv: Sequence[str] | None = None) -> int:
    """Serve OCR until told to end; returns the exit code."""
    parser = options("ocr")
    parser.add_argument("--threads", type=int, default=2, help="threads of the model's runtime")
    parser.add_argument("--runtime", choices=("auto", "openvino", "onnxruntime"), default="auto")
    parser.add_argument("--memo", type=Path, help="file in which to keep what was read, for the next start")
    parser.add_argument("--memo-mb", type=int, default=512, help="MiB that the file may grow to")
    parser.add_argument("--model", default="", metavar="JSON", help="engine and parameters; empty for the default")
    given = parser.parse_args(argv)
    described = _described(given.model)
    memo = MemoFile(given.memo, given.memo_mb << 20) if given.memo is not None and given.memo_mb > 0 else None
    try:
        store = None if memo is None else lambda _: memo
        return serve(
            "ocr", given,
            lambda: TextService(
                load_reader(given.threads, given.runtime, described.parameters, store, described.engine)
            ),
        )  # fmt: skip
    finally:
        if memo is not None:
            memo.close()


def _described(model: str) -> OcrModel:
    try:
        return OcrModel.model_validate_json(model) if model else OcrModel()
    except ValidationError as error:
        raise UsageError("--model is no description of an OCR model", remedy="see: pipeline settings") from error


if __name__ == "__main__":
    sys.exit(main())
