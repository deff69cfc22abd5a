"""How shards travel to worker processes, and what came of them back to the driver."""

from __future__ import annotations

import pickle

import pyarrow as pa

from pipeline.engines.shards import Shard, ShardResult
from pipeline.errors import PipelineError
from pipeline.stages.batch import Batch

RESULT = pa.schema([
    ("index", pa.int64()),
    ("rows", pa.large_binary()),
    ("results", pa.large_binary()),
    ("elapsed_s", pa.float64()),
    ("server_gone", pa.bool_()),
    ("with_server", pa.list_(pa.string())),
    ("node", pa.string()),
    ("error", pa.large_binary()),
])  # fmt: skip
"""`rows` is an Arrow stream of the stage's table; `results` and `error` are pickles, from our own processes only."""


def describe(index: int, shard: Shard) -> dict[str, object]:
    """Make the descriptor of a shard."""
    return {"index": index, "shard": pickle.dumps(shard)}


def unpack(packed: bytes) -> Shard:
    """Read the shard of a descriptor, in a worker."""
    shard: Shard = pickle.loads(packed)  # noqa: S301 from our own driver
    return shard


def pack(index: int, result: ShardResult, node: str, error: PipelineError | None = None) -> dict[str, object]:
    """Make the row of RESULT for a shard that was worked on by a node."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, result.batch.rows.schema) as stream:
        stream.write_table(result.batch.rows)
    return {
        "index": index,
        "rows": sink.getvalue().to_pybytes(),
        "results": pickle.dumps(result.batch.results),
        "elapsed_s": result.elapsed_s,
        "server_gone": result.server_gone,
        "with_server": list(result.with_server),
        "node": node,
        "error": None if error is None else pickle.dumps(error),
    }


def read_results(table: pa.Table, shards: list[Shard]) -> list[tuple[int, str, ShardResult]]:
    """Read what `work_descriptors` made, in the driver: which shard, on which node, what came of it.

    Raises the PipelineError that a shard ended with.
    """
    found = []
    for number in range(table.num_rows):
        row = {name: table[name][number] for name in table.schema.names}
        if row["error"].is_valid:
            error: PipelineError = pickle.loads(row["error"].as_py())  # noqa: S301 from our own worker
            raise error
        index = row["index"].as_py()
        batch = Batch(
            pa.ipc.open_stream(row["rows"].as_buffer()).read_all(),
            pickle.loads(row["results"].as_py()),  # noqa: S301
        )
        elapsed_s, gone = row["elapsed_s"].as_py(), row["server_gone"].as_py()
        result = ShardResult(shards[index], batch, elapsed_s, gone, tuple(row["with_server"].as_py()))
        found.append((index, row["node"].as_py(), result))
    return found
