"""`pipeline workers`, as a user meets it, with the real OCR server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.clients.embed import embed_question
from pipeline.dataroot import DataRoot
from pipeline.runs.servers import stop_server

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[DataRoot]:
    place = DataRoot(tmp_path / "data").create()
    yield place
    stop_server(place, "ocr")
    stop_server(place, "embed")


def test_the_ocr_server_comes_up_stays_for_the_next_command_and_goes_down(run_cli: Cli, root: DataRoot) -> None:
    up = run_cli("--data-root", root, "workers", "up", "ocr", "--json", "--set", "ocr_threads=1")
    assert up.returncode == 0, up.stderr
    server, embed, _ = json.loads(up.stdout)["workers"]
    assert (embed["kind"], embed["state"]) == ("embed", "stopped")
    assert (server["kind"], server["state"], server["model_id"]) == ("ocr", "ready", "PP-OCRv6-small")

    status = run_cli("--data-root", root, "workers", "status")
    assert "ready" in status.stdout
    assert str(server["pid"]) in status.stdout

    down = run_cli("--data-root", root, "workers", "down", "--json")
    assert down.returncode == 0
    assert json.loads(down.stdout) == {"stopped": [{"kind": "ocr", "pid": server["pid"]}]}


def test_stopping_nothing_exits_with_2(run_cli: Cli, root: DataRoot) -> None:
    down = run_cli("--data-root", root, "workers", "down")
    assert down.returncode == 2
    assert down.stdout == "no model server ran\n"


def test_a_stopped_server_is_listed_as_such(run_cli: Cli, root: DataRoot) -> None:
    status = run_cli("--data-root", root, "workers", "status", "--json")
    assert status.returncode == 0
    assert json.loads(status.stdout)["workers"][0]["state"] == "stopped"


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_a_dataroot_that_is_not_there_exits_with_4_and_is_not_made(run_cli: Cli, tmp_path: Path, command: str) -> None:
    assert run_cli("--data-root", tmp_path / "none", "workers", command).returncode == 4
    assert not (tmp_path / "none").exists()


def test_a_missing_package_exits_with_5_and_says_how_to_install_it(
    run_cli: Cli, root: DataRoot, tmp_path: Path
) -> None:
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "rapidocr.py").write_text("raise ModuleNotFoundError('none', name='rapidocr')\n")
    up = run_cli("--data-root", root, "workers", "up", "ocr", env={"PYTHONPATH": str(tmp_path / "without")})
    assert up.returncode == 5
    assert "the OCR engine needs the package rapidocr" in up.stderr
    assert "pip install 'autocapture-pipeline[ocr]'" in up.stderr


def test_the_embedding_server_comes_up_alone_and_answers_a_question(run_cli: Cli, root: DataRoot) -> None:
    up = run_cli("--data-root", root, "workers", "up", "embed", "--json")
    assert up.returncode == 0, up.stderr
    ocr, server, _ = json.loads(up.stdout)["workers"]
    assert (ocr["state"], server["state"], server["model_id"]) == ("stopped", "ready", "all-MiniLM-L6-v2")
    vector = embed_question(root, "when is the invoice due", timeout_s=10, model_digest=server["model_digest"])
    assert vector is not None
    assert len(vector) == 384


def test_a_server_that_there_is_not_is_a_usage_error(run_cli: Cli, root: DataRoot) -> None:
    assert run_cli("--data-root", root, "workers", "up", "mind").returncode == 64


@pytest.fixture
def without_torch(tmp_path: Path) -> Path:
    """A folder that makes Python believe that torch is not installed."""
    folder = tmp_path / "without"
    folder.mkdir()
    code = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = staticmethod(
    lambda name, path=None, target=None: None if name == "torch" else find(name, path, target))
"""
    (folder / "sitecustomize.py").write_text(code)
    return folder


def test_an_embedding_server_that_was_not_installed_and_is_named_exits_with_5(
    run_cli: Cli, root: DataRoot, without_torch: Path
) -> None:
    up = run_cli("--data-root", root, "workers", "up", "embed", env={"PYTHONPATH": str(without_torch)})
    assert up.returncode == 5
    assert "pip install 'autocapture-pipeline[embed]'" in up.stderr


@pytest.mark.slow
def test_servers_that_were_not_installed_do_not_hold_up_the_others(
    run_cli: Cli, root: DataRoot, without_torch: Path
) -> None:
    up = run_cli("--data-root", root, "workers", "up", "--json", env={"PYTHONPATH": str(without_torch)})
    assert up.returncode == 0, up.stderr
    assert "pip install 'autocapture-pipeline[embed]'" in up.stderr
    assert [server["state"] for server in json.loads(up.stdout)["workers"]] == ["ready", "stopped", "stopped"]
