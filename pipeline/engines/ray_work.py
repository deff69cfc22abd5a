"""What a Ray worker process does: one shard, read-only, back to the driver as an Arrow table. It never imports Ray."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.rare_collections import collect_rarely
from pipeline.engines.served import import_client, served_model
from pipeline.engines.shards import Model, Shard, ShardResult, nothing_done, work_shard
from pipeline.errors import PipelineError
from pipeline.gate import Gate, GateTerms, Lookout
from pipeline.network_guard import guard_network
from pipeline.settings import Settings
from pipeline.stores.evidence import EvidenceStore
from schemas.serving import RunFile

RESULT = pa.schema([
    ("index", pa.int64()),
    ("rows", pa.large_binary()),
    ("results", pa.large_binary()),
    ("elapsed_s", pa.float64()),
    ("server_gone", pa.bool_()),
    ("with_server", pa.list_(pa.string())),
    ("error", pa.large_binary()),
])  # fmt: skip
"""`rows` is an Arrow stream of the stage's table; `results` and `error` are pickles, from our own processes only."""


@dataclass(frozen=True)
class Job:
    """What all shards of one pass over a stage have in common.

    `driver` and `driver_started` tell if the driver still lives, the folder `wanted` if it still wants the results.
    """

    job_id: str
    wanted: Path
    data_root: Path
    settings: Settings
    gate: GateTerms
    stage: Stage
    server: RunFile | VlmServer | None
    code_version: str
    concurrency: int
    driver: int
    driver_started: int | None


class _Worker:
    """A job in this process: its gate, which remembers `seq`, and whether no more is to be done for it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.root = DataRoot(job.data_root)
        self.gate = Gate(self.root.activity_signal, **job.gate)
        self.stopped = False
        self.server_gone = False

    def may_send(self) -> bool:
        """Asked before every request; a closed gate stays closed for the rest of the job, so that its end is soon."""
        if not self.stopped:
            self.stopped = not self.gate.ask().open or not self._wanted()
        return not self.stopped

    def _wanted(self) -> bool:
        return process_start(self.job.driver) == self.job.driver_started and self.job.wanted.exists()

    def work(self, shard: Shard) -> ShardResult:
        if self.server_gone or not self.may_send():
            return nothing_done(self.job.stage, shard, server_gone=self.server_gone)
        with EvidenceStore(self.root) as evidence:
            result = work_shard(self.job.stage, shard, evidence, self._model(), self.job.code_version)
        self.server_gone = result.server_gone
        return result

    def _model(self) -> Model | None:
        job = self.job
        if job.server is None:
            return None
        return served_model(self.root, job.settings, job.server, Lookout(self.may_send), job.concurrency)


_worker: _Worker | None = None


def work_descriptors(descriptors: pa.Table, job: Job) -> pa.Table:
    """Work on shards that are described by `index` and a pickle; one row of RESULT for each.

    An error of ours comes back as data, so that Ray neither repeats the shard nor hides what it was.
    """
    global _worker
    if _worker is None:
        guard_network()
        collect_rarely()
    if _worker is None or _worker.job.job_id != job.job_id:
        _worker = _Worker(job)
    rows = []
    for index, packed in zip(descriptors["index"].to_pylist(), descriptors["shard"].to_pylist(), strict=True):
        shard: Shard = pickle.loads(packed)  # noqa: S301 from our own driver
        try:
            rows.append(_pack(index, _worker.work(shard)))
        except PipelineError as error:
            rows.append({**_pack(index, nothing_done(job.stage, shard)), "error": pickle.dumps(error)})
    return pa.Table.from_pylist(rows, schema=RESULT)


def get_ready(descriptors: pa.Table) -> pa.Table:
    """Do nothing; whoever calls this has imported what work needs, once the HTTP library is there too."""
    import_client()
    return descriptors


def describe(index: int, shard: Shard) -> dict[str, object]:
    """Make the descriptor of a shard."""
    return {"index": index, "shard": pickle.dumps(shard)}


def read_results(table: pa.Table, shards: list[Shard]) -> list[tuple[int, ShardResult]]:
    """Read what `work_descriptors` made, in the driver. Raises the PipelineError that a shard ended with."""
    from pipeline.stages.batch import Batch

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
        found.append((index, ShardResult(shards[index], batch, elapsed_s, gone, tuple(row["with_server"].as_py()))))
    return found


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid it names the process. None when it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def _pack(index: int, result: ShardResult) -> dict[str, object]:
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
        "error": None,
    }
