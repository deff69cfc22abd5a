"""A real server of the tiny VLM, a DataRoot with screens for it, and what came of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from processed_desk import FIXTURES
from real_vllm import Vllm
from screen_memory import Memory, minutes, rows
from vlm_memory import process_full
from vlm_server import Endpoint

from pipeline.dataroot import DataRoot
from pipeline.runs.report import RunReport

MOMENTS = minutes(10, *range(0, 60, 5)) + minutes(11, *range(0, 60, 5))


@dataclass
class Served:
    """A server of the tiny model at an address, and how many frames it is shown."""

    url: str
    key_file: Path
    folder: Path
    frames: int
    vllm: Vllm | None = None

    def run(self, root: DataRoot, url: str = "", **changes: Any) -> RunReport:
        """Run all stages until done."""
        known = {"vlm_model_path": str(self.folder), "vlm_model": "", "vlm_token_file": str(self.key_file)}
        return process_full(root, Endpoint(url=url or self.url), **{**known, "vlm_outage_s": 240.0, **changes})


def screens() -> list[bytes]:
    """The bundled screens, each picture once."""
    return sorted({path.read_bytes() for path in (FIXTURES / "spool").rglob("*.blob")})


def fill(memory: Memory, images: Sequence[bytes], order: int = 1) -> None:
    """A frame for each picture, in a window of its own, five minutes after the last: each is a keyframe."""
    for number, image in list(enumerate(images))[::order]:
        with Image.open(io.BytesIO(image)) as opened:
            width, height = opened.size
        window = {"title": f"Window {number}", "hwnd": 7, "process_path": "/usr/bin/editor"}
        fields: dict[str, Any] = {
            "width": width,
            "height": height,
            "window_ref": {"record_id": "w/1", "window": window},
        }
        memory.frame(number, MOMENTS[number], blob=image, **fields)


def described(root: DataRoot) -> dict[str, str]:
    """The hash of each record of the VLM."""
    return {row["record_id"]: row["row_hash"] for row in rows(root, "records") if row["modality"] == "vlm"}


def said(root: DataRoot) -> list[str]:
    """What the VLM said of each frame, in their order."""
    found = [row for row in rows(root, "records") if row["modality"] == "vlm"]
    return [row["output_json"] for row in sorted(found, key=lambda row: str(row["ts_utc"]))]


def fates(root: DataRoot) -> dict[str, tuple[str, str | None]]:
    """Status and error of each keyframe, by the number of its frame."""
    found = [row for row in rows(root, "stage_outcomes") if row["stage"] == "describe_screen"]
    return {row["sample_id"].rsplit("/", 1)[1]: (row["status"], row["error_code"]) for row in found}
