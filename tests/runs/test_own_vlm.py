"""Our own VLM server as a run uses it: found, started, started again, with a model of random weights."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from screen_memory import Memory, rows
from served_vlm import fates, fill, screens
from vlm_memory import process_full
from vlm_server import Endpoint, picture

from pipeline.errors import Unavailable
from pipeline.runs.servers import find_server, stop_server
from pipeline.runs.vlm import find_vlm
from pipeline.settings import Settings
from schemas.serving import RunFile


@pytest.mark.slow
def test_our_own_server_is_started_by_the_run_and_again_when_it_is_killed(tiny_vlm: Path, memory: Memory) -> None:
    fill(memory, screens()[:8])
    killed: list[int] = []

    def kill_in_the_middle() -> None:
        deadline = time.monotonic() + 120
        while not killed and time.monotonic() < deadline:
            server = find_server(memory.root, "vlm")
            if server is not None and server.pid > 0 and len(rows(memory.root, "frames")) > 0:
                time.sleep(3)
                os.kill(server.pid, signal.SIGKILL)
                killed.append(server.pid)
            time.sleep(0.2)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    try:
        known: dict[str, Any] = {"vlm_model_path": str(tiny_vlm), "vlm_model": "", "vlm_server": "own"}
        report = process_full(memory.root, Endpoint(), **known, vlm_outage_s=120.0)
        killer.join()
        server = find_server(memory.root, "vlm")
    finally:
        stop_server(memory.root, "vlm")
    assert report.samples["describe_screen"] == Counter(done=8)
    assert server is not None
    assert killed != [server.pid]


def test_a_run_takes_our_own_server_that_is_up(vlm_worker_root: Memory, vlm_worker: RunFile, tiny_vlm: Path) -> None:
    memory = vlm_worker_root
    fill(memory, [picture(64, 48, 1), picture(64, 48, 2)])
    known: dict[str, Any] = {"vlm_model_path": str(tiny_vlm), "vlm_model": "", "vlm_server": "own"}
    report = process_full(memory.root, Endpoint(), **known)
    assert report.samples["describe_screen"] == Counter(done=2)
    found = [row for row in rows(memory.root, "records") if row["modality"] == "vlm"]
    assert {row["model_digest"] for row in found} == {vlm_worker.model.model_digest}
    assert {row["provider_id"] for row in found} == {"transformers-cpu"}
    with pytest.raises(Unavailable, match="serves tiny-vlm, and not the model in") as caught:
        find_vlm(memory.root, Settings(vlm_server="own", vlm_model_path=str(tiny_vlm), vlm_model="other"))
    assert caught.value.remedy == "pipeline workers down vlm"


@pytest.mark.slow
def test_the_command_line_describes_20_screens_with_our_own_server(
    run_cli: RunCli, memory: Memory, tiny_vlm: Path
) -> None:
    fill(memory, screens()[:20])
    settings = {"vlm_server": "own", "vlm_model_path": tiny_vlm}
    arguments = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    try:
        command = ["run", "--until-done", "--profile", "full", "--assume-idle-when-missing", "--engine", "local"]
        ended = run_cli("--data-root", memory.root, *command, "--json", *arguments, timeout=500)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["samples"]["describe_screen"] == {"done": 20}
    finally:
        for kind in ("ocr", "embed", "vlm"):
            stop_server(memory.root, kind)
    assert set(fates(memory.root).values()) == {("done", None)}
