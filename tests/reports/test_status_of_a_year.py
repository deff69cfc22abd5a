"""What `status` reads does not grow with what was captured: counters, and no walk over blobs, facts or manifests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from bench_year_root import make_year
from screen_memory import Memory, minutes, process

from pipeline.dataroot import DataRoot
from pipeline.reports.status import report_status
from pipeline.settings import Settings

_walked: list[Path] = []
_watching: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in ("os.scandir", "os.listdir") and isinstance(arguments[0], str | Path):
        _walked.append(Path(arguments[0]))


@pytest.fixture
def walked() -> list[Path]:
    """The folders that are listed from now on; the hook of the interpreter cannot be taken out again."""
    if not _watching:
        sys.addaudithook(_hook)
    _watching.append(True)
    _walked.clear()
    return _walked


def test_status_walks_over_no_blobs_and_no_facts(tmp_path: Path, walked: list[Path]) -> None:
    memory = Memory(tmp_path / "root")
    for number, moment in enumerate(minutes(10, 0, 1, 2)):
        memory.frame(number, moment)
    process(memory.root)
    walked.clear()
    status = report_status(memory.root, Settings())
    assert status["indexes"]["text_index"]["up_to_date"]
    folders = (memory.root.media, memory.root.facts, memory.root.handoffs)
    assert [path for path in walked if any(path.is_relative_to(folder) for folder in folders)] == []
    assert any(path == memory.root.manifests for path in walked)


def test_the_synthetic_year_of_the_benchmark_is_one_that_status_understands(tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "year")
    make_year(root, frames=400, days=4, unread=30)
    status = report_status(root, Settings())
    counts = {row["stage"]: (row["done"], row["pending"]) for row in status["stages"]}
    assert (counts["list_frames"], counts["find_text_lines"]) == ((400, 0), (370, 30))
    assert status["sla"]["pending_frames"] == 30
    assert status["indexes"]["text_index"]["frames_captured_since"] == 0
