"""SQL over the facts: read-only, nothing but the facts, and with an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow as pa

import pipeline
from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, PipelineError, UsageError
from pipeline.reports.views import view_statements
from pipeline.settings import Settings


@dataclass(frozen=True)
class SqlResult:
    """Rows of a query; `truncated` when there were more than the limit."""

    rows: pa.Table
    truncated: bool


def query_facts(root: DataRoot, statement: str, settings: Settings) -> SqlResult:
    """Answer one SELECT from the facts, in a process of its own that the kernel can end `[answer-2]`.

    Files outside `derived/facts`, extensions, ATTACH, COPY, SET and the network are refused. Raises UsageError for bad
    SQL, ContractInvalid for what is refused, for a limit of time or memory, and for a damaged fact file.
    """
    request = {
        "facts": str(root.facts),
        "views": view_statements(root.facts),
        "statement": statement,
        "timeout_s": settings.sql_timeout_s,
        "max_rows": settings.sql_max_rows,
        "memory_mb": settings.sql_memory_mb,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pipeline.reports.sql_process"],
        input=orjson.dumps(request),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(pipeline.__file__).parent.parent)},
        check=False,
    )
    header, _, rows = done.stdout.partition(b"\n")
    if done.returncode != 0:
        raise _killed(done.returncode, settings)
    told = orjson.loads(header)
    if told["kind"] != "rows":
        raise _explained(told["kind"], told["message"], settings)
    return SqlResult(pa.ipc.open_stream(rows).read_all(), told["truncated"])


def _killed(code: int, settings: Settings) -> PipelineError:
    if code == -signal.SIGALRM:
        return ContractInvalid(
            f"the query was stopped after {settings.sql_timeout_s:g} s", remedy="raise it: --set sql_timeout_s=SECONDS"
        )
    if code < 0:
        return _explained("memory", "", settings)
    return PipelineError(f"the SQL process ended with {code}", remedy="pipeline doctor says more")


def _explained(kind: str, message: str, settings: Settings) -> PipelineError:
    if kind == "memory":
        return ContractInvalid(
            f"the query needs more than {settings.sql_memory_mb} MiB", remedy="raise it: --set sql_memory_mb=MIB"
        )
    if kind == "refused":
        return ContractInvalid(f"refused: {message}", remedy="any DuckDB can do more: see docs/sql.md")
    if kind == "unreadable":
        return ContractInvalid(
            f"a fact file cannot be read: {message}", remedy="pipeline doctor names the file and what helps"
        )
    return UsageError(f"SQL: {message}")
