"""What a run tells while it works and at its end, to the hypervisor and to an operator: real commands, real servers."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench_data_root import build_data_root
from command_line import RunCli, Spool
from screen_memory import Memory, minutes
from server_user import NULL_SERVER

from pipeline.cli.main import run as run_command
from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.runs.live import read_live, write_live
from pipeline.runs.metrics import serve_metrics
from pipeline.runs.servers import start_server, stop_server

FRAMES = 24


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@contextmanager
def desk(folder: Path) -> Iterator[DataRoot]:
    """A DataRoot whose frames a null server reads, slowly."""
    root = DataRoot(folder / "root")
    build_data_root(root, FRAMES)
    command = [*NULL_SERVER, "--run-file", str(root.worker_file("ocr")), "--delay-s", "0.1"]
    start_server(root, "ocr", command, timeout_s=60)
    try:
        yield root
    finally:
        stop_server(root, "ocr")


def start(root: DataRoot, name: str) -> subprocess.Popen[str]:
    out = root.path.parent / "out"
    out.mkdir()
    environment = {**os.environ, "AP_RUN_ID": name, "AP_OUT_DIR": str(out), "AP_DATA_ROOT": str(root),
                   "AP_NO_NETWORK": "1", "AP_CPU_LIMIT": "0.5", "AP_MEM_LIMIT_MB": "4096",
                   "AP_LOG_JSON": "1"}  # fmt: skip
    command = [sys.executable, "-m", "pipeline", "run", "--stage", "ocr", "--assume-idle-when-missing", "--json"]
    command += ["--engine", "local", "--ready-file", str(out / "ready.json"), "--set", "shard_frames=4"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_runs_side_by_side_keep_to_themselves_and_each_tells_its_own(tmp_path: Path) -> None:
    with ExitStack() as stack:
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
        roots = {name: stack.enter_context(desk(tmp_path / name)) for name in ("first", "second")}
        runs = {name: start(root, name) for name, root in roots.items()}
        live = {name: while_at_work(root, runs[name]) for name, root in roots.items()}
        ended = {name: process.communicate(timeout=120) for name, process in runs.items()}
    for name, root in roots.items():
        assert runs[name].returncode == 0, ended[name][1]
        assert live[name]["ap_run_id"] == name
        assert live[name]["queues"]["find_text_lines"] <= FRAMES
        assert live[name]["budget"]["limits"] == {"cpu_percent_of_one": 50, "memory_mb": 4096}
        assert read_live(root) is None
        assert not (root.path.parent / "out" / "ready.json").exists()
        told = [json.loads(line) for line in ended[name][1].splitlines()]
        assert {line["ap_run_id"] for line in told} == {name}
        assert {"stage", "done", "total", "rate_per_s", "eta_s", "gate"} <= set(progress_lines(told)[-1])
        run_id = json.loads(ended[name][0])["run_id"]
        check_output(root, name, run_id)
        manifest = json.loads((root.manifests / f"run-{run_id.removeprefix('run_')}.json").read_bytes())
        assert manifest["ap_run_id"] == name
        assert manifest["budget"]["processes"] >= 3
    assert live["first"]["pid"] != live["second"]["pid"]


def while_at_work(root: DataRoot, process: subprocess.Popen[str]) -> dict[str, Any]:
    found: list[dict[str, Any]] = []

    def is_at_work() -> bool:
        live = read_live(root)
        if live is not None and live["stage"] == "find_text_lines":
            found.append(live)
        return bool(found) or process.poll() is not None

    assert until(is_at_work)
    ready = json.loads((root.path.parent / "out" / "ready.json").read_bytes())
    assert (ready["state"], ready["pid"], ready["data_root"]) == ("ready", process.pid, str(root))
    return found[0]


def progress_lines(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in told if line.get("stage") == "find_text_lines"]


def check_output(root: DataRoot, name: str, run_id: str) -> None:
    output = json.loads((root.path.parent / "out" / "manifest.json").read_bytes())
    assert (output["schema"], output["ap_run_id"], output["exit_code"]) == ("autocapture.run.output.v1", name, 0)
    assert [(item["run_id"], item["stages"]["find_text_lines"]["counts"]) for item in output["runs"]] == [
        (run_id, {"done": FRAMES})
    ]
    assert {"facts", "index", "run_manifest"} <= {item["kind"] for item in output["artifacts"]}
    for item in output["artifacts"]:
        content = (root.path / item["path"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (item["size"], item["sha256"])


def test_a_run_that_may_not_work_leaves_its_exit_code_and_no_ready_file(tmp_path: Path, run_cli: RunCli) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(1, minutes(9, 0)[0])
    done = run_cli("--data-root", memory.root, "run", "--ready-file", tmp_path / "ready",
                   env={"AP_OUT_DIR": str(tmp_path)})  # fmt: skip
    assert done.returncode == 3
    output = json.loads((tmp_path / "manifest.json").read_bytes())
    assert (output["exit_code"], output["artifacts"]) == (3, [])
    assert not (tmp_path / "ready").exists()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [("AP_RUN_ID", "../up", "AP_RUN_ID is not"), ("AP_OUT_DIR", "/no/such/place", "is not a directory"),
     ("AP_CPU_LIMIT", "lots", "AP_CPU_LIMIT is 'lots'")],
)  # fmt: skip
def test_what_the_hypervisor_gives_is_refused_with_64_when_it_cannot_be_meant(
    variable: str, value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv(variable, value)
    assert run_command(["--data-root", str(Memory(tmp_path / "root").root), "run"]) == 64
    assert said in capsys.readouterr().err


def test_with_no_network_a_ray_elsewhere_is_refused(tmp_path: Path, run_cli: RunCli) -> None:
    memory = Memory(tmp_path / "root")
    done = run_cli("--data-root", memory.root, "run", "--ray-address", "192.0.2.1:6379", env={"AP_NO_NETWORK": "1"})
    assert done.returncode == 4


def test_what_a_dead_run_said_of_itself_is_not_believed(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    memory.root.derived.mkdir()
    write_live(memory.root, {"stage": "x"})
    found = read_live(memory.root)
    assert found is not None
    assert found["pid"] == os.getpid()
    dead = subprocess.Popen(["true"])
    dead.wait()
    content = json.loads(memory.root.run_live.read_bytes())
    memory.root.run_live.write_text(json.dumps({**content, "pid": dead.pid}))
    assert read_live(memory.root) is None
    memory.root.run_live.write_text("{")
    assert read_live(memory.root) is None


BUDGET = {"memory_mb": 3, "processes": 2, "cpu_used_ms": 1500, "throttled": {"cpu": 7, "memory": 1, "killed": 0}}
TOLD = {"queues": {"find_text_lines": 5}, "rates_per_s": {"find_text_lines": 0.5}, "done": {"find_text_lines": 9},
        "in_flight": 2, "lag_s": None, "failed": 0, "dropped": 1, "preemptions": 3, "gate": {"open": True},
        "budget": BUDGET}  # fmt: skip


def ask(port: int, path: str = "/metrics", **headers: str) -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body, str(response.headers)


def test_metrics_are_told_as_prometheus_text_and_nothing_else_is() -> None:
    with serve_metrics(0, lambda: TOLD) as port:
        status, body, headers = ask(port)
        assert ask(port, "/")[0] == 404
        assert ask(port, Host="evil.example")[0] == 403
        assert ask(port, Origin="http://evil.example")[0] == 403
    assert status == 200
    for line in ('autocapture_queue_depth{stage="find_text_lines"} 5.0', "autocapture_memory_bytes 3.145728e+06",
                 'autocapture_throttles_total{reason="cpu"} 7.0', "autocapture_preemptions_total 3.0",
                 "autocapture_requests_in_flight 2.0", "autocapture_cpu_seconds_total 1.5"):  # fmt: skip
        assert line in body.splitlines()
    assert "lag_seconds" not in body
    assert "python" not in (body + headers).lower()


def test_metrics_listen_on_loopback_alone_and_a_port_in_use_is_an_error() -> None:
    with serve_metrics(0, lambda: TOLD) as port:
        with pytest.raises(Unavailable, match="cannot be used"), serve_metrics(port, lambda: TOLD):
            pass
        with socket.create_server(("127.0.0.2", port)):  # what bound all of them would have taken this one
            pass


def test_an_ingest_says_what_it_wrote(tmp_path: Path, run_cli: RunCli, spool: Spool) -> None:
    root, handoffs = tmp_path / "root", spool("plain")
    done = run_cli("--data-root", root, "ingest", handoffs, "--set", "settle_s=0", "--log-json",
                   env={"AP_OUT_DIR": str(tmp_path), "AP_NO_NETWORK": "1", "AP_CPU_LIMIT": "0.5"})  # fmt: skip
    output = json.loads((tmp_path / "manifest.json").read_bytes())
    assert (done.returncode, output["exit_code"], output["command"]) == (0, 0, "ingest")
    assert [item["path"] for item in output["artifacts"]] == ["journal.ndjson", "metadata.db"]
    assert any(json.loads(line)["message"].startswith("held to 0.50 processors") for line in done.stderr.splitlines())


def test_status_tells_people_what_a_run_does(memory_at_work: DataRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--data-root", str(memory_at_work), "status"]) == 0
    told = capsys.readouterr().out
    assert (
        "at work: find_text_lines, 5 left; about 10 s at 0.5/s; 3 MB, held to 0.5 processors; held up 7 times" in told
    )
    assert run_command(["--data-root", str(memory_at_work), "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["running"]["in_flight"] == 2


@pytest.fixture
def memory_at_work(tmp_path: Path) -> DataRoot:
    memory = Memory(tmp_path / "root")
    memory.root.derived.mkdir()
    budget = {**BUDGET, "limits": {"cpu_percent_of_one": 50}, "throttled": {"cpu": 7, "cpu_ms": 900}}
    write_live(memory.root, {**TOLD, "stage": "find_text_lines", "eta_s": 10, "budget": budget})
    return memory.root
