"""A null OCR server for the length of a measurement."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from pipeline.dataroot import DataRoot
from schemas.serving import RunFile

REPOSITORY = Path(__file__).resolve().parent.parent


class null_server:  # noqa: N801 reads as a statement
    """A null server of its own process, for the length of the block."""

    def __init__(self, root: DataRoot) -> None:
        self._folder = root.path.parent / f"server-{time.monotonic_ns()}"

    def __enter__(self) -> RunFile:
        self._folder.mkdir()
        run_file = self._folder / "null.json"
        script = REPOSITORY / "scripts" / "null_ocr_server.py"
        self._process = subprocess.Popen([sys.executable, str(script), "--run-file", str(run_file)])
        deadline = time.monotonic() + 30
        while not run_file.exists():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("the null server did not start")
            time.sleep(0.05)
        return RunFile.model_validate_json(run_file.read_bytes())

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
