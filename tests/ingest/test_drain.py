"""`pipeline ingest` as it is met on the command line: spools, exit codes, the lock, what it prints."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from handoff_builder import Handoff, ingest_one, run_ingest, tree, whole_handoff

from pipeline.errors import ContractInvalid, ExitCode
from pipeline.ingest.result import State

RunCli = Callable[..., "subprocess.CompletedProcess[str]"]
NO_WAIT = ("--set", "settle_s=0")


def small_spool(path: Path) -> Path:
    for name in ("b", "a", "c"):
        Handoff(path / name).frame(name)
    return path


def test_a_spool_is_drained_in_name_order_and_one_rejected_does_not_stop_the_others(tmp_path: Path) -> None:
    spool = small_spool(tmp_path / "spool")
    (spool / "b" / "metadata.db").write_bytes(b"no database" * 100)
    outcome = run_ingest(tmp_path / "root", spool)
    states = [(Path(result.path).name, result.state) for result in outcome.results]
    assert states == [("a", State.ingested), ("b", State.rejected), ("c", State.ingested)]
    assert outcome.exit_code == 4


def test_several_paths_are_taken_each_handoff_once(tmp_path: Path) -> None:
    spool = small_spool(tmp_path / "spool")
    outcome = run_ingest(tmp_path / "root", spool / "c", spool, spool / "a")
    assert [Path(result.path).name for result in outcome.results] == ["c", "a", "b"]


def test_all_ingested_before_is_nothing_to_do_and_one_new_is_work(tmp_path: Path) -> None:
    spool = small_spool(tmp_path / "spool")
    assert run_ingest(tmp_path / "root", spool).exit_code == 0
    assert run_ingest(tmp_path / "root", spool).exit_code == 2
    Handoff(spool / "d").frame("d")
    assert run_ingest(tmp_path / "root", spool).exit_code == 0


def test_an_empty_spool_is_nothing_to_do_and_makes_no_data_root(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    assert run_ingest(tmp_path / "root", tmp_path / "spool").exit_code == 2
    assert not (tmp_path / "root").exists()


def test_directories_without_a_database_are_passed_over_and_named(tmp_path: Path) -> None:
    spool = small_spool(tmp_path / "spool")
    (spool / "coming").mkdir()
    outcome = run_ingest(tmp_path / "root", spool)
    assert outcome.passed_over == [str(spool / "coming")]
    assert outcome.exit_code == 0


@pytest.mark.parametrize("name", ["nowhere", "file", "bare"])
def test_a_path_that_leads_to_no_handoff_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "bare" / "media").mkdir(parents=True)
    result = ingest_one(tmp_path / "root", tmp_path / name)
    assert result.state is State.rejected
    assert "expected a handoff dir" in result.error


def test_a_wrong_path_does_not_keep_the_right_ones_from_going_through(tmp_path: Path) -> None:
    outcome = run_ingest(tmp_path / "root", tmp_path / "nowhere", small_spool(tmp_path / "spool"))
    assert [result.state for result in outcome.results] == [State.rejected] + [State.ingested] * 3
    assert outcome.exit_code == 4


def test_an_empty_database_left_in_a_spool_root_by_mistake_is_passed_over(tmp_path: Path) -> None:
    spool = small_spool(tmp_path / "spool")
    (spool / "metadata.db").touch()
    assert len(run_ingest(tmp_path / "root", spool).results) == 3


def test_a_link_in_a_spool_is_not_followed(tmp_path: Path) -> None:
    spool = small_spool(tmp_path / "spool")
    elsewhere = whole_handoff(tmp_path / "elsewhere")
    (spool / "link").symlink_to(elsewhere.path)
    assert len(run_ingest(tmp_path / "root", spool).results) == 3
    assert not elsewhere.marker.exists()


def test_a_database_that_a_sidecar_owns_is_refused_and_unchanged(tmp_path: Path, run_cli: RunCli) -> None:
    owned = Handoff(tmp_path / "root")
    owned.frame("0")
    before = tree(tmp_path / "root")
    whole_handoff(tmp_path / "h")
    done = run_cli("--data-root", tmp_path / "root", "ingest", tmp_path / "h", *NO_WAIT)
    assert done.returncode == 4
    assert "a sidecar owns it" in done.stderr
    assert "--data-root OTHER" in done.stderr
    assert {name: data for name, data in tree(tmp_path / "root").items() if not name.startswith("derived/")} == before


def test_a_second_ingest_is_busy(tmp_path: Path, run_cli: RunCli) -> None:
    whole_handoff(tmp_path / "h")
    (tmp_path / "root/derived").mkdir(parents=True)
    with (tmp_path / "root/derived/ingest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run_cli("--data-root", tmp_path / "root", "ingest", tmp_path / "h", *NO_WAIT)
    assert done.returncode == 6
    assert not (tmp_path / "h/reap_eligible.json").exists()


def test_the_command_prints_a_line_for_each_handoff_and_a_total(tmp_path: Path, run_cli: RunCli) -> None:
    spool = small_spool(tmp_path / "spool")
    (spool / "b" / "metadata.db").write_bytes(b"no database" * 100)
    done = run_cli("--data-root", tmp_path / "root", "ingest", spool, *NO_WAIT)
    assert done.returncode == 4
    lines = [line for line in done.stdout.splitlines() if "no contract.json: taken as contract" not in line]
    assert lines[0] == "a: ingested: 1 row (1 new, 0 known), 1 frame (1 complete), files: 1 linked, 0 copied"
    assert lines[1] == "b: rejected: metadata.db is not a SQLite database"
    assert lines[2].startswith("  → ")
    assert lines[-1].startswith("total: 3 handoffs (2 ingested, 1 rejected), 2 rows (2 new), 2 files linked, 0 copied")


def test_json_is_one_object_with_every_handoff_and_the_counts_add_up(tmp_path: Path, run_cli: RunCli) -> None:
    spool = small_spool(tmp_path / "spool")
    done = run_cli("--data-root", tmp_path / "root", "ingest", "--json", "--mode", "copy", spool, *NO_WAIT)
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == answer["exit_code"] == 0
    assert [(item["state"], item["files_copied"]) for item in answer["handoffs"]] == [("ingested", 1)] * 3
    for item in answer["handoffs"]:
        assert item["inserted"] + item["identical"] + item["quarantined"] == item["rows"]
    assert answer["totals"]["states"] == {"ingested": 3}
    assert done.stderr.count("ingested") == 3


def test_a_rerun_on_the_command_line_exits_2(tmp_path: Path, run_cli: RunCli) -> None:
    handoff = whole_handoff(tmp_path / "h")
    for code in (0, 2):
        done = run_cli("ingest", handoff.path, *NO_WAIT, env={"PIPELINE_DATA_ROOT": str(tmp_path / "root")})
        assert done.returncode == code


def test_unknown_modes_are_usage_errors(tmp_path: Path, run_cli: RunCli) -> None:
    assert run_cli("--data-root", tmp_path / "root", "ingest", tmp_path, "--mode", "move").returncode == 64


def test_stage_1_loads_no_model_and_no_table_library(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    program = (
        "import sys; from pipeline.cli.main import run\n"
        "code = run(['--data-root', sys.argv[1], 'ingest', sys.argv[2], '--set', 'settle_s=0'])\n"
        "print(code, [name for name in sys.argv[3:] if name in sys.modules])"
    )
    heavy = ["onnxruntime", "rapidocr", "cv2", "torch", "ray", "lancedb", "pyarrow", "numpy", "duckdb", "aiohttp"]
    command = [sys.executable, "-c", program, str(tmp_path / "root"), str(handoff.path), *heavy]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_files_are_private_to_the_user(tmp_path: Path, run_cli: RunCli) -> None:
    handoff = whole_handoff(tmp_path / "h")
    run_cli("--data-root", tmp_path / "root", "ingest", handoff.path, *NO_WAIT, "--mode", "copy")
    made = [tmp_path / "root", *(tmp_path / "root").rglob("*"), handoff.marker]
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_the_metadata_store_is_variant_a_with_its_indexes(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    ingest_one(tmp_path / "root", handoff.path)
    with closing(sqlite3.connect(tmp_path / "root/metadata.db")) as connection:
        columns = [(row[1], row[2], row[3], row[5]) for row in connection.execute("PRAGMA table_info(metadata)")]
        indexed = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        assert indexed.fetchone() == (3,)
    assert columns == [
        ("id", "TEXT", 0, 1),
        ("payload", "TEXT", 1, 0),
        ("record_type", "TEXT", 0, 0),
        ("ts_utc", "TEXT", 0, 0),
        ("run_id", "TEXT", 0, 0),
    ]


def test_leftovers_of_a_crash_are_removed_and_other_files_are_not(tmp_path: Path) -> None:
    root = tmp_path / "root"
    ours = [root / "media/.tmp-ingest/x", root / "handoffs/.tmp-ingest/x", root / "derived/tmp/.tmp-ingest-abc/x"]
    others = [root / "derived/tmp/.tmp-other/x", root / "media/.tmp-other"]
    for path in [*ours, *others]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    handoff = whole_handoff(tmp_path / "h")
    leftover = handoff.file(".tmp-reap_eligible.json-abc", b"half a marker")
    assert ingest_one(root, handoff.path).state is State.ingested
    assert [path.exists() for path in [*ours, *others, leftover]] == [False] * 3 + [True] * 2 + [False]


def test_a_spool_that_cannot_be_listed_is_said_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = small_spool(tmp_path / "spool")

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        (result,) = run_ingest(tmp_path / "root", spool).results
    assert result.state is State.rejected
    assert "cannot be looked into (Permission denied)" in result.error


def test_a_handoff_that_the_disk_does_not_show_is_told_and_the_others_go_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = small_spool(tmp_path / "spool")
    names = sorted(path.name for path in spool.iterdir())
    hidden, lstat = f"{spool}/{names[0]}/metadata.db", os.lstat

    def refuse(path: str | Path, **rest: int) -> os.stat_result:
        if str(path) == hidden:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return lstat(path, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", refuse)
        outcome = run_ingest(tmp_path / "root", spool)
    refused = [result for result in outcome.results if result.state is State.rejected]
    assert [Path(result.path).name for result in refused] == names[:1]
    assert "cannot be looked into (Input/output error)" in refused[0].error
    assert [result.state for result in outcome.results].count(State.ingested) == len(names) - 1
    assert (outcome.exit_code, outcome.passed_over) == (ExitCode.CONTRACT_INVALID, [])


def test_a_data_root_that_the_disk_refuses_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = small_spool(tmp_path / "spool")

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", refuse)
        with pytest.raises(ContractInvalid, match=r"cannot be worked on \(Input"):
            run_ingest(tmp_path / "root", spool)
    assert run_ingest(tmp_path / "root", spool).exit_code == ExitCode.OK
