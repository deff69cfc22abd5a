"""The work on a shard of spans, in the driver whatever the engine: what takes time is one server's one thread."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dag import Stage
from pipeline.engines.shards import Guard, Shard, ShardResult
from pipeline.stages.batch import Batch, SampleResult
from pipeline.stages.embed_spans import SPAN_COLUMNS
from pipeline.stages.model_record import Making
from pipeline.stores.facts import FactsStore
from schemas.serving import Embedding, ModelIdentity, SampleFailure, TextEmbedder

_BUILT_BY = "build_spans"


@dataclass(frozen=True, slots=True)
class EmbedModel:
    """An embedding model that is ready: who it is, and how to have it embed texts."""

    identity: ModelIdentity
    embed: TextEmbedder


def embed_shards(
    embedding: Stage, shards: Iterable[Shard], model: EmbedModel, facts: FactsStore, code_version: str
) -> Iterator[ShardResult]:
    """Yield the result of each shard of spans as it is finished; the next one starts when it is asked for."""
    making = Making(embedding.name, embedding.version, embedding.config_hash, model.identity, code_version)
    for shard in shards:
        yield _work_shard(embedding, shard, model, facts, making)


def _work_shard(embedding: Stage, shard: Shard, model: EmbedModel, facts: FactsStore, making: Making) -> ShardResult:
    started = time.monotonic()
    wanted = [sample.sample_id for sample in shard.samples]
    table = facts.read_day("spans", shard.run_id, shard.day, _BUILT_BY, SPAN_COLUMNS)
    found = table.filter(pc.is_in(table["span_id"], value_set=pa.array(wanted, pa.string()))).to_pylist()
    missing = [
        SampleResult(span_id, failure=SampleFailure("span_missing", "the span is no longer there", True))
        for span_id in sorted(set(wanted) - {span["span_id"] for span in found})
    ]
    guard: Guard[str, Embedding] = Guard(model.embed)
    batch = embedding.function(found, guard, making)
    batch = Batch(batch.rows, batch.results + missing)
    finished = {result.sample_id for result in batch.results}
    unanswered = tuple(span_id for span_id in wanted if span_id not in finished) if guard.server_gone else ()
    return ShardResult(shard, batch, time.monotonic() - started, guard.server_gone, unanswered)
