"""Handoffs as an enemy makes them: none gets out of its place, none takes long, none leaves anything half-done."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from handoff_builder import ingest_one, kept, run_ingest, tree, whole_handoff
from hostile_handoffs import HOSTILE

from pipeline.ingest.result import State


def shape(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every entry below a directory: kind and size, and of a small regular file its bytes; links are not followed."""
    found = {}
    for folder, folders, files in os.walk(os.fsencode(path)):
        for name in (*folders, *files):
            entry = folder + b"/" + name
            status = os.lstat(entry)
            is_file = stat.S_ISREG(status.st_mode) and status.st_size < 1 << 26
            content = Path(os.fsdecode(entry)).read_bytes() if is_file else b""
            found[os.fsdecode(os.path.relpath(entry, os.fsencode(path)))] = (status.st_mode, status.st_size, content)
    return found


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_handoff_ends_with_its_code_and_a_sentence_and_nothing_else(tmp_path: Path, name: str) -> None:
    hostile = HOSTILE[name]
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/precious").write_bytes(b"precious")
    hostile.build(tmp_path / "h")
    before, outside = shape(tmp_path / "h"), shape(tmp_path / "outside")
    result = ingest_one(tmp_path / "root", tmp_path / "h")
    assert (int(result.exit_code), result.error) == (hostile.code, result.error)
    assert hostile.says in result.error + " ".join(result.warnings)
    assert result.error.isprintable()
    assert shape(tmp_path / "outside") == outside
    after = shape(tmp_path / "h")
    if hostile.code:
        assert (after, kept(tmp_path / "root")) == (before, {})
        assert result.remedy
    else:
        assert after.keys() - before.keys() <= {"reap_eligible.json"}
        assert result.state is State.ingested
        assert not [name for name in tree(tmp_path / "root") if ".tmp-" in name and "handoffs/h-" not in name]
    assert all(not path.is_symlink() for path in (tmp_path / "root").rglob("*"))


def test_one_hostile_handoff_after_the_other_does_not_keep_a_good_one_from_going_through(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    for name in ("endless view in place", "page of noise", "id that is null"):
        HOSTILE[name].build(tmp_path / "spool" / name)
    whole_handoff(tmp_path / "spool/~good")
    outcome = run_ingest(tmp_path / "root", tmp_path / "spool")
    assert [result.state for result in outcome.results] == [State.rejected] * 3 + [State.ingested]
    assert int(outcome.exit_code) == 4
