"""What becomes of the handoffs that are named by their defect, as `defects.json` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli, Spool

FIXTURES = Path(__file__).resolve().parent.parent / "dataroot_fixtures"
DEFECTS: dict[str, dict[str, Any]] = json.loads((FIXTURES / "defects.json").read_bytes())


def _ingest(run_cli: RunCli, spool: Spool, tmp_path: Path, *flags: str) -> dict[str, dict[str, Any]]:
    """Ingest all of them, `plain` first, each with the exit code it would have alone."""
    spool("plain", into="first")
    spool(*(name for name in DEFECTS if name != "plain"))
    arguments = ["ingest", tmp_path / "first", tmp_path / "spool", "--json", "--set", "settle_s=0", *flags]
    done = run_cli("--data-root", tmp_path / "root", *arguments)
    assert done.returncode == 4, done.stderr
    return {Path(result["path"]).name: result for result in json.loads(done.stdout)["handoffs"]}


@pytest.mark.parametrize(("flag", "expected"), [("--strict", "ingest"), ("--no-strict", "ingest_no_strict")])
def test_ingest_does_what_the_table_says(
    flag: str, expected: str, run_cli: RunCli, spool: Spool, tmp_path: Path
) -> None:
    results = _ingest(run_cli, spool, tmp_path, flag)
    assert set(results) == set(DEFECTS)
    for name, result in results.items():
        handoff = Path(result["path"])
        seen = {
            "exit_code": 4 if result["state"] == "rejected" else 0,
            "state": result["state"],
            "marker": (handoff / "reap_eligible.json").exists(),
            "rows": result["rows"] if result["state"] != "rejected" else 0,
            "frames_complete": result["frames_complete"] if result["state"] != "rejected" else None,
        }
        wanted = {"quarantined": 0, "incomplete": 0, **DEFECTS[name][expected]}
        seen |= {"quarantined": result["quarantined"], "incomplete": result["incomplete"]}
        assert seen == wanted, name


def test_reading_changes_nothing_in_a_handoff_but_its_marker(run_cli: RunCli, spool: Spool, tmp_path: Path) -> None:
    _ingest(run_cli, spool, tmp_path)
    for name in DEFECTS:
        after = tmp_path / ("first" if name == "plain" else "spool") / name
        (after / "reap_eligible.json").unlink(missing_ok=True)
        assert _content(after) == _content(FIXTURES / name), name


def _content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_each_rejection_names_what_was_found_and_what_to_do(run_cli: RunCli, spool: Spool, tmp_path: Path) -> None:
    rejected = [r for r in _ingest(run_cli, spool, tmp_path).values() if r["state"] == "rejected"]
    assert len(rejected) == sum(item["ingest"]["exit_code"] == 4 for item in DEFECTS.values())
    assert all(result["error"] and result["remedy"] for result in rejected)


@pytest.mark.slow
def test_run_reads_what_can_be_read_and_parks_the_rest(run_cli: RunCli, spool: Spool, tmp_path: Path) -> None:
    _ingest(run_cli, spool, tmp_path, "--no-strict")
    root = ["--data-root", tmp_path / "root"]
    try:
        done = run_cli(*root, "run", "--until-done", "--assume-idle-when-missing", timeout=300)
        assert done.returncode == 0, done.stderr
        query = "SELECT sample_id, status, error_code FROM stage_outcomes WHERE stage = 'find_text_lines'"
        rows = json.loads(run_cli(*root, "sql", query, "--json").stdout)["rows"]
    finally:
        run_cli(*root, "workers", "down")
    seen = {row["sample_id"]: (row["status"], row["error_code"]) for row in rows}
    wanted: dict[str, tuple[str, str | None]] = {}
    for name, item in DEFECTS.items():
        prefix = f"fixture-{name}/evidence.capture.frame/"
        if item["run"] is not None:
            wanted |= {f"{prefix}{number}": ("done", None) for number in item["run"]["read"]}
            wanted |= {f"{prefix}{number}": ("parked", code) for number, code in item["run"]["parked"].items()}
    assert seen == wanted
