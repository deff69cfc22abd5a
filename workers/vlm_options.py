"""How a vision language model is to be run: where it is, on what device, with which numbers."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import Unavailable

DEVICES = ("cpu", "cuda")
DTYPES = ("auto", "float32", "bfloat16", "float16")
_USUAL_DTYPE = {"cpu": "float32", "cuda": "bfloat16"}
MAX_IMAGE_PIXELS = 1280 * 28 * 28
"""1280 tokens for a picture: a screen of 1920 x 1080 is shrunk to about two thirds of its width."""


@dataclass(frozen=True, slots=True)
class VlmOptions:
    """What the command line said."""

    model_path: Path
    model_name: str
    device: str
    dtype: str
    threads: int
    max_image_pixels: int

    def that_matter(self) -> dict[str, str | int]:
        """What of it decides over answers. Threads too: sums in another order differ in their last bits."""
        chosen = ("device", "dtype", "threads", "max_image_pixels")
        return {name: getattr(self, name) for name in chosen}

    def check_device(self, torch: Any) -> None:
        """Raise Unavailable when the device is not there."""
        if self.device == "cuda" and not torch.cuda.is_available():
            raise Unavailable(
                f"torch {torch.__version__} finds no CUDA device",
                remedy="install torch with CUDA, or: pipeline workers up vlm --set vlm_device=cpu",
            )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a model to a server's."""
    parser.add_argument("--model-path", type=Path, required=True, help="folder of the model, with safetensors")
    parser.add_argument("--model-name", help="name to serve it under; by default the folder's")
    parser.add_argument("--device", choices=DEVICES, default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="auto: float32 on cpu, bfloat16 on cuda")
    parser.add_argument("--threads", type=int, default=2, help="threads of the model's runtime")
    parser.add_argument("--max-image-pixels", type=int, default=MAX_IMAGE_PIXELS, help="larger pictures are shrunk")


def read_options(given: argparse.Namespace) -> VlmOptions:
    """The options, with what was left open filled in."""
    path = given.model_path.absolute()
    return VlmOptions(
        model_path=path,
        model_name=given.model_name or path.name,
        device=given.device,
        dtype=_USUAL_DTYPE[given.device] if given.dtype == "auto" else given.dtype,
        threads=max(1, min(given.threads, os.cpu_count() or 1)),
        max_image_pixels=max(1, given.max_image_pixels),
    )
