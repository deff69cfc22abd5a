"""The unit of commit, and the work on one of it: the same function for every engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from pipeline.clients import ServerGone
from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.prompts import Prompt
from pipeline.settings import Settings
from pipeline.stages.batch import Batch, SampleInput, SampleResult
from pipeline.stages.model_record import Making
from pipeline.stores.catalog import Sample
from pipeline.stores.evidence import EvidenceStore
from schemas.arrow import table_schema
from schemas.evidence import Frame, parse_record
from schemas.facts import frame_of_keyframe
from schemas.fields import from_utc_microseconds
from schemas.record_types import KEYFRAME
from schemas.screen import ScreenReader
from schemas.serving import FrameRef, ModelIdentity, RunFile, SampleFailure, TextReader

Given = TypeVar("Given")
Said = TypeVar("Said")

Server = RunFile | VlmServer
"""How to reach the server of a model, on the loopback of one machine."""

KeepWaiting = Callable[[], None]
"""Asked while a server is waited for; it may raise."""

ServerOnNode = Callable[[DataRoot, Settings, KeepWaiting], Server]
"""Finds a model's server on the machine that it is called on, or starts it; the DataRoot is as that node uses it."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Pending samples of one stage and one hour, in capture order."""

    run_id: str
    day: str
    hour: str
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True)
class ShardResult:
    """What came of a shard: results of the samples that were finished, how long it took, whether the server died.

    `with_server` are the samples that it had then, as far as is known, else all that were not answered. They are not
    among the results: a death is no failure of theirs.
    """

    shard: Shard
    batch: Batch
    elapsed_s: float
    server_gone: bool = False
    with_server: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TextModel:
    """A text model that is ready: who it is, how to have it read frames, and where, if other processes may ask it.

    `on_node` gets another node of a cluster a server of its own: requests never leave a node.
    """

    identity: ModelIdentity
    read: TextReader
    server: RunFile | None = None
    on_node: ServerOnNode | None = None


@dataclass(frozen=True, slots=True)
class ScreenModel:
    """A VLM that is ready: who it is, what it is asked, how, and where, if other processes may ask it.

    `on_node` finds another node of a cluster its own.
    """

    identity: ModelIdentity
    prompt: Prompt
    describe: ScreenReader
    server: VlmServer | None = None
    on_node: ServerOnNode | None = None


Model = TextModel | ScreenModel
"""What an engine has frames shown to."""


class Engine(Protocol):
    """Runs a sample stage over shards and yields their results in any order; writes nothing.

    It takes shards as it needs them, and yields one result for each that it took, whole or not, so that what is
    finished is kept. `prepare` says that a model stage is to come, so that it can get ready beside other work. `quiet`
    says that the gate has closed, from the gate's thread: what it started stops until the next run. `close` says that
    the run is over: it ends what it started, or has it stay for the next run of a worker, until `end`. It can be used
    again afterwards.
    """

    name: str

    def prepare(self) -> None: ...

    def run(
        self, stage: Stage, shards: Iterable[Shard], model: Model | None, code_version: str
    ) -> Iterator[ShardResult]: ...

    def quiet(self) -> None: ...

    def close(self) -> None: ...

    def end(self) -> None: ...


def work_shard(
    stage: Stage, shard: Shard, evidence: EvidenceStore, model: Model | None, code_version: str
) -> ShardResult:
    """Run a sample stage over one shard. Samples whose row is gone or unusable come back as failures."""
    started = time.monotonic()
    samples = {evidence_of(sample): sample for sample in shard.samples}
    rows = evidence.rows(samples)
    found = [
        SampleInput(name, s.run_id, from_utc_microseconds(s.ts_us), rows[name].payload)
        for name, s in samples.items() if name in rows
    ]  # fmt: skip
    missing = [
        SampleResult(s.sample_id, failure=SampleFailure("evidence_missing", "the row is no longer there", True))
        for name, s in samples.items() if name not in rows
    ]  # fmt: skip
    gone, with_server = False, tuple[str, ...]()
    if model is None:
        batch = stage.function(found)
    else:
        frames, unusable = frame_refs(found, evidence)
        missing += [SampleResult(samples[name].sample_id, failure=failure) for name, failure in unusable]
        guard: Guard[FrameRef, Any] = Guard(model.describe if isinstance(model, ScreenModel) else model.read)
        making = making_of(stage, model, code_version)
        batch = stage.function(frames, guard, making) if frames else _nothing(stage)
        gone = guard.server_gone
        with_server = tuple(samples[frame.frame_id].sample_id for frame in guard.with_server)
    batch = Batch(batch.rows, batch.results + missing)
    return ShardResult(shard, batch, time.monotonic() - started, gone, with_server)


def making_of(stage: Stage, model: Model, code_version: str) -> Making:
    """How a stage makes records with a model."""
    told = (model.prompt.text, model.prompt.sha256) if isinstance(model, ScreenModel) else ("", "")
    return Making(stage.name, stage.version, stage.config_hash, model.identity, code_version, *told)


def evidence_of(sample: Sample) -> str:
    """The evidence that a sample is: itself, or the frame of a keyframe."""
    return frame_of_keyframe(sample.run_id, sample.sample_id) if sample.record_type == KEYFRAME else sample.sample_id


class Guard(Generic[Given, Said]):
    """A model whose server may die: what it answered is kept, and what it had then is noted."""

    def __init__(self, ask: Callable[[Sequence[Given]], Iterable[tuple[int, Said | SampleFailure]]]) -> None:
        self._ask = ask
        self.server_gone = False
        self.with_server: list[Given] = []

    def __call__(self, given: Sequence[Given]) -> Iterator[tuple[int, Said | SampleFailure]]:
        try:
            yield from self._ask(given)
        except ServerGone as error:
            self.server_gone = True
            self.with_server = [given[index] for index in error.in_flight]


def frame_refs(
    samples: Iterable[SampleInput], evidence: EvidenceStore
) -> tuple[list[FrameRef], list[tuple[str, SampleFailure]]]:
    """What is to be shown to a model of frames' evidence; beside it, which frames cannot be, and why."""
    frames, unusable = [], []
    for sample in samples:
        try:
            frame, _ = parse_record(Frame, sample.payload)
        except ValueError as error:
            unusable.append((sample.sample_id, SampleFailure("row_incomplete", str(error), False)))
            continue
        where = evidence.locate_blob(sample.run_id, sample.sample_id, frame.record_type, sample.ts_utc, frame.blob_path)
        frames.append(FrameRef(
            sample.sample_id, sample.run_id, sample.ts_utc, frame.width, frame.height, frame.content_hash, where
        ))  # fmt: skip
    return frames, unusable


def nothing_done(stage: Stage, shard: Shard, *, server_gone: bool = False) -> ShardResult:
    """The result of a shard that was not worked on: all of it stays pending."""
    return ShardResult(shard, _nothing(stage), 0.0, server_gone)


def _nothing(stage: Stage) -> Batch:
    return Batch(table_schema(stage.table).empty_table(), [])
