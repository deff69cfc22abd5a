"""The one writer: fact file first, then the catalog row; `stage_outcomes` follows the catalog."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from pipeline.dag import Stage
from pipeline.engines.shards import ShardResult
from pipeline.runs.retries import wait_us
from pipeline.settings import Settings
from pipeline.stages.batch import SampleResult
from pipeline.stores.catalog import DONE, FAILED, PARKED, Catalog, Outcome, Sample
from pipeline.stores.facts import FactsStore
from pipeline.stores.kept_replies import keep_reply
from pipeline.stores.other_models import BesideOutcomes, keep_replaced
from schemas.arrow import KEYS, table_schema

OUTCOMES_PRODUCER = "catalog"


def commit_shard(
    stage: Stage, result: ShardResult, fingerprint: str, catalog: Catalog | BesideOutcomes, facts: FactsStore,
    settings: Settings, now_us: int,
) -> Counter[str]:  # fmt: skip
    """Keep what came of a shard; counts its samples by status. A crash in between leaves work that is done again.

    What a model has done stays done `[row-4]`: when it fails on being asked again, the outcome before still counts,
    and where another model takes the place of one, that one's outcome is kept beside.
    """
    shard = result.shard
    if result.batch.rows.num_rows:
        facts.merge(stage.table, shard.run_id, shard.day, shard.hour, stage.name, result.batch.rows)
    for item in result.batch.results:
        if item.failure is not None and item.failure.reply:
            keep_reply(facts.root, stage.name, item.sample_id, item.failure.code, fingerprint, item.failure.reply)
    outcomes = _outcomes(stage, result, fingerprint, catalog, settings, now_us)
    failed = [outcome.sample.sample_id for outcome in outcomes if outcome.status != DONE]
    still_done = catalog.done_among(stage.name, failed) if stage.model else set()
    told = [item for item in outcomes if item.sample.sample_id not in still_done]
    with catalog.transaction():
        if stage.model and isinstance(catalog, Catalog):
            keep_replaced(catalog, stage.name, told)
        catalog.record_outcomes(stage.name, told)
    return Counter(outcome.status for outcome in outcomes)


def given_samples(stage: Stage, run_id: str, day: str, rows: pa.Table, hours: pa.Array) -> list[Sample]:
    """The rows of a day stage as samples for the stages that take them."""
    (key,) = KEYS[stage.table]
    moments = rows[stage.hour_column].cast(pa.int64()).to_pylist()
    named = zip(rows[key].to_pylist(), moments, hours.to_pylist(), strict=True)
    return [Sample(sample_id, stage.gives, run_id, ts_us, day, hour) for sample_id, ts_us, hour in named]


def project_outcomes(catalog: Catalog, facts: FactsStore) -> None:
    """Bring `stage_outcomes` up to the catalog, hour by hour."""
    hours = catalog.unprojected_hours()
    for run_id, day, hour in hours:
        columns = list(zip(*catalog.outcomes_of_hour(run_id, day, hour), strict=True))
        schema = table_schema("stage_outcomes")
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        facts.replace("stage_outcomes", run_id, day, hour, OUTCOMES_PRODUCER, pa.table(arrays, schema=schema))
    if hours:
        with catalog.transaction():
            catalog.projected(hours)


def _outcomes(
    stage: Stage, result: ShardResult, fingerprint: str, catalog: Catalog | BesideOutcomes, settings: Settings,
    now_us: int,
) -> Sequence[Outcome]:  # fmt: skip
    samples = {sample.sample_id: sample for sample in result.shard.samples}
    failed = [item.sample_id for item in result.batch.results if item.failure]
    before = catalog.attempts(stage.name, failed, fingerprint)
    return [
        _outcome(samples[item.sample_id], item, fingerprint, before.get(item.sample_id, 0) + 1, settings, now_us)
        for item in result.batch.results
    ]


def _outcome(
    sample: Sample, result: SampleResult, fingerprint: str, attempts: int, settings: Settings, now_us: int
) -> Outcome:
    failure = result.failure
    if failure is None:
        return Outcome(
            sample, DONE, fingerprint, output_id=result.output_id, output_hash=result.output_hash, at_us=now_us
        )
    status = FAILED if failure.retryable and attempts < settings.max_attempts else PARKED
    due_us = now_us + wait_us(failure, attempts, settings.retry_backoff_s)
    return Outcome(sample, status, fingerprint, failure.code, failure.message, attempts, due_us, at_us=now_us)
