"""What models beside the one in use made of samples: outcomes in a table of their own, and how the two change places.

`outcomes` holds one outcome for each sample of a stage, the one that facts are made of. `other_outcomes` holds those of
any other model (a fingerprint each): read on purpose to compare, or replaced by `--reprocess` or a promotion.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pipeline.stores.catalog import DONE, FAILED, OUTCOME_COLUMNS, PARKED, Catalog, Outcome, Sample, outcome_rows
from pipeline.stores.pending import Pending, pending_beside


@dataclass(frozen=True, slots=True)
class ModelOutcomes:
    """How many samples of a stage one model (a fingerprint) has an outcome for; times in microseconds since 1970."""

    stage: str
    fingerprint: str
    in_use: bool
    done: int
    failed: int
    parked: int
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True)
class Output:
    """Where one output of a model lies."""

    run_id: str
    day: str
    hour: str
    record_id: str


class BesideOutcomes:
    """The outcomes of one model beside the one in use: as the catalog has them, and nothing stands on them."""

    def __init__(self, catalog: Catalog, fingerprint: str) -> None:
        self._catalog = catalog
        self._fingerprint = fingerprint

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written in the block is there afterwards, or nothing of it."""
        return self._catalog.transaction()

    def pending(self, stage: str, record_type: str, now_us: int) -> Pending:
        """Find samples that the model has not taken."""
        return pending_beside(self._catalog, stage, record_type, self._fingerprint, now_us)

    def retry_failed(self, stage: str) -> int:
        """Make pending again, with all their tries, what the model failed on; returns how many."""
        return self._catalog.connection.execute(
            "UPDATE other_outcomes SET status = 'failed', attempts = 0, retry_at_us = 0"
            " WHERE stage = ? AND fingerprint = ? AND status <> 'done'",
            (stage, self._fingerprint),
        ).rowcount

    def next_retry_us(self, stage: str) -> int | None:
        """When the next failed sample may be tried again, in microseconds since 1970."""
        found = self._catalog.connection.execute(
            "SELECT min(retry_at_us) FROM other_outcomes WHERE stage = ? AND fingerprint = ? AND status = 'failed'",
            (stage, self._fingerprint),
        ).fetchone()[0]
        return None if found is None else int(found)

    def attempts(self, stage: str, sample_ids: Sequence[str], fingerprint: str) -> dict[str, int]:
        """Tell how often samples failed; those that never did are left out."""
        return dict(self._look(stage, sample_ids, fingerprint, "attempts", "status <> 'done'"))

    def done_among(self, stage: str, sample_ids: Sequence[str]) -> set[str]:
        """Tell which of some samples are done."""
        return {name for name, _ in self._look(stage, sample_ids, self._fingerprint, "1", "status = 'done'")}

    def record_outcomes(self, stage: str, outcomes: Sequence[Outcome]) -> None:
        """Write what became of samples."""
        _add(self._catalog, outcome_rows(stage, outcomes))

    def _look(
        self, stage: str, sample_ids: Sequence[str], fingerprint: str, column: str, where: str
    ) -> Iterator[tuple[str, int]]:
        query = (
            f"SELECT {column} FROM other_outcomes"  # noqa: S608 our own words
            f" WHERE stage = ? AND fingerprint = ? AND sample_id = ? AND {where}"
        )
        for sample_id in sample_ids:
            row = self._catalog.connection.execute(query, (stage, fingerprint, sample_id)).fetchone()
            if row:
                yield sample_id, int(row[0])


