"""How servers are told of: our own, and a VLM that somebody else runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli
from screen_memory import Memory
from vlm_memory import full_settings, model_folder
from vlm_server import Endpoint, serving

from pipeline.dataroot import DataRoot
from pipeline.runs.server_status import server_status
from pipeline.settings import Settings


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return Memory(tmp_path / "root").root


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as found:
        yield found


def vlm(root: DataRoot, settings: Settings) -> dict[str, Any]:
    [found] = [item for item in server_status(root, settings) if item["kind"] == "vlm"]
    return found


def test_a_foreign_vlm_is_told_of_with_its_address_and_its_model(root: DataRoot, endpoint: Endpoint) -> None:
    found = vlm(root, full_settings(root, endpoint))
    assert (found["owner"], found["state"], found["url"]) == ("foreign", "ready", endpoint.url)
    assert (found["model_id"], found["pid"], found["problem"]) == ("/models/tiny-vl", None, None)
    assert endpoint.requests == []


def test_without_a_model_that_is_wanted_it_is_ready_with_what_it_serves(root: DataRoot, endpoint: Endpoint) -> None:
    found = vlm(root, Settings(vlm_url=endpoint.url))
    assert (found["state"], found["model_id"]) == ("ready", "/models/tiny-vl")


def test_a_foreign_vlm_that_serves_another_model_is_not_wanted(root: DataRoot, endpoint: Endpoint) -> None:
    endpoint.models = [{"id": "other\x1b[31m"}]
    found = vlm(root, full_settings(root, endpoint))
    assert (found["state"], found["model_id"]) == ("not wanted", "other\\x1b[31m")
    assert "serves other\\x1b[31m, and not /models/tiny-vl" in found["problem"]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://127.0.0.1:9", "no VLM endpoint answers at http://127.0.0.1:9"),
        ("http://192.0.2.1:8000", "the endpoint http://192.0.2.1:8000 is not on loopback"),
    ],
)
def test_a_foreign_vlm_that_cannot_be_asked_is_told_of_with_the_reason(root: DataRoot, url: str, problem: str) -> None:
    found = vlm(root, Settings(vlm_url=url))
    assert (found["owner"], found["state"]) == ("foreign", "not answering")
    assert problem in found["problem"]


def test_a_foreign_vlm_that_is_not_well_is_told_of_with_what_it_says(root: DataRoot, endpoint: Endpoint) -> None:
    endpoint.health = 503
    assert "/health answers 503" in vlm(root, full_settings(root, endpoint))["problem"]


@pytest.mark.parametrize("settings", [Settings(), Settings(vlm_server="own", vlm_model_path="/models/tiny")])
def test_without_a_foreign_vlm_only_our_own_servers_are_listed(root: DataRoot, settings: Settings) -> None:
    servers = server_status(root, settings)
    assert [(item["kind"], item["owner"], item["state"]) for item in servers] == [
        ("ocr", "ours", "stopped"),
        ("embed", "ours", "stopped"),
        ("vlm", "ours", "stopped"),
    ]


def test_both_status_commands_name_it(root: DataRoot, endpoint: Endpoint, run_cli: RunCli, tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    told = ["--set", f"vlm_url={endpoint.url}", "--set", f"vlm_model_path={folder}", "--set", "vlm_model=another"]
    workers = run_cli("--data-root", root, "workers", "status", *told)
    assert workers.returncode == 0, workers.stderr
    assert "foreign" in workers.stdout
    named = " ".join(workers.stdout.split())
    assert f"vlm: the VLM endpoint {endpoint.url} serves /models/tiny-vl, and not another" in named
    status = run_cli("--data-root", root, "status", *told)
    expected = f"worker vlm: not wanted: not ours, at {endpoint.url}, serves /models/tiny-vl, the VLM endpoint"
    assert expected in " ".join(status.stdout.split()), status.stderr
