"""What looking at a DataRoot loads: nothing that takes a moment and is of no use to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from embedding_model import Embedder, process_with
from screen_memory import Memory, minutes

from pipeline.cli.main import run
from pipeline.dataroot import DataRoot

HEAVY = (
    "pyarrow",
    "numpy",
    "duckdb",
    "aiohttp",
    "lancedb",
    "torch",
    "ray",
    "rich",
    "schemas.evidence",
    "schemas.facts",
)


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    """A DataRoot with a text index and a landscape."""
    pytest.importorskip("lancedb")
    memory = Memory(tmp_path / "root")
    memory.frame(0, minutes(10, 0)[0])
    process_with(memory.root, Embedder(memory.root))
    return memory.root


def loaded_by(code: str) -> tuple[dict[str, object], list[str]]:
    """What a program printed as JSON, and which of the heavy modules it had loaded at its end."""
    tell = f"import sys\nprint([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    done = subprocess.run([sys.executable, "-c", code + tell], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(done.stderr.splitlines()[-1].replace("'", '"'))
    return json.loads(done.stdout or "{}"), names


def test_status_loads_no_tables_no_numbers_and_no_records(root: DataRoot) -> None:
    arguments = ["status", "--json", "--data-root", str(root)]
    told, loaded = loaded_by(f"from pipeline.cli.main import run\nassert run({arguments!r}) == 0\n")
    assert told["indexes"]["landscape"]["spans"] == 1  # type: ignore[index]
    assert loaded == []


def test_a_plan_loads_no_more_than_status(root: DataRoot) -> None:
    assert loaded_by("import pipeline.cli.plan, pipeline.reports.plan\n")[1] == []


@pytest.mark.parametrize("name", ["vectors.npy", "line_ends.npy", "spans.jsonl"])
def test_a_landscape_of_which_a_part_is_gone_is_told_as_none(
    name: str, root: DataRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    [path] = root.landscape.glob(f"*/{name}")
    path.write_bytes(b"")
    assert run(["status", "--json", "--data-root", str(root)]) == 0
    assert json.loads(capsys.readouterr().out)["indexes"]["landscape"]["present"] is False
