"""PaddleOCR-VL as another OCR model of a run: read, promoted; refused or lost is one sentence, and no failed frame."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli, Spool
from read_endpoint import NAME, make_folder, reading, word
from vlm_server import Endpoint

from pipeline.dataroot import DataRoot
from pipeline.runs.servers import stop_server

READ = ("run", "--stage", "ocr", "--engine-model", "vl", "--assume-idle-when-missing", "--engine", "local")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "models")


@pytest.fixture
def endpoint(folder: Path) -> Iterator[Endpoint]:
    with reading(folder) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path, spool: Spool, run_cli: RunCli, folder: Path, endpoint: Endpoint) -> Iterator[DataRoot]:
    """Two real screens, not read yet, and the endpoint's description."""
    place = DataRoot(tmp_path / "root")
    assert run_cli("--data-root", place, "ingest", spool("plain"), "--set", "settle_s=0").returncode == 0
    describe(place, folder, endpoint.url)
    try:
        stages = [part for name in ("list_frames", "list_windows") for part in ("--stage", name)]
        assert run_cli("--data-root", place, "run", *stages, "--assume-idle-when-missing").returncode == 0
        yield place
    finally:
        stop_server(place, "ocr")


def describe(root: DataRoot, folder: Path, url: str) -> None:
    parameters = f'parameters = {{ model_dir = "{folder}", url = "{url}" }}'
    root.settings_file.write_text(f'[ocr_models.vl]\nengine = "paddleocr-vl"\n{parameters}\n')


def test_it_reads_beside_and_can_be_promoted(root: DataRoot, endpoint: Endpoint, run_cli: RunCli) -> None:
    def asked(*arguments: str) -> Any:
        done = run_cli("--data-root", root, "--json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert asked(*READ)["samples"] == {"find_text_lines": {"done": 2}}
    assert len(endpoint.requests) > 2
    assert asked("models", "promote", "vl", "--assume-idle-when-missing")["shown_to_questions"] is True
    lines = asked("sql", "SELECT DISTINCT provider_id, model_id FROM records WHERE modality = 'ocr'")
    assert lines["rows"] == [{"provider_id": "paddleocr-vl-vllm", "model_id": NAME}]


def test_an_endpoint_that_is_not_there_ends_the_run_with_5_before_anything_is_read(
    root: DataRoot, folder: Path, run_cli: RunCli
) -> None:
    describe(root, folder, "http://127.0.0.1:9")
    ended = run_cli("--data-root", root, *READ)
    assert ended.returncode == 5
    assert "no PaddleOCR-VL endpoint answers at http://127.0.0.1:9 (ConnectionRefusedError)" in ended.stderr
    assert f"vllm serve {folder}" in ended.stderr


def test_an_endpoint_beyond_loopback_is_refused_with_4(root: DataRoot, folder: Path, run_cli: RunCli) -> None:
    describe(root, folder, "http://192.0.2.1:8118")
    ended = run_cli("--data-root", root, *READ)
    assert ended.returncode == 4
    assert "the endpoint http://192.0.2.1:8118 is not on loopback" in ended.stderr


@pytest.mark.slow
def test_an_endpoint_that_is_lost_in_the_middle_leaves_the_rest_pending_for_the_next_run(
    root: DataRoot, endpoint: Endpoint, run_cli: RunCli
) -> None:
    def lost(image: bytes) -> tuple[int, bytes]:
        if len(endpoint.requests) > 2:
            endpoint.health = 503
            raise ConnectionAbortedError
        return word(image)

    endpoint.answer = lost
    ended = run_cli("--data-root", root, *READ)
    assert ended.returncode == 5
    assert "is not well: /health answers 503" in ended.stderr
    endpoint.answer, endpoint.health = word, 200
    again = run_cli("--data-root", root, "--json", *READ)
    assert again.returncode == 0, again.stderr
    listed = json.loads(run_cli("--data-root", root, "--json", "models", "list").stdout)["models"]
    assert [(row["name"], row["done"], row["failed"], row["parked"]) for row in listed] == [("vl", 2, 0, 0)]
