"""Runs a DataRoot through Ray with a server that dies once: `run_with_a_dying_server.py DATA_ROOT COMMAND…`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.engines.ray import RayEngine
from pipeline.engines.served import text_model
from pipeline.engines.shards import TextModel
from pipeline.gate import Gate, GateTerms
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.runs.servers import start_server
from pipeline.settings import Settings


def main(root: DataRoot, command: list[str]) -> None:
    """Run until done."""
    terms = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)
    settings = Settings(retry_backoff_s=0.1)
    gate = Gate(root.activity_signal, **terms)
    deaths = iter(["9"])

    def models(kind: str) -> TextModel:
        die = ["--die-at", next(deaths, "0"), "--run-file", str(root.worker_file(kind))]
        server = start_server(root, kind, [*command, *die], timeout_s=60)
        return text_model(root, settings, server, gate, concurrency=4)

    stages = ("list_frames", "list_windows", "visit_urls", "find_text_lines", "track_lines")
    run(root, settings, RunOptions(True, stages), RayEngine(root, settings, terms, 2), gate, models, LogProgress())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    main(DataRoot(Path(sys.argv[1])), sys.argv[2:])
