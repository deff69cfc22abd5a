"""A chronicle session killed, or refused by the disk, on its way in: the sweep of `test_crash_sweep.py` over it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from chronicle_builder import RUN, whole_session
from handoff_builder import journal, kept, of_type, rows, tree
from screen_memory import folder_in_memory
from test_crash_sweep import MOST_POINTS, command, final_state, fresh, install, run_and_die_at, run_quietly, undisturbed

from pipeline.cli.main import run

REFUSABLE = {"fsync", "rename", "link", "mkdir", "write", "ftruncate", "utime", "INSERT", "COMMIT"}


@pytest.fixture
def workplace() -> Iterator[Path]:
    with folder_in_memory() as path:
        yield path


@pytest.fixture
def template(workplace: Path) -> Path:
    return whole_session(workplace / "template").write().path


def assert_marker_is_true(base: Path, template: Path) -> None:
    """A marker may lie there only when the DataRoot alone holds all of the session."""
    if not (base / "h/reap_eligible.json").exists():
        return
    marker = json.loads((base / "h/reap_eligible.json").read_bytes())
    contents = set(kept(base / "root").values())
    assert [name for name, data in tree(template).items() if data not in contents] == []
    (completed,) = of_type(base / "root", "system.ingest.handoff.completed")
    assert completed["handoff_manifest_sha256"] == marker["integrity"]["handoff_manifest_sha256"]
    assert len(of_type(base / "root", "retention.eligible")) == 3
    assert len([name for name in rows(base / "root") if name.startswith(f"{RUN}/") and "/0000" in name]) == 8
    assert len(journal(base / "root")) == 1


@pytest.mark.parametrize(("first", "step"), [(1, 3), pytest.param(2, 1, marks=pytest.mark.slow)])
def test_a_session_killed_at_any_point_is_marked_truly_and_a_rerun_ends_the_same(
    workplace: Path, template: Path, first: int, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = undisturbed(workplace, template, "hardlink", capsys)
    point = first
    while run_and_die_at(point, base := fresh(workplace, template, str(point)), "hardlink"):
        assert_marker_is_true(base, template)
        assert run(command(base, "hardlink")) in (0, 2)
        assert final_state(base) == expected, point
        shutil.rmtree(base)
        point += step
        assert point < MOST_POINTS
    assert final_state(base) == expected
    assert point > 40


@pytest.mark.parametrize(("first", "step"), [(1, 4), pytest.param(2, 1, marks=pytest.mark.slow)])
def test_a_session_refused_by_the_disk_at_any_point_is_not_marked_unless_it_is_safe(
    workplace: Path, template: Path, first: int, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = undisturbed(workplace, template, "hardlink", capsys)
    for point in range(first, MOST_POINTS, step):
        base = fresh(workplace, template, str(point))
        refused: list[str] = []
        left = [point]

        def hit(name: str, left: list[int] = left, refused: list[str] = refused) -> None:
            left[0] -= name in REFUSABLE
            if left[0] == 0 and not refused:
                refused.append(name)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with pytest.MonkeyPatch.context() as patch:
            install(patch.setattr, hit)
            status = run_quietly(base)
        assert_marker_is_true(base, template)
        if not refused:
            assert final_state(base) == expected
            assert point > 30
            return
        assert status == 4 or (status == 0 and (base / "h/reap_eligible.json").exists()), (point, refused)
        assert run(command(base, "hardlink")) in (0, 2), (point, refused)
        assert final_state(base) == expected, (point, refused)
        shutil.rmtree(base)
    pytest.fail("the sweep never came to its end")
