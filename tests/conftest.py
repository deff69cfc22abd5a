"""What all tests share: the fixture handoffs, and the command line as a user meets it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import hypothesis
import pytest
from command_line import Cli, RunCli, Spool
from processed_desk import process_desk
from screen_memory import Memory, folder_in_memory
from tiny_vlm import make_tiny_vlm

from pipeline.dataroot import DataRoot
from pipeline.runs.servers import start_server, stop_server
from schemas.serving import RunFile

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "dataroot_fixtures"

# The same examples in every run, however slow the machine.
hypothesis.settings.register_profile("house", deadline=None, derandomize=True)
hypothesis.settings.load_profile("house")


@pytest.fixture(autouse=True)
def _engines_have_all_of_the_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray takes half a minute to start where a run is held to one processor; `tests/budget` shows that it is."""
    if request.path.parent.name == "engines":
        monkeypatch.setenv("PIPELINE_CPU_SHARE", "1")


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """pytest's scratch folder; in `tests/runs` one in memory, since a run commits often."""
    if request.path.parent.name != "runs":
        yield tmp_path
        return
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """A DataRoot without any evidence; a module whose tests begin with the same screens has one of its own."""
    return Memory(tmp_path / "root")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder `dataroot_fixtures`; its handoffs are never worked on in place, see `spool`."""
    return FIXTURES


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    """Copy fixture handoffs into a fresh spool root: `spool("plain", "desk/spool/2026-03-01")`."""

    def copy(*names: str, into: str = "spool") -> Path:
        root = tmp_path / into
        for name in names:
            shutil.copytree(FIXTURES / name, root / Path(name).name, symlinks=True)
        return root

    return copy


@pytest.fixture(scope="session")
def processed_desk(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The bundled desk, processed; to be read only, see `own_desk`."""
    return process_desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def own_desk(processed_desk: DataRoot, tmp_path: Path) -> DataRoot:
    """A copy of the processed desk that a test may damage."""
    return DataRoot(shutil.copytree(processed_desk.path, tmp_path / "own"))


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a vision language model of random weights; to be read only."""
    return make_tiny_vlm(tmp_path_factory.mktemp("models") / "tiny-vlm")


@pytest.fixture(scope="session")
def vlm_worker_root(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    """The DataRoot of `vlm_worker`, without any evidence."""
    return Memory(tmp_path_factory.mktemp("worker") / "root")


@pytest.fixture(scope="session")
def vlm_worker(tiny_vlm: Path, vlm_worker_root: Memory) -> Iterator[RunFile]:
    """Our VLM server with the model of `tiny_vlm`."""
    root = vlm_worker_root.root
    options = ["--run-file", str(root.worker_file("vlm")), "--model-path", str(tiny_vlm), "--threads", "1"]
    yield start_server(root, "vlm", [sys.executable, "-P", "-m", "workers.vlm", *options], timeout_s=120)
    stop_server(root, "vlm")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run commands in this process, with nothing of this environment that could steer them."""
    for name in os.environ:
        if name.startswith(("PIPELINE_", "AP_")):
            monkeypatch.delenv(name)
    return Cli(capsys)


@pytest.fixture
def run_cli(tmp_path: Path) -> RunCli:
    """Run `python -m pipeline` in a process of its own, with nothing of this environment that could steer it."""

    def run(
        *arguments: object, env: Mapping[str, str] | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, arguments)],
            env={**_clean_environment(tmp_path), **(env or {})},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


def _clean_environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8"}
