"""Two machines, as far as Ray can tell: namespaces of their own for network, processes and host name, and a cable.

Nothing has a name that could stay behind: the namespaces and the cable go with the two processes that hold them, and
those with the one that started them, however it ends.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
from ray_runs import REPOSITORY, STAGES, Watched, bare_environment, until

from pipeline.dataroot import DataRoot

NETWORK = "10.77.0.0/24"
ADDRESSES = ("10.77.0.1", "10.77.0.2")
PORT = 6379

_APART = ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc"]
_HOLD = """
import os, time
while True:
    try:
        os.wait()
    except ChildProcessError:
        time.sleep(0.1)
"""
PIPE = subprocess.PIPE
_NEEDED = ("ip", "unshare", "nsenter", "setpriv", "env")


@dataclass
class Node:
    """A machine of the two; `holder` is the first process in it, as it is numbered outside."""

    address: str
    holder: int
    folder: Path
    environment: Mapping[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        output: IO[str] | int = subprocess.PIPE,
    ) -> subprocess.Popen[str]:
        """Start a command there."""
        enter = ["nsenter", "--target", str(self.holder), "--net", "--mount", "--pid", "--uts", "--"]
        process = subprocess.Popen(
            [*enter, "env", "-C", str(REPOSITORY), *command], env={**self.environment, **(environment or {})},
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *command: str) -> str:
        """Run a command there to its end; returns what it printed."""
        process = self.start(command)
        told, wrong = process.communicate(timeout=120)
        assert process.returncode == 0, wrong
        return told

    def python(self, script: str, *arguments: str) -> str:
        """Run a Python script there, with the helpers of these tests."""
        paths = f"sys.path[:0] = [{str(REPOSITORY / 'tests')!r}, {str(REPOSITORY / 'tests' / 'engines')!r}]"
        return self.run(sys.executable, "-c", f"import sys; {paths}\n{script}", *arguments)

    def pipeline(self, root: DataRoot, *options: str, environment: Mapping[str, str] | None = None) -> Watched:
        """Start `pipeline run` there, through the cluster."""
        command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "run", "--until-done", *STAGES]
        given = ["--ray-address", f"{ADDRESSES[0]}:{PORT}", *options]
        return Watched(self.start([*command, *given], environment))

    def start_ray(self, *options: str, token: bool = True) -> None:
        """Start a node of Ray there; with a folder of its own, as on a machine of its own."""
        place, told = self.folder / "ray", self.folder / "output"
        command = ["start", "--block", "--node-ip-address", self.address, "--temp-dir", str(place), "--num-cpus", "2",
                   "--object-store-memory", str(100 << 20), *options]  # fmt: skip
        settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token" if token else "disabled"}
        ray = [sys.executable, "-c", "from ray.scripts.scripts import main; main()"]
        with told.open("w") as output:
            process = self.start([*ray, *command], settings, output)
        until(lambda: "Ray runtime started" in told.read_text() or process.poll() is not None, timeout_s=120)
        assert process.poll() is None, told.read_text()


def why_not() -> str:
    """Why there cannot be two machines here; empty where there can."""
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        return f"two Ray nodes need network namespaces, and there is no {missing[0]} here"
    tried = subprocess.run([*_APART, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False)
    return f"network namespaces are not permitted here: {tried.stderr.strip()}" if tried.returncode else ""


@contextmanager
def two_machines() -> Iterator[tuple[Node, Node]]:
    """Have two machines on a network of their own; what was started on them ends with it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ap-")))  # a short path for Unix sockets
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text("f" * 64)
        nodes = [stack.enter_context(_machine(address, folder / str(n), token)) for n, address in enumerate(ADDRESSES)]
        one, other = nodes
        cable = ["ip", "link", "add", "cable", "netns", str(one.holder), "type", "veth"]
        subprocess.run([*cable, "peer", "name", "cable", "netns", str(other.holder)], check=True)
        for node in nodes:
            node.run("ip", "link", "set", "lo", "up")
            node.run("ip", "address", "add", f"{node.address}/24", "dev", "cable")
            node.run("ip", "link", "set", "cable", "up")
        yield one, other


@contextmanager
def _machine(address: str, folder: Path, token: Path) -> Iterator[Node]:
    folder.mkdir()
    environment = {**bare_environment(folder), "RAY_AUTH_TOKEN_PATH": str(token)}
    holder = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *_APART, sys.executable, "-c", _HOLD])
    node = None
    try:
        until(lambda: _mounted(holder.pid) is not None, timeout_s=20)
        first = _mounted(holder.pid)
        assert first is not None
        node = Node(address, first, folder, environment)
        yield node
    finally:
        holder.kill()
        holder.wait()
        for process in node.started if node is not None else ():
            process.communicate(timeout=30)  # all in it is gone with its first process


def _mounted(unshare: int) -> int | None:
    """The first process of the namespaces, once they are as they are to be."""
    time.sleep(0.05)
    below = psutil.Process(unshare).children()
    return below[0].pid if below and below[0].name().startswith("python") else None
