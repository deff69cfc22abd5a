"""Screens described by worker processes of Ray: the rows of the local engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ray_runs import start_run
from screen_memory import Memory, fact_files, minutes, process, rows
from vlm_memory import ShortText, full_settings, show
from vlm_server import Endpoint, said, serving

from pipeline.dataroot import DataRoot
from pipeline.runs.servers import missing_package

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytestmark = pytest.mark.skipif(missing_package("embed") is not None, reason="the extra `embed` is not installed")

NEW = [item for name in ("choose_keyframes", "describe_screen", "list_screens", "list_ui_elements", "list_dialogs")
       for item in ("--stage", name)]  # fmt: skip


def described(root: DataRoot, endpoint: Endpoint, engine: str) -> DataRoot:
    """A copy of a DataRoot whose screens were described, with an engine, by a run of its own."""
    copy = DataRoot(shutil.copytree(root.path, root.path.parent / engine))
    given = full_settings(copy, endpoint, shard_frames=2).model_dump(exclude_defaults=True)
    copy.settings_file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()))
    run = start_run(copy, "--engine", engine, "--assume-idle-when-missing", *NEW)
    assert run.end() == 0, run.stderr
    assert f"engine: {engine}" in run.stderr
    assert run.left() == []
    return copy


def test_rows_are_those_of_the_local_engine(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    for number, moment in enumerate(minutes(10, 0, 10, 20, 30) + minutes(11, 0, 10, 20, 30)):
        show(memory, number, moment)
    process(memory.root, ShortText(memory.root))
    bad = memory.blob("desk-1/evidence.capture.frame/7", minutes(11, 30)[0]).read_bytes()
    with serving(lambda image: "no JSON" if image == bad else said(image)) as endpoint:
        local, ray = (described(memory.root, endpoint, engine) for engine in ("local", "ray"))
    assert len(endpoint.requests) == 16
    assert row_hashes(ray) == row_hashes(local)
    assert len(row_hashes(ray)) == 8 + 7
    assert without_times(ray) == without_times(local)
    kept = [[path.name for path in root.quarantine.rglob("*.json")] for root in (local, ray)]
    assert len(kept[0]) == 1
    assert kept[0] == kept[1]


def row_hashes(root: DataRoot) -> dict[str, str]:
    return {row["record_id"]: row["row_hash"] for row in rows(root, "records")}


def without_times(root: DataRoot) -> dict[str, bytes]:
    """The fact files, but for the one that says how long an answer took."""
    return {name: content for name, content in fact_files(root).items() if "part-describe_screen" not in name}
