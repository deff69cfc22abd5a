"""A real vLLM on a CPU, as a process on loopback: for slow tests, where `scripts/install_test_vllm` has made one."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).resolve().parent.parent
PLACE = Path(os.environ.get("TEST_VLLM", REPOSITORY / "scratch" / "vllm"))
HOW_TO_INSTALL = "scripts/install_test_vllm"
KEY = "a-key-for-tests"

_START_S = 240.0
_STOP_S = 20.0
_QUIET = {
    "VLLM_API_KEY": KEY,
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}
_STRUCTURED = {"backend": "guidance", "disable_any_whitespace": True}


def is_installed() -> bool:
    """Whether the environment was made, wholly."""
    return any(PLACE.glob("ready-*"))


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Vllm:
    """A `vllm serve` of one folder at one port, which can be killed and started again."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self._command = [
            str(PLACE / "bin" / "vllm"), "serve", str(folder), "--host", "127.0.0.1", "--port", str(self.port),
            "--served-model-name", folder.name, "--dtype", "float32", "--enforce-eager", "--max-model-len", "16384",
            "--generation-config", "vllm", "--structured-outputs-config", json.dumps(_STRUCTURED),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it is well."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=os.environ | _QUIET,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_S
        while not self._is_well():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("vLLM did not come up:\n" + self._log.read_text(errors="replace")[-4_000:])
            time.sleep(0.5)

    def listeners(self) -> set[str]:
        """The addresses on which it and its children listen."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        found = [item for process in (parent, *parent.children(recursive=True)) for item in process.net_connections()]
        return {item.laddr.ip for item in found if item.status == psutil.CONN_LISTEN}

    def kill(self) -> None:
        """Kill it and its children, at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and kill it when it does not."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _is_well(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@contextmanager
def real_vllm(folder: Path, log: Path) -> Iterator[Vllm]:
    """A vLLM that serves the model of a folder under the folder's name."""
    server = Vllm(folder, log)
    try:
        server.start()
        yield server
    finally:
        server.stop()
