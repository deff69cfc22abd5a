"""Pictures as grey levels: bytes that are not to be trusted give none, and never an error."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.dataroot import DataRoot
from pipeline.engines.pictures import grey_levels
from schemas.canonical import sha256_hex


def frame(root: DataRoot, data: bytes, **changes: Any) -> dict[str, Any]:
    (root.path / "picture").write_bytes(data)
    told = {"blob_path": "picture", "content_hash": sha256_hex(data), "width": 20, "height": 10}
    return told | changes


def png(level: int = 90) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (20, 10), (level, level, level)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path)


def test_a_picture_becomes_grey_levels(root: DataRoot) -> None:
    pixels = grey_levels(root)(frame(root, png()))
    assert pixels is not None
    assert (pixels.shape, int(pixels.min()), int(pixels.max())) == ((10, 20), 90, 90)


@pytest.mark.parametrize("data", [b"", b"no picture", png()[:45]])
def test_a_damaged_picture_gives_none(root: DataRoot, data: bytes) -> None:
    assert grey_levels(root)(frame(root, data)) is None


@pytest.mark.parametrize("changes", [{"width": 21}, {"content_hash": "0" * 64}, {"blob_path": "elsewhere"}])
def test_a_picture_that_is_not_the_frames_gives_none(root: DataRoot, changes: dict[str, Any]) -> None:
    assert grey_levels(root)(frame(root, png(), **changes)) is None
