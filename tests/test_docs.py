"""What the docs show is run: every query, and the notebook."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import nbclient
import nbformat
import pytest

from pipeline.dataroot import DataRoot
from pipeline.reports.sql import query_facts
from pipeline.reports.views import OCR_LINES
from pipeline.settings import Settings

REPOSITORY = Path(__file__).resolve().parent.parent
SQL_DOC = (REPOSITORY / "docs" / "sql.md").read_text()
QUERIES = [text for text in re.findall(r"```sql\n(.*?)```", SQL_DOC, re.DOTALL) if text.startswith("SELECT")]


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
