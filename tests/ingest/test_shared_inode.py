"""A linked blob shares its inode with the producer: what is written to it later is found, and nothing cites it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from handoff_builder import RUN, Handoff, canonical_blob, ingest_one, kept, sha256, whole_handoff

from pipeline.dataroot import DataRoot
from pipeline.errors import SampleError
from pipeline.ingest.result import State
from pipeline.stores.evidence import load_blob

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
PLACE = canonical_blob(f"{RUN}/evidence.capture.frame/0")
HOLD = "import sys; f = open(sys.argv[1], 'r+b'); print('open', flush=True); sys.stdin.readline()"


@contextmanager
def held_open_for_writing(path: Path) -> Iterator[None]:
    """Another process that has a file open for writing, and writes nothing."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        try:
            yield
        finally:
            process.communicate("\n")


def test_a_write_in_place_after_the_ingest_is_named_by_verify(tmp_path: Path, run_cli: RunCli) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", b"picture")
    ingest_one(tmp_path / "root", handoff.path)
    (handoff.path / PLACE).write_bytes(b"another")
    done = run_cli("--data-root", tmp_path / "root", "verify", "--json")
    answer = json.loads(done.stdout)
    assert done.returncode == 4
    assert not answer["ok"]
    assert frame in json.dumps(answer["reasons"])


def test_nothing_reads_a_blob_that_was_written_to(tmp_path: Path, run_cli: RunCli) -> None:
    handoff = Handoff(tmp_path / "h")
    frame = handoff.frame("0", b"picture")
    ingest_one(tmp_path / "root", handoff.path)
    assert load_blob(DataRoot(tmp_path / "root"), PLACE, sha256(b"picture")) == b"picture"
    (handoff.path / PLACE).write_bytes(b"another")
    with pytest.raises(SampleError, match="blob_hash_differs"):
        load_blob(DataRoot(tmp_path / "root"), PLACE, sha256(b"picture"))
    assert frame


def test_replacing_the_file_instead_leaves_the_evidence_as_it_was(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.frame("0", b"picture")
    ingest_one(tmp_path / "root", handoff.path)
    handoff.file("new", b"another").rename(handoff.path / PLACE)
    assert kept(tmp_path / "root")[PLACE] == b"picture"


def test_a_blob_whose_record_has_no_hash_of_it_is_copied(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    handoff.file("clip.bin", b"clip")
    record = handoff.record("evidence.clipboard.item", "0", blob_path="clip.bin")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.files_linked, result.files_copied) == (0, 1)
    (handoff.path / "clip.bin").write_bytes(b"else")
    assert kept(tmp_path / "root")[canonical_blob(record)] == b"clip"


@pytest.mark.parametrize("name", [PLACE, "journal.ndjson", "metadata.db"])
def test_a_file_that_is_open_for_writing_makes_the_handoff_wait(tmp_path: Path, name: str) -> None:
    handoff = whole_handoff(tmp_path / "h")
    with held_open_for_writing(handoff.path / name):
        result = ingest_one(tmp_path / "root", handoff.path)
        assert (result.state, int(result.exit_code)) == (State.waiting, 2)
        assert "is open for writing" in result.warnings[-1]
    assert not handoff.marker.exists()
    assert kept(tmp_path / "root") == {}
    assert ingest_one(tmp_path / "root", handoff.path).state is State.ingested


def test_a_file_that_is_open_for_reading_is_no_hindrance(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    descriptor = os.open(handoff.path / PLACE, os.O_RDONLY)
    try:
        assert ingest_one(tmp_path / "root", handoff.path).state is State.ingested
    finally:
        os.close(descriptor)
