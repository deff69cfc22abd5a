"""What the docs show is run: every query, and the notebook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import nbclient
import nbformat
import pytest

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import TextModel
from pipeline.gate import Gate
from pipeline.reports.sql import query_facts
from pipeline.reports.views import OCR_LINES
from pipeline.runs.loop import RunOptions, run
from pipeline.runs.progress import LogProgress
from pipeline.settings import Settings
from schemas.serving import FrameRef, ModelIdentity, ReadText, TextLine

REPOSITORY = Path(__file__).resolve().parent.parent
SQL_DOC = (REPOSITORY / "docs" / "sql.md").read_text()
FIXTURES = REPOSITORY / "dataroot_fixtures" / "desk"
QUERIES = [text for text in re.findall(r"```sql\n(.*?)```", SQL_DOC, re.DOTALL) if text.startswith("SELECT")]


@pytest.fixture(scope="module")
def processed_desk(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The bundled desk, ingested and run with a reader that knows what stands on each screen."""
    folder = tmp_path_factory.mktemp("desk")
    spool, root = shutil.copytree(FIXTURES / "spool", folder / "spool"), DataRoot(folder / "root")
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "ingest", str(spool)]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    truth = {item["record_id"]: item for item in map(json.loads, (FIXTURES / "truth.jsonl").read_text().splitlines())}

    def read(frames: Sequence[FrameRef]) -> Iterator[tuple[int, ReadText]]:
        for index, frame in enumerate(frames):
            shown = [line for line in truth[frame.frame_id]["lines"] if "bbox" in line]
            lines = [TextLine(text=line["text"], bbox=tuple(line["bbox"]), score=10_000) for line in shown]
            yield index, ReadText(width=frame.width, height=frame.height, lines=lines, elapsed_us=0)

    gate = Gate(root.activity_signal, assume_idle_when_missing=True)
    model = TextModel(ModelIdentity(provider_id="truth", model_id="truth", model_digest="0" * 64), read)
    run(root, Settings(), RunOptions(until_done=True), LocalEngine(root), gate, lambda _: model, LogProgress())
    return root


def test_the_document_has_ten_queries() -> None:
    assert len(QUERIES) == 10


@pytest.mark.parametrize("statement", QUERIES, ids=lambda text: " ".join(text.split()[:6]))
def test_each_query_of_the_document_is_answered(statement: str, processed_desk: DataRoot) -> None:
    assert query_facts(processed_desk, statement, Settings()).rows.num_columns > 1


def test_the_document_shows_the_view_that_we_use() -> None:
    assert OCR_LINES in SQL_DOC


def test_any_duckdb_reads_the_facts_as_the_document_says(processed_desk: DataRoot) -> None:
    (python,) = re.findall(r"```python\n(.*?)```", SQL_DOC, re.DOTALL)
    (view,) = (text for text in re.findall(r"```sql\n(.*?)```", SQL_DOC, re.DOTALL) if text.startswith("CREATE"))
    names: dict[str, object] = {}
    exec(python.replace("DATA_ROOT", str(processed_desk)), names)
    database = names["db"]
    assert isinstance(database, duckdb.DuckDBPyConnection)
    with database:
        database.execute(view)
        ours = query_facts(processed_desk, "SELECT count(*) AS n FROM ocr_lines", Settings()).rows.to_pylist()
        assert database.execute("SELECT count(*) FROM ocr_lines").fetchall() == [(ours[0]["n"],)]
        assert ours[0]["n"] > 0


@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(processed_desk: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATA_ROOT", str(processed_desk))
    notebook = nbformat.read(REPOSITORY / "notebooks" / "explore_facts.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", extra_arguments=["--transport=ipc"]
    )  # fmt: skip
    client.execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "proven=True" in printed
