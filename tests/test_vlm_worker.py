"""`python -m workers.vlm` as a process: asked as vLLM is asked, given up by a client, impossible to start."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from command_line import RunCli

from pipeline.dataroot import DataRoot
from schemas.serving import RunFile
from workers.vlm_engine import INSTALL

WORKER = [sys.executable, "-P", "-m", "workers.vlm"]
LONG = {"type": "string", "minLength": 12_000}


def body(text: str = "Hello", schema: dict[str, Any] | None = None, **more: Any) -> bytes:
    request: dict[str, Any] = {
        "model": "tiny-vlm",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 12,
    }
    if schema is not None:
        request["response_format"] = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    return json.dumps(request | more).encode()


@pytest.fixture
def server(vlm_worker: RunFile) -> RunFile:
    return vlm_worker


def connect(
    server: RunFile, method: str, path: str, content: bytes = b"", **headers: str
) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    connection.request(method, path, content, {"Authorization": f"Bearer {server.token}"} | headers)
    return connection


def ask(server: RunFile, method: str, path: str, content: bytes = b"", **headers: str) -> tuple[int, Any]:
    connection = connect(server, method, path, content, **headers)
    try:
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def complete(server: RunFile, content: bytes) -> tuple[int, Any]:
    return ask(server, "POST", "/v1/chat/completions", content)


def test_it_says_which_model_it_has_as_vllm_does(server: RunFile, tiny_vlm: Path) -> None:
    status, models = ask(server, "GET", "/v1/models")
    (model,) = models["data"]
    assert status == 200
    assert (model["id"], model["root"], model["max_model_len"]) == ("tiny-vlm", str(tiny_vlm), 16_384)
    assert model["model_digest"] == server.model.model_digest
    assert (server.model.provider_id, server.model.model_id) == ("transformers-cpu", "tiny-vlm")
    assert ask(server, "GET", "/version")[1].keys() == {"version", "libraries"}
    assert ask(server, "GET", "/health")[1]["modality"] == "vlm"


def test_it_completes_and_counts(server: RunFile) -> None:
    status, found = complete(server, body(schema={"enum": ["a", "b"]}))
    assert status == 200
    (choice,) = found["choices"]
    assert choice["message"]["content"] in ('"a"', '"b"')
    assert choice["finish_reason"] == "stop"
    assert found["usage"]["total_tokens"] == found["usage"]["prompt_tokens"] + found["usage"]["completion_tokens"]
    assert complete(server, body(schema={"enum": ["a", "b"]})) == (status, found)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", 400),
        (body(model="other"), 404),
        (body(temperature=1), 400),
        (body(schema={"type": "array", "uniqueItems": True}), 400),
        (body(max_tokens=100_000), 400),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_reason(server: RunFile, content: bytes, expected: int) -> None:
    status, found = complete(server, content)
    assert status == expected
    assert found["error"]


@pytest.mark.parametrize("path", ["/v1/models", "/version", "/health"])
def test_nothing_is_told_without_the_token(server: RunFile, path: str) -> None:
    assert ask(server, "GET", path, Authorization="Bearer wrong")[0] == 401


def test_a_request_beyond_the_limit_is_refused(server: RunFile) -> None:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
    try:
        connection.putrequest("POST", "/v1/chat/completions")
        connection.putheader("Authorization", f"Bearer {server.token}")
        connection.putheader("Content-Length", str(1 << 30))
        connection.endheaders(b"{")
        assert connection.getresponse().status == 413
    finally:
        connection.close()


def test_an_answer_that_nobody_waits_for_is_not_finished(server: RunFile) -> None:
    given_up = connect(server, "POST", "/v1/chat/completions", body(schema=LONG, max_tokens=12_000))
    time.sleep(0.5)
    given_up.close()
    started = time.monotonic()
    assert complete(server, body())[0] == 200
    # The long answer alone would have taken a minute.
    assert time.monotonic() - started < 20


def started_with(*arguments: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    command = [*WORKER, "--run-file", str(tmp_path / "vlm.json"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_folder_that_is_no_model_ends_it_with_5_one_sentence_and_the_command_that_mends_it(tmp_path: Path) -> None:
    ended = started_with("--model-path", str(tmp_path / "none"), tmp_path=tmp_path)
    assert ended.returncode == 5
    reason, remedy = ended.stderr.strip().splitlines()[-1].split(" → ")
    assert reason == f"error: there is no model folder {tmp_path / 'none'}"
    assert remedy.endswith("pipeline workers up vlm --set vlm_model_path=FOLDER")
    assert not (tmp_path / "vlm.json").exists()


def test_an_installation_without_the_extra_says_how_to_add_it(tiny_vlm: Path, tmp_path: Path) -> None:
    without = (
        "import sys; sys.modules['llguidance'] = None; import runpy; runpy.run_module('workers.vlm', None, '__main__')"
    )
    arguments = ["--run-file", str(tmp_path / "vlm.json"), "--model-path", str(tiny_vlm)]
    ended = subprocess.run(
        [sys.executable, "-c", without, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 5
    assert ended.stderr.strip().splitlines()[-1] == f"error: the VLM server needs the package llguidance → {INSTALL}"


def test_the_command_that_starts_it_says_what_it_was_not_told(run_cli: RunCli, tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "data").create()
    up = run_cli("--data-root", root, "workers", "up", "vlm")
    assert up.returncode == 5
    assert "no VLM is configured: vlm_model_path is empty" in up.stderr
    assert "pipeline workers up vlm --set vlm_model_path=FOLDER" in up.stderr


def test_a_vlm_comes_up_and_goes_down_by_command(run_cli: RunCli, tiny_vlm: Path, tmp_path: Path) -> None:
    root = DataRoot(tmp_path / "data").create()
    up = run_cli("--data-root", root, "workers", "up", "vlm", "--set", f"vlm_model_path={tiny_vlm}", "--json")
    assert up.returncode == 0, up.stderr
    server = json.loads(up.stdout)["workers"][2]
    assert (server["kind"], server["state"], server["model_id"]) == ("vlm", "ready", "tiny-vlm")
    down = run_cli("--data-root", root, "workers", "down", "vlm", "--json")
    assert json.loads(down.stdout) == {"stopped": [{"kind": "vlm", "pid": server["pid"]}]}
