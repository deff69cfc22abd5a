"""Pictures as grey levels, for stages that look at pixels without a model."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from pipeline.dataroot import DataRoot
from pipeline.errors import SampleError
from pipeline.stages.plain_boxes import Pixels
from pipeline.stores.evidence import load_blob

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
_MOST_PIXELS = 50_000_000


def grey_levels(root: DataRoot) -> Callable[[Mapping[str, Any]], Pixels | None]:
    """Make what gives the grey levels of a row of `frames`; None for a picture that cannot be used.

    The bytes are not to be trusted: the size that the header states is looked at before anything is decoded. Without
    Pillow, which comes with OCR, no picture can be used.
    """
    try:
        pillow = import_module("PIL.Image")
    except ImportError:
        return lambda _: None

    def read(frame: Mapping[str, Any]) -> Pixels | None:
        try:
            data = load_blob(root, frame["blob_path"], frame["content_hash"])
            with pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
                if image.size != (frame["width"], frame["height"]) or image.size[0] * image.size[1] > _MOST_PIXELS:
                    return None
                return np.asarray(image.convert("RGB").convert("L"), dtype=np.uint8)
        except SampleError:
            return None
        except Exception:  # noqa: BLE001  decoders raise anything, from struct.error to SyntaxError
            return None

    return read
