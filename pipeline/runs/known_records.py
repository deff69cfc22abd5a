"""What a VLM has said before is not asked again: a frame that is chosen once more finds its record `[row-2]`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dag import Stage
from pipeline.engines.shards import Model, Shard, ShardResult, evidence_of, making_of
from pipeline.stages.batch import Batch, SampleResult
from pipeline.stages.describe_screen import MODALITY
from pipeline.stores.catalog import Sample
from pipeline.stores.facts import FactsStore
from schemas.arrow import table_schema

_COLUMNS = ["record_id", "row_hash"]


def known_results(stage: Stage, pending: Iterable[Sample], model: Model, facts: FactsStore) -> Iterator[ShardResult]:
    """Results of those samples whose record is there, by its id: of the same frame, model, prompt and stage.

    Raises ContractInvalid for a fact file that cannot be read.
    """
    making = making_of(stage, model, "")
    for (run_id, day, hour), group in groupby(pending, key=lambda item: (item.run_id, item.day, item.hour)):
        wanted = {making.record_id(run_id, evidence_of(item), MODALITY): item for item in group}
        held = facts.read_day(stage.table, run_id, day, stage.name, _COLUMNS)
        found = held.filter(pc.is_in(held["record_id"], value_set=pa.array(sorted(wanted), pa.string()))).to_pylist()
        if found:
            samples = tuple(wanted[row["record_id"]] for row in found)
            results = [_done(wanted[row["record_id"]], row) for row in found]
            empty = table_schema(stage.table).empty_table()
            yield ShardResult(Shard(run_id, day, hour, samples), Batch(empty, results), 0.0)


def _done(sample: Sample, row: dict[str, str]) -> SampleResult:
    return SampleResult(sample.sample_id, row["record_id"], row["row_hash"])
