"""The bundled desk: ingested once, its facts as the local engine makes them, and a copy for each test to run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray_runs import DESK, REPOSITORY, run_to_end, serve_truth
from screen_memory import fact_files

from pipeline.dataroot import DataRoot
from pipeline.runs.servers import stop_server


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """A DataRoot with the desk's evidence, to be copied."""
    folder = tmp_path_factory.mktemp("desk")
    spool, root = shutil.copytree(DESK / "spool", folder / "spool"), DataRoot(folder / "root")
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "ingest", str(spool), "--set", "settle_s=0"]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    return root


@pytest.fixture(scope="session")
def expected(ingested: DataRoot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The fact files of the local engine."""
    root = DataRoot(shutil.copytree(ingested.path, tmp_path_factory.mktemp("local") / "root"))
    serve_truth(root)
    run_to_end(root, "local")
    stop_server(root, "ocr")
    return fact_files(root)


@pytest.fixture
def desk(ingested: DataRoot, tmp_path: Path) -> Iterator[DataRoot]:
    """A DataRoot with the desk's evidence, for one test."""
    root = DataRoot(shutil.copytree(ingested.path, tmp_path / "root"))
    yield root
    stop_server(root, "ocr")
