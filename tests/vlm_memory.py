"""A DataRoot with pictures, and runs of it with the profile `full` against an endpoint on loopback."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from screen_memory import InProcessModel, Memory, open_gate, read_text
from vlm_server import MODEL, Endpoint, picture

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.gate import Gate
from pipeline.runs.loop import run
from pipeline.runs.models import served_models
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions, RunReport
from pipeline.runs.work import ModelSource
from pipeline.settings import Settings

WIDTH, HEIGHT = 64, 48


def model_folder(parent: Path) -> Path:
    """A folder with the files that a model has."""
    folder = parent / Path(MODEL).name
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"model_type": "qwen2_vl"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def full_settings(root: DataRoot, endpoint: Endpoint, **changes: Any) -> Settings:
    """Settings of the profile `full` for an endpoint; the model's folder lies beside the DataRoot."""
    given = {"vlm_url": endpoint.url, "vlm_model_path": str(model_folder(root.path.parent)), "retry_backoff_s": 0.0}
    return Settings(**{"profile": "full", "vlm_model": MODEL, "vlm_outage_s": 5.0, **given, **changes})


def show(memory: Memory, number: int, ts_utc: str, window: str = "", run_id: str = "desk-1") -> str:
    """Add a frame that shows a picture of its own, in a window of its own unless one is named."""
    title = window or f"Window {number}"
    reference = {"record_id": "w/1", "window": {"title": title, "hwnd": 7, "process_path": "/usr/bin/editor"}}
    fields = {"width": WIDTH, "height": HEIGHT, "window_ref": reference}
    return memory.frame(number, ts_utc, run_id, picture(WIDTH, HEIGHT, number), **fields)


class ShortText(InProcessModel):
    """An OCR model that reads the same word on every picture."""

    def _reply(self, frame: Any) -> Any:
        return read_text("a word")


def sources(root: DataRoot, settings: Settings, gate: Gate) -> ModelSource:
    """OCR in this process, and the VLM behind its endpoint."""
    served, text = served_models(root, settings, gate), ShortText(root)
    return lambda kind: text(kind) if kind == "ocr" else served(kind)


def process_full(
    root: DataRoot, endpoint: Endpoint, gate: Gate | None = None, options: RunOptions | None = None, **changes: Any
) -> RunReport:
    """Run all stages until done."""
    settings, gate = full_settings(root, endpoint, **changes), gate or open_gate(root)
    chosen = options or RunOptions(until_done=True)
    return run(root, settings, chosen, LocalEngine(root), gate, sources(root, settings, gate), LogProgress())


def kept_replies(root: DataRoot) -> list[dict[str, Any]]:
    """All bad replies that were kept."""
    return [orjson.loads(path.read_bytes()) for path in sorted(root.quarantine.rglob("*.json"))]