def has_other_models(catalog: Catalog) -> bool:
    """Tell whether the catalog knows of models beside the one in use; one that was only read may be older."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'other_outcomes'"
    return catalog.connection.execute(query).fetchone() is not None


def keep_replaced(catalog: Catalog, stage: str, outcomes: Iterable[Outcome]) -> None:
    """Before outcomes are written: keep what another model had done for these samples, beside."""
    for new in outcomes:
        catalog.connection.execute(
            f"INSERT OR REPLACE INTO other_outcomes({OUTCOME_COLUMNS}) SELECT {OUTCOME_COLUMNS} FROM outcomes"  # noqa: S608 our own words
            " WHERE stage = ? AND sample_id = ? AND status = 'done' AND fingerprint <> ?",
            (stage, new.sample.sample_id, new.fingerprint),
        )
        catalog.connection.execute(
            "DELETE FROM other_outcomes WHERE stage = ? AND fingerprint = ? AND sample_id = ?",
            (stage, new.fingerprint, new.sample.sample_id),
        )


def promote_outcomes(catalog: Catalog, stage: str, fingerprint: str) -> int:
    """Put what a model has done in use and what it takes the place of beside; returns how many samples that are.

    Samples that it has not done keep the outcome that they have. In one transaction, with all that follows from it:
    days are built again where anything changed, and `stage_outcomes` is behind.
    """
    names = {"stage": stage, "fingerprint": fingerprint}
    theirs = "FROM other_outcomes WHERE stage = :stage AND fingerprint = :fingerprint AND status = 'done'"
    ours = (
        "FROM outcomes WHERE stage = :stage AND fingerprint <> :fingerprint AND sample_id IN"
        f" (SELECT sample_id {theirs})"
    )
    run = catalog.connection.execute
    with catalog.transaction():
        new = run(f"SELECT {OUTCOME_COLUMNS} {theirs} ORDER BY sample_id", names).fetchall()
        run(f"INSERT OR REPLACE INTO other_outcomes({OUTCOME_COLUMNS}) SELECT {OUTCOME_COLUMNS} {ours}", names)
        catalog.record_outcomes(stage, [_outcome(row) for row in new])
        run(f"DELETE {theirs}", names)
    return len(new)


def note_engine_model(catalog: Catalog, stage: str, fingerprint: str, name: str) -> None:
    """Note under which name a run asked for the model of a fingerprint."""
    catalog.connection.execute("INSERT OR REPLACE INTO engine_models VALUES (?,?,?)", (stage, fingerprint, name))


def engine_model_names(catalog: Catalog, stage: str) -> dict[str, str]:
    """By which name each fingerprint of a stage was asked for, as far as that was noted."""
    query = "SELECT fingerprint, name FROM engine_models WHERE stage = ?"
    return dict(catalog.connection.execute(query, (stage,)).fetchall())


def count_by_model(catalog: Catalog, stage: str) -> list[ModelOutcomes]:
    """Count a stage's outcomes by model: those in use first, then in the order of what each saw first."""
    query = " UNION ALL ".join(
        f"SELECT stage, fingerprint, {in_use}, sum(status = '{DONE}'), sum(status = '{FAILED}'),"  # noqa: S608
        f" sum(status = '{PARKED}'), min(ts_us), max(ts_us) FROM {table} WHERE stage = ?1 GROUP BY stage, fingerprint"
        for table, in_use in (("outcomes", 1), ("other_outcomes", 0))
    )
    rows = catalog.connection.execute(f"{query} ORDER BY 3 DESC, 7, 2", (stage,))
    return [ModelOutcomes(row[0], row[1], bool(row[2]), *row[3:]) for row in rows]


def outputs_of_model(catalog: Catalog, stage: str, fingerprint: str, at_most: int = -1) -> dict[str, Output]:
    """What a model made of each sample, in use or not, by sample id; `at_most` so many of them."""
    query = " UNION ALL ".join(
        f"SELECT sample_id, run_id, day, hour, output_id FROM {table}"  # noqa: S608 our own words
        " WHERE stage = ?1 AND fingerprint = ?2 AND status = 'done' AND output_id IS NOT NULL"
        for table in ("outcomes", "other_outcomes")
    )
    rows = catalog.connection.execute(f"{query} LIMIT ?3", (stage, fingerprint, at_most))
    return {name: Output(*rest) for name, *rest in rows}


def _add(catalog: Catalog, rows: list[tuple[object, ...]]) -> None:
    values = ",".join("?" * 15)
    query = f"INSERT OR REPLACE INTO other_outcomes({OUTCOME_COLUMNS}) VALUES ({values})"  # noqa: S608 our own words
    catalog.connection.executemany(query, rows)


def _outcome(row: tuple[Any, ...]) -> Outcome:
    _, sample_id, run_id, day, hour, ts_us, status, code, message, attempts, retry_at_us, fingerprint, *output = row
    sample = Sample(sample_id, "", run_id, ts_us, day, hour)
    return Outcome(sample, status, fingerprint, code, message, attempts, retry_at_us, *output)
