"""What was done for each sample: stage, fingerprint, outcome. `derived/catalog.db`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, DiskRefused
from pipeline.stores.catalog_schema import MIGRATIONS
from pipeline.stores.evidence import open_database_read_only

DONE, FAILED, PARKED = "done", "failed", "parked"

OUTCOME_COLUMNS = (
    "stage, sample_id, run_id, day, hour, ts_us, status, error_code, message, attempts, retry_at_us, fingerprint,"
    " output_id, output_hash, at_us"
)
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in OUTCOME_COLUMNS.split(", ")[2:])


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of evidence that stages work on."""

    sample_id: str
    record_type: str
    run_id: str
    ts_us: int
    day: str
    hour: str
    size: int = field(default=0, compare=False)
    """How many bytes its blob has, as far as its record says; known to those who register it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a sample in a stage, and when. `output_hash` changes when what later stages read of it changes."""

    sample: Sample
    status: str
    fingerprint: str
    error_code: str | None = None
    message: str | None = None
    attempts: int = 1
    retry_at_us: int = 0
    output_id: str | None = None
    output_hash: str | None = None
    at_us: int = 0


class Catalog:
    """The catalog, open for writing by the holder of the run lock, or for reading only.

    A context manager that turns what SQLite finds damaged inside the block into ContractInvalid.
    """

    def __init__(self, root: DataRoot, *, read_only: bool = False) -> None:
        """Open the catalog, creating and migrating it unless `read_only`. Raises ContractInvalid."""
        self._path = root.catalog_db
        try:
            if read_only:
                self.connection = open_database_read_only(root.catalog_db)
            else:
                self.connection = sqlite3.connect(root.catalog_db, isolation_level=None)
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA synchronous = NORMAL")
                self._migrate()
        except sqlite3.Error as error:
            raise self._unusable(error) from error

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self.connection.close()
        if isinstance(error, sqlite3.Error):
            raise self._unusable(error) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written in the block is there afterwards, or nothing of it."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def add_samples(self, samples: Sequence[Sample]) -> None:
        """Register evidence; what is registered stays as it is, but for its size."""
        rows = [(s.sample_id, s.record_type, s.run_id, s.ts_us, s.day, s.hour, s.size) for s in samples]
        self.connection.executemany(
            "INSERT INTO samples VALUES (?,?,?,?,?,?,?) ON CONFLICT(sample_id)"
            " DO UPDATE SET bytes = excluded.bytes WHERE bytes <> excluded.bytes",
            rows,
        )

    def replace_samples(
        self, record_type: str, run_id: str, day: str, samples: Sequence[Sample], stages: Sequence[str]
    ) -> None:
        """Make these the samples of a (run, day) that a day stage gave; what became of others in `stages` goes."""
        query = "SELECT sample_id FROM samples WHERE record_type = ? AND run_id = ? AND day = ?"
        present = {row[0] for row in self.connection.execute(query, (record_type, run_id, day))}
        gone = [(sample_id,) for sample_id in sorted(present - {sample.sample_id for sample in samples})]
        self.connection.executemany("DELETE FROM samples WHERE sample_id = ?", gone)
        for (sample_id,) in gone:
            where = "FROM outcomes WHERE stage = ? AND sample_id = ?"
            for stage in stages:
                self.connection.execute(
                    f"INSERT OR IGNORE INTO unprojected SELECT run_id, day, hour {where}", (stage, sample_id)
                )
                if self.connection.execute(f"DELETE {where}", (stage, sample_id)).rowcount:
                    self._bump(stage, [(run_id, day)])
                self.connection.execute(
                    "DELETE FROM other_outcomes WHERE stage = ? AND sample_id = ?", (stage, sample_id)
                )
        self.add_samples(samples)

    def evidence_changed(self, days: Iterable[tuple[str, str]]) -> None:
        """Note that these (run, day) have new evidence, so that day stages build them again."""
        self._bump("evidence", days)

    def add_unreadable(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Note evidence whose row names no usable time or run: (record id, record type, reason)."""
        self.connection.executemany(
            "INSERT INTO unreadable VALUES (?,?,?) ON CONFLICT(record_id) DO UPDATE SET reason = excluded.reason", rows
        )

    def mark(self, name: str) -> str | None:
        """Read a named value that a run left for the next one."""
        row = self.connection.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_mark(self, name: str, value: str) -> None:
        """Leave a named value for the next run."""
        self.connection.execute(
            "INSERT INTO marks VALUES (?,?) ON CONFLICT(name) DO UPDATE SET value = excluded.value", (name, value)
        )

    def next_retry_us(self, stages: Iterable[str]) -> int | None:
        """When the next failed sample of some stages may be tried again, in microseconds since 1970."""
        names = list(stages)
        marks = ",".join("?" * len(names))
        query = (
            "SELECT min(retry_at_us) FROM outcomes"  # noqa: S608 only question marks
            f" WHERE status <> 'done' AND status = 'failed' AND stage IN ({marks})"
        )
        found = self.connection.execute(query, names).fetchone()[0]
        return None if found is None else int(found)

    def retry_failed(self, stage: str) -> int:
        """Make pending again, with all their tries, what failed or was given up in a stage; returns how many."""
        where = "WHERE status <> 'done' AND stage = ?"
        with self.transaction():
            self.connection.execute(
                f"INSERT OR IGNORE INTO unprojected SELECT DISTINCT run_id, day, hour FROM outcomes {where}",  # noqa: S608
                (stage,),
            )
            return self.connection.execute(
                f"UPDATE outcomes SET status = 'failed', attempts = 0, retry_at_us = 0 {where}", (stage,)  # noqa: S608
            ).rowcount  # fmt: skip

    def attempts(self, stage: str, sample_ids: Sequence[str], fingerprint: str) -> dict[str, int]:
        """Tell how often samples failed in a stage with this fingerprint; those that never did are left out."""
        found: dict[str, int] = {}
        for sample_id in sample_ids:
            row = self.connection.execute(
                "SELECT attempts FROM outcomes"
                " WHERE stage = ? AND sample_id = ? AND fingerprint = ? AND status <> 'done'",
                (stage, sample_id, fingerprint),
            ).fetchone()
            if row:
                found[sample_id] = row[0]
        return found

    def done_among(self, stage: str, sample_ids: Sequence[str]) -> set[str]:
        """Tell which of some samples a stage has done."""
        query = "SELECT 1 FROM outcomes WHERE stage = ? AND sample_id = ? AND status = 'done'"
        return {name for name in sample_ids if self.connection.execute(query, (stage, name)).fetchone()}

    def record_outcomes(self, stage: str, outcomes: Sequence[Outcome]) -> None:
        """Write what became of samples, note which hours `stage_outcomes` must show anew and which days changed."""
        changed = self._changed_days(stage, outcomes)
        query = (
            f"INSERT INTO outcomes({OUTCOME_COLUMNS}) VALUES ({','.join('?' * 15)})"  # noqa: S608 our own words
            f" ON CONFLICT(stage, sample_id) DO UPDATE SET {_REPLACED}"
        )
        self.connection.executemany(query, outcome_rows(stage, outcomes))
        self.connection.executemany(
            "INSERT OR IGNORE INTO unprojected VALUES (?,?,?)",
            {(o.sample.run_id, o.sample.day, o.sample.hour) for o in outcomes},
        )
        self._bump(stage, changed)

    def unprojected_hours(self) -> list[tuple[str, str, str]]:
        """The hours (run, day, hour) whose `stage_outcomes` file is behind the catalog."""
        return list(self.connection.execute("SELECT run_id, day, hour FROM unprojected ORDER BY 1, 2, 3"))

    def outcomes_of_hour(self, run_id: str, day: str, hour: str) -> list[tuple[object, ...]]:
        """All outcomes of an hour, as rows of `stage_outcomes` with the time in microseconds."""
        return list(self.connection.execute(
            "SELECT stage, sample_id, run_id, ts_us, status, error_code, fingerprint, output_id, output_hash"
            " FROM outcomes WHERE run_id = ? AND day = ? AND hour = ? ORDER BY stage, ts_us, sample_id",
            (run_id, day, hour),
        ))  # fmt: skip

    def projected(self, hours: Iterable[tuple[str, str, str]]) -> None:
        """Note that `stage_outcomes` shows these hours."""
        self.connection.executemany("DELETE FROM unprojected WHERE run_id = ? AND day = ? AND hour = ?", hours)

    def outputs_of_day(self, stage: str, run_id: str, day: str) -> set[str]:
        """The ids of what a stage made for a (run, day), as it stands now."""
        query = "SELECT output_id FROM outcomes WHERE stage = ? AND run_id = ? AND day = ? AND status = 'done'"
        return {row[0] for row in self.connection.execute(query, (stage, run_id, day))}

    def pending_days(self, stage: str, sources: Sequence[str], fingerprint: str) -> list[tuple[str, str, str]]:
        """List (run, day, state of its inputs) that a day stage has to build again, newest first."""
        inputs = self._inputs_by_day(sources)
        query = "SELECT run_id, day, fingerprint || ' ' || inputs FROM day_outcomes WHERE stage = ?"
        built = {(run, day): state for run, day, state in self.connection.execute(query, (stage,))}
        stale = [
            (run, day, state) for (run, day), state in inputs.items()
            if built.get((run, day)) != f"{fingerprint} {state}"
        ]  # fmt: skip
        return sorted(stale, key=lambda item: (item[1], item[0]), reverse=True)

    def built_days(self, stage: str, sources: Sequence[str], fingerprint: str) -> int:
        """Count the (run, day)s that a day stage need not build again."""
        return len(self._inputs_by_day(sources)) - len(self.pending_days(stage, sources, fingerprint))

    def record_day(self, stage: str, run_id: str, day: str, fingerprint: str, inputs: str, row_count: int) -> None:
        """Note that a day stage has built a (run, day) from this state of its inputs; what stands on it is behind."""
        self.connection.execute(
            "INSERT OR REPLACE INTO day_outcomes VALUES (?,?,?,?,?,?)",
            (stage, run_id, day, fingerprint, inputs, row_count),
        )
        self._bump(stage, [(run_id, day)])

    def forget_days(self, stage: str) -> None:
        """Have a day stage build every (run, day) again."""
        self.connection.execute("DELETE FROM day_outcomes WHERE stage = ?", (stage,))

    def _inputs_by_day(self, sources: Sequence[str]) -> dict[tuple[str, str], str]:
        marks = ",".join("?" * len(sources))
        query = f"SELECT source, run_id, day, version FROM day_versions WHERE source IN ({marks}) ORDER BY source"  # noqa: S608
        inputs: dict[tuple[str, str], str] = {}
        for source, run_id, day, version in self.connection.execute(query, list(sources)):
            inputs[run_id, day] = f"{inputs.get((run_id, day), '')}{source}={version};"
        return inputs

    def _changed_days(self, stage: str, outcomes: Sequence[Outcome]) -> set[tuple[str, str]]:
        changed = set()
        query = "SELECT output_hash FROM outcomes WHERE stage = ? AND sample_id = ?"
        for outcome in outcomes:
            day = (outcome.sample.run_id, outcome.sample.day)
            if day not in changed:
                before = self.connection.execute(query, (stage, outcome.sample.sample_id)).fetchone()
                if (before[0] if before else None) != outcome.output_hash:
                    changed.add(day)
        return changed

    def _bump(self, source: str, days: Iterable[tuple[str, str]]) -> None:
        self.connection.executemany(
            "INSERT INTO day_versions VALUES (?,?,?,1)"
            " ON CONFLICT(source, run_id, day) DO UPDATE SET version = version + 1",
            [(source, run_id, day) for run_id, day in sorted(days)],
        )

    def _unusable(self, error: sqlite3.Error) -> ContractInvalid:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return DiskRefused(
                f"the disk refused the catalog {self._path}: {error}",
                remedy="make room on it (df -h), then run it again; what was finished is kept",
            )
        return ContractInvalid(
            f"the catalog {self._path} cannot be used: {error}",
            remedy="move derived/ away, then: pipeline run --until-done",
        )

    def _migrate(self) -> None:
        version = self.connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise sqlite3.DatabaseError("a newer version of this program made it")
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            self.connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")


def outcome_rows(stage: str, outcomes: Iterable[Outcome]) -> list[tuple[object, ...]]:
    """Outcomes as rows of the catalog's tables of them."""
    return [(
        stage, o.sample.sample_id, o.sample.run_id, o.sample.day, o.sample.hour, o.sample.ts_us, o.status,
        o.error_code, o.message, o.attempts, o.retry_at_us, o.fingerprint, o.output_id, o.output_hash, o.at_us,
    ) for o in outcomes]  # fmt: skip
