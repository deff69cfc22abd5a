"""The command line: exit codes, one JSON object, clear messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import Cli, RunCli
from screen_memory import Memory, minutes, process

from pipeline import __version__
from pipeline.dataroot import DataRoot
from pipeline.settings import Settings
from pipeline.stores.lock import hold_lock
from schemas.evidence import WINDOW

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("PIPELINE_", "AP_")):
            monkeypatch.delenv(name)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """A DataRoot whose evidence needs no model."""
    place = Memory(tmp_path / "root")
    place.put(WINDOW, 0, minutes(10, 0)[0], {"window": {"title": "Inbox", "hwnd": 7}})
    return place


def test_without_arguments_help_is_shown_and_the_exit_code_is_64(run_cli: RunCli) -> None:
    done = run_cli()
    shown = done.stdout + done.stderr
    assert done.returncode == 64
    assert "Usage: pipeline" in shown
    assert "error" not in shown


def test_the_version_is_shown(cli: Cli) -> None:
    assert cli("--version") == (0, f"pipeline {__version__}\n", "")


def test_no_plugin_is_shown_what_a_model_holds(tmp_path: Path, run_cli: RunCli) -> None:
    installed = tmp_path / "site"
    about = installed / "watching-0.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: watching\nVersion: 0.1\n")
    (about / "entry_points.txt").write_text("[pydantic]\nwatching = watching:plugin\n")
    (installed / "watching.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'w').close()\nplugin = None\n")
    done = run_cli("--data-root", tmp_path / "root", "settings", env={"PYTHONPATH": str(installed)})
    assert done.returncode == 0, done.stderr
    assert "settle_s" in done.stdout
    assert not (tmp_path / "loaded").exists()


@pytest.mark.parametrize("command", ["run", "sql", "status", "doctor", "settings", "ingest"])
def test_each_command_has_help(command: str, cli: Cli) -> None:
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert f"Usage: pipeline {command}" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["run", "--nothing"],
        ["run", "--engine", "cluster"],
        ["run", "--max-frames", "0"],
        ["run", "--max-frames", "many"],
        ["run", "--once", "--until-done"],
        ["run", "--stage", "paint"],
        ["sql", "SELECT 1", "SELECT 2"],
        ["sql", "--format", "xml"],
        ["sql", "SELEC 1"],
        ["status", "--set", "nothing=1"],
        ["status", "--set", "settle_s"],
        ["status", "--set", "settle_s=soon"],
        ["status", "--set", "signal_max_age_s=60"],
    ],
)
def test_a_usage_error_exits_with_64_and_says_what_to_do(arguments: list[str], memory: Memory, cli: Cli) -> None:
    code, out, err = cli("--data-root", memory.root, *arguments)
    assert code == 64
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["run", "sql", "status", "doctor"])
def test_without_a_dataroot_the_exit_code_is_64(command: str, cli: Cli) -> None:
    code, _, err = cli(command)
    assert (code, err) == (
        64,
        "error: no DataRoot was named\n  → give --data-root PATH, or set PIPELINE_DATA_ROOT\n",
    )


@pytest.mark.parametrize("command", ["run", "sql", "status", "doctor"])
@pytest.mark.parametrize("kind", ["absent", "file"])
def test_a_dataroot_that_does_not_exist_exits_with_4_and_is_not_made(
    command: str, kind: str, tmp_path: Path, cli: Cli
) -> None:
    place = tmp_path / "none"
    if kind == "file":
        place.touch()
    code, content = cli.json("--data-root", place, command)
    assert (code, content["exit_code"], content["ok"]) == (4, 4, False)
    assert content["error"] == f"no DataRoot at {place}"
    assert content["remedy"]
    assert not place.is_dir()


def test_an_unknown_stage_outweighs_a_missing_dataroot(tmp_path: Path, cli: Cli) -> None:
    assert cli("--data-root", tmp_path / "none", "run", "--stage", "paint")[0] == 64


@pytest.mark.parametrize("command", ["run", "status", "doctor"])
def test_a_store_that_cannot_be_read_exits_with_4(command: str, memory: Memory, cli: Cli) -> None:
    memory.root.metadata_db.write_bytes(b"This file is no database.\n" * 40)
    code, out, err = cli("--data-root", memory.root, command)
    assert code == 4
    assert "no readable SQLite database" in out + err


def test_run_does_the_work_once(memory: Memory, cli: Cli) -> None:
    code, content = cli.json("--data-root", memory.root, "run", "--assume-idle-when-missing")
    assert code == 0
    assert content["samples"] == {"list_windows": {"done": 1}}
    assert content["days"]["visit_urls"] == 1
    code, content = cli.json("--data-root", memory.root, "run")
    assert (code, content["exit_code"]) == (2, 2)
    code, out, err = cli("--data-root", memory.root, "run")
    assert (code, out) == (2, "")
    assert err.startswith("nothing to do: ")


def test_run_without_a_signal_exits_with_3(memory: Memory, cli: Cli) -> None:
    code, out, err = cli("--data-root", memory.root, "run")
    assert (code, out) == (3, "")
    assert err.splitlines()[0] == "error: stopped: there is no activity signal"
    assert err.splitlines()[1].startswith("  → ")


def test_a_malformed_signal_blocks_even_when_idleness_is_assumed(memory: Memory, cli: Cli) -> None:
    memory.root.activity_signal().parent.mkdir()
    memory.root.activity_signal().write_text("{")
    code, _, err = cli("--data-root", memory.root, "run", "--assume-idle-when-missing")
    assert code == 3
    assert "the activity signal is malformed" in err


def test_run_beside_another_exits_with_6(memory: Memory, cli: Cli) -> None:
    memory.root.require_writable()
    with hold_lock(memory.root.run_lock, "run"):
        code, _, err = cli("--data-root", memory.root, "run", "--assume-idle-when-missing")
        assert code == 6
        assert f"process {os.getpid()}" in err
        code, _, err = cli("--data-root", memory.root, "run")
    assert code == 3  # of several reasons the first of 64, 4, 3, 6, 5, 7
    assert "there is no activity signal" in err


def test_samples_that_were_given_up_are_a_warning(memory: Memory, cli: Cli) -> None:
    memory.put(WINDOW, 1, minutes(10, 1)[0], {"window": "damaged"})
    code, _, err = cli("--data-root", memory.root, "run", "--assume-idle-when-missing")
    assert code == 0
    assert "warning: 1 samples could not be processed; see: pipeline failures" in err


def test_a_dataroot_that_is_read_only_can_be_read_but_not_processed(memory: Memory, tmp_path: Path) -> None:
    """Root passes over permissions, so the DataRoot is mounted read-only, in a mount namespace of its own."""
    memory.frame(0, minutes(10, 1)[0])
    process(memory.root)
    memory.put(WINDOW, 1, minutes(10, 2)[0], {"window": {"title": "New"}})
    commands = [["run", "--assume-idle-when-missing"], ["status"], ["sql", "SELECT count(*) AS n FROM frames"]]
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && touch "$1/x" 2>/dev/null; echo ready\n'
    script += "\n".join(
        f'"$2" -m pipeline --data-root "$1" --json {" ".join(map(repr, command))}; echo "=$?"' for command in commands
    )
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("no mount namespace to be had here")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", str(memory.root), sys.executable],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not (memory.root.path / "x").exists()
    run_out, status_out, sql_out, _ = done.stdout.removeprefix("ready\n").split("=", 3)
    assert json.loads(run_out)["exit_code"] == 4
    assert (
        "Read-only file system" in json.loads(run_out)["error"] or "cannot be written" in json.loads(run_out)["error"]
    )
    assert json.loads(status_out.removeprefix("4\n"))["stages"]
    assert json.loads(sql_out.removeprefix("0\n")) == {"rows": [{"n": 1}]}


def _heed_sigint() -> None:
    """A test run in the background inherits that SIGINT is ignored; a person at a terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_long_query_at_once_with_130(tmp_path: Path) -> None:
    DataRoot(tmp_path / "root").create()
    endless = "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT count(*) FROM r"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--data-root", tmp_path / "root", "sql", endless],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_sigint,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(600):
        if children.read_text():
            break
        time.sleep(0.02)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_error(memory: Memory) -> None:
    command = [sys.executable, "-m", "pipeline", "--data-root", str(memory.root), "sql", "--format", "csv"]
    query = "SELECT i, repeat('x', 100) FROM range(9999) t(i)"
    with subprocess.Popen(
        [*command, query], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


def test_settings_say_where_each_value_comes_from(memory: Memory, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.root.settings_file.write_text("ocr_threads = 3\nshard_frames = 4\nmax_attempts = 5\n")
    monkeypatch.setenv("PIPELINE_SHARD_FRAMES", "6")
    monkeypatch.setenv("PIPELINE_MAX_ATTEMPTS", "7")
    code, content = cli.json("--data-root", memory.root, "settings", "--set", "max_attempts=8")
    found = {row["name"]: (row["value"], row["source"]) for row in content["settings"]}
    assert code == 0
    assert set(found) == set(Settings.model_fields)
    assert found["max_attempts"] == (8, "flag")
    assert found["shard_frames"] == (6, "environment PIPELINE_SHARD_FRAMES")
    assert found["ocr_threads"] == (3, str(memory.root.settings_file))
    assert found["settle_s"] == (2.0, "default")
    assert "max_attempts" in cli("--data-root", memory.root, "settings")[1]


def test_the_dataroot_comes_from_flag_or_environment(memory: Memory, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AP_DATA_ROOT", "/nowhere/ap")
    assert cli.json("status")[1]["error"] == "no DataRoot at /nowhere/ap"
    monkeypatch.setenv("PIPELINE_DATA_ROOT", "/nowhere/pipeline")
    assert cli.json("status")[1]["error"] == "no DataRoot at /nowhere/pipeline"
    assert cli.json("--data-root", memory.root, "status")[0] == 0
    assert cli.json("--data-root", "/nowhere/flag", "status", "--data-root", memory.root)[0] == 0


def test_help_and_looking_load_no_heavy_library(run_cli: RunCli) -> None:
    heavy = "{'duckdb', 'pyarrow', 'numpy', 'aiohttp', 'rapidocr', 'onnxruntime', 'cv2'}"
    code = f"import sys, pipeline.cli.main as m; m.run(['--help']); assert not {heavy} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
