"""What a Ray worker process does: one shard, read-only, back to the driver as an Arrow table. It starts no Ray."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.driver_word import HeardWord
from pipeline.engines.ray_cluster import CLUSTER
from pipeline.engines.ray_node import (
    Place,
    here,
    identity_of,
    node_address,
    require_allowed_node,
    require_same_dataroot,
    server_on,
)
from pipeline.engines.ray_results import RESULT, pack, unpack
from pipeline.engines.served import import_client, served_model
from pipeline.engines.shards import Model, Server, ServerOnNode, Shard, ShardResult, nothing_done, work_shard
from pipeline.errors import Blocked, PipelineError, Unavailable
from pipeline.gate import Gate, GateTerms, Lookout
from pipeline.network_guard import guard_network
from pipeline.rare_collections import collect_rarely
from pipeline.settings import Settings
from pipeline.stores.evidence import EvidenceStore


@dataclass(frozen=True)
class Job:
    """What all shards of one pass over a stage have in common.

    `driver` and `driver_started` tell if the run still lives, the folder `wanted` if it still wants the results;
    elsewhere than at the run's `place` its word does, which lies in that folder. `node` is that of Ray's driver.
    """

    job_id: str
    wanted: Path
    data_root: Path
    settings: Settings
    gate: GateTerms
    stage: Stage
    server: Server | None
    server_on_node: ServerOnNode | None
    code_version: str
    concurrency: int
    driver: int
    driver_started: int | None
    place: Place
    node: str


class _Worker:
    """A job in this process: whether no more is to be done for it, and the server that it asks."""

    def __init__(self, job: Job, node: str) -> None:
        self.job = job
        self.node = node
        self.root = DataRoot(job.data_root)
        self.stopped = False
        self.server_gone = False

    def may_send(self) -> bool:
        """Asked before every request; a closed gate stays closed for the rest of the job, so that its end is soon."""
        if not self.stopped:
            self.stopped = not self._may_go_on()
        return not self.stopped

    def work(self, shard: Shard) -> ShardResult:
        if self.server_gone or not self.may_send():
            return nothing_done(self.job.stage, shard, server_gone=self.server_gone)
        try:
            model = self._model()
        except Blocked:
            return nothing_done(self.job.stage, shard)
        with EvidenceStore(self.root) as evidence:
            result = work_shard(self.job.stage, shard, evidence, model, self.job.code_version)
        self.server_gone = result.server_gone
        return result

    def _may_go_on(self) -> bool:
        raise NotImplementedError

    def _server(self) -> Server | None:
        """Raises Blocked when no more is to be done while a server is waited for."""
        return self.job.server

    def _model(self) -> Model | None:
        server = self._server()
        if server is None:
            return None
        return served_model(self.root, self.job.settings, server, Lookout(self.may_send), self.job.concurrency)


class _Beside(_Worker):
    """Beside the driver: a gate of its own, which remembers `seq`, and the server that the run started."""

    def __init__(self, job: Job) -> None:
        super().__init__(job, job.node)
        self.gate = Gate(self.root.activity_signal, **job.gate)

    def _may_go_on(self) -> bool:
        driver_lives = process_start(self.job.driver) == self.job.driver_started
        return self.gate.ask().open and driver_lives and self.job.wanted.exists()


class _Elsewhere(_Worker):
    """On another node than the driver: the driver's word, and that node's own server."""

    def __init__(self, job: Job) -> None:
        """Raises ContractInvalid, Unavailable when this node may not, or cannot, take part."""
        super().__init__(job, node_address())
        require_allowed_node(self.node, job.settings.ray_networks)
        require_same_dataroot(self.node, self.root, job.wanted)
        self.word = HeardWord(job.wanted)
        self.found: Server | None = None

    def _may_go_on(self) -> bool:
        return self.word()

    def _server(self) -> Server | None:
        job = self.job
        if job.server is not None and self.found is None:
            if job.server_on_node is None:
                raise Unavailable(
                    f"nothing says how the node {self.node} gets a server of its own for this model",
                    remedy=f"pipeline run --engine local ({CLUSTER})",
                )
            wanted = identity_of(job.server)
            self.found = server_on(
                self.node, job.server_on_node, self.root, job.settings, wanted, self._keep_waiting
            )  # fmt: skip
        return self.found

    def _keep_waiting(self) -> None:
        if not self.may_send():
            raise Blocked("the driver wants no more")


_worker: _Worker | None = None


def work_descriptors(descriptors: pa.Table, job: Job) -> pa.Table:
    """Work on shards that are described by `index` and a pickle; one row of RESULT for each.

    An error of ours comes back as data, so that Ray neither repeats the shard nor hides what it was.
    """
    global _worker
    if _worker is None:
        guard_network()
        collect_rarely()
    rows = []
    for index, packed in zip(descriptors["index"].to_pylist(), descriptors["shard"].to_pylist(), strict=True):
        shard = unpack(packed)
        try:
            if _worker is None or _worker.job.job_id != job.job_id:
                _worker = _Beside(job) if here() == job.place else _Elsewhere(job)
            rows.append(pack(index, _worker.work(shard), _worker.node))
        except PipelineError as error:
            rows.append(pack(index, nothing_done(job.stage, shard), "", error))
    return pa.Table.from_pylist(rows, schema=RESULT)


def get_ready(descriptors: pa.Table) -> pa.Table:
    """Do nothing; whoever calls this has imported what work needs, once the HTTP library is there too."""
    import_client()
    return descriptors


def process_start(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with the pid it names the process. None when it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])
