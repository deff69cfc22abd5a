"""The catalog: what is pending, what failed, which days changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, DiskRefused
from pipeline.stores import pending as pending_samples
from pipeline.stores.catalog import DONE, FAILED, PARKED, Catalog, Outcome, Sample
from pipeline.stores.catalog_schema import MIGRATIONS
from pipeline.stores.counts import count_outcomes

ONE = Sample("r/f/1", "frame", "r", 1_000, "2026-03-01", "10")
TWO = Sample("r/f/2", "frame", "r", 2_000, "2026-03-01", "10")
LATER = Sample("r/f/3", "frame", "r", 9_000, "2026-03-02", "09")


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path / "root").create()


def pending(catalog: Catalog, fingerprint: str | None = None, now_us: int = 0) -> list[str]:
    return [sample.sample_id for sample in pending_samples.pending(catalog, "s", "frame", fingerprint, now_us)]


def test_samples_are_pending_until_they_have_an_outcome(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.add_samples([ONE, TWO, LATER])
        assert pending(catalog) == ["r/f/3", "r/f/1", "r/f/2"]
        catalog.record_outcomes("s", [Outcome(TWO, DONE, "f")])
        catalog.record_outcomes("other", [Outcome(ONE, DONE, "f")])
        assert pending(catalog) == ["r/f/3", "r/f/1"]
        assert not pending_samples.pending(catalog, "s", "window", None, 0)


def test_what_was_written_is_there_for_the_next_one(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.add_samples([ONE, TWO])
        catalog.record_outcomes("s", [Outcome(ONE, DONE, "f")])
    with Catalog(root) as catalog, Catalog(root, read_only=True) as reader:
        assert pending(catalog) == pending(reader) == ["r/f/2"]
        assert count_outcomes(reader) == {("s", "done"): 1}
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.set_mark("a", "b")


def test_a_failed_sample_is_pending_again_when_its_time_has_come(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.add_samples([ONE, TWO])
        catalog.record_outcomes(
            "s", [Outcome(ONE, FAILED, "f", "code", retry_at_us=50), Outcome(TWO, PARKED, "f", "code")]
        )
        assert [pending(catalog, now_us=now) for now in (49, 50)] == [[], ["r/f/1"]]
        assert catalog.next_retry_us(["s"]) == 50
        assert catalog.next_retry_us(["other"]) is None


def test_another_fingerprint_makes_every_outcome_stale(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.add_samples([ONE, TWO, LATER])
        catalog.record_outcomes(
            "s", [Outcome(ONE, DONE, "old"), Outcome(TWO, PARKED, "old"), Outcome(LATER, DONE, "new")]
        )
        assert pending(catalog) == []
        assert pending(catalog, "new") == ["r/f/1", "r/f/2"]


def test_attempts_are_counted_for_one_fingerprint(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.record_outcomes("s", [Outcome(ONE, FAILED, "f", "c", attempts=2), Outcome(TWO, DONE, "f")])
        assert catalog.attempts("s", [ONE.sample_id, TWO.sample_id, "absent"], "f") == {ONE.sample_id: 2}
        assert catalog.attempts("s", [ONE.sample_id], "g") == {}


def add_two_of_which_one_is_damaged(catalog: Catalog) -> None:
    with catalog.transaction():
        catalog.add_samples([ONE])
        catalog.add_samples([replace(TWO, day=object())])  # type: ignore[arg-type]


def test_a_transaction_that_fails_leaves_nothing(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        with pytest.raises(sqlite3.ProgrammingError):
            add_two_of_which_one_is_damaged(catalog)
        assert pending(catalog) == []


def test_a_sample_that_is_known_stays_as_it_is(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.add_samples([ONE])
        catalog.add_samples([Sample(ONE.sample_id, "frame", "other", 5, "2030-01-01", "00")])
        assert list(pending_samples.pending(catalog, "s", "frame", None, 0)) == [ONE]


def states(catalog: Catalog) -> dict[tuple[str, str], str]:
    return {(run, day): state for run, day, state in catalog.pending_days("day", ["s", "evidence"], "f")}


def test_a_day_is_built_again_when_an_output_under_it_changed(root: DataRoot) -> None:
    with Catalog(root) as catalog:

        def built() -> list[tuple[str, str]]:
            waiting = catalog.pending_days("day", ["s", "evidence"], "f")
            for run_id, day, inputs in waiting:
                catalog.record_day("day", run_id, day, "f", inputs, 0)
            assert states(catalog) == {}
            return [(run_id, day) for run_id, day, _ in waiting]

        assert built() == []
        catalog.record_outcomes("s", [Outcome(LATER, DONE, "f", output_hash="h")])
        catalog.record_outcomes("s", [Outcome(ONE, DONE, "f", output_hash="h")])
        assert built() == [("r", "2026-03-02"), ("r", "2026-03-01")]
        catalog.record_outcomes("s", [Outcome(ONE, DONE, "g", output_hash="h")])
        assert built() == []
        catalog.record_outcomes("s", [Outcome(ONE, DONE, "g", output_hash="h2")])
        assert built() == [("r", "2026-03-01")]
        catalog.record_outcomes("s", [Outcome(TWO, FAILED, "g", "c")])
        assert built() == []
        catalog.record_outcomes("s", [Outcome(ONE, PARKED, "g", "c")])
        assert built() == [("r", "2026-03-01")]
        catalog.evidence_changed([("r", "2026-03-02")])
        assert built() == [("r", "2026-03-02")]
        assert len(catalog.pending_days("day", ["s", "evidence"], "another fingerprint")) == 2
        assert catalog.built_days("day", ["s", "evidence"], "f") == 2


def test_hours_wait_to_be_projected(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.record_outcomes("s", [Outcome(TWO, DONE, "f"), Outcome(ONE, DONE, "f"), Outcome(LATER, DONE, "f")])
        assert catalog.unprojected_hours() == [("r", "2026-03-01", "10"), ("r", "2026-03-02", "09")]
        assert [row[1] for row in catalog.outcomes_of_hour("r", "2026-03-01", "10")] == ["r/f/1", "r/f/2"]
        catalog.projected([("r", "2026-03-01", "10")])
        assert catalog.unprojected_hours() == [("r", "2026-03-02", "09")]


def test_only_current_outputs_of_a_day_count(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.record_outcomes("s", [Outcome(ONE, DONE, "f", output_id="old"), Outcome(TWO, PARKED, "f", "c")])
        catalog.record_outcomes(
            "s", [Outcome(ONE, DONE, "g", output_id="new"), Outcome(LATER, DONE, "g", output_id="x")]
        )
        assert catalog.outputs_of_day("s", "r", "2026-03-01") == {"new"}


def test_a_catalog_that_is_damaged_is_named_with_what_to_do(root: DataRoot) -> None:
    root.catalog_db.write_bytes(b"This file is no database.\n" * 40)
    for read_only in (False, True):
        with (
            pytest.raises(ContractInvalid, match="cannot be used") as error,
            Catalog(root, read_only=read_only) as catalog,
        ):
            count_outcomes(catalog)
        assert "move derived/ away" in error.value.remedy


def test_a_catalog_of_this_version_is_not_migrated_again(root: DataRoot) -> None:
    with Catalog(root):
        pass
    with closing(sqlite3.connect(root.catalog_db)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    assert version == len(MIGRATIONS)
    with Catalog(root):
        pass


def test_a_catalog_of_a_newer_version_is_not_touched(root: DataRoot) -> None:
    with closing(sqlite3.connect(root.catalog_db)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ContractInvalid, match="a newer version"):
        Catalog(root)


def test_damage_that_is_found_late_is_named_too(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        catalog.add_samples([Sample(f"r/f/{n}", "frame", "r", n, "2026-03-01", "10") for n in range(2000)])
    data = root.catalog_db.read_bytes()
    root.catalog_db.write_bytes(data[:8192] + bytes(len(data) - 8192))
    with pytest.raises(ContractInvalid, match="cannot be used"), Catalog(root) as catalog:
        pending(catalog)


def test_a_full_disk_is_told_as_one_and_not_as_a_broken_catalog(root: DataRoot) -> None:
    with pytest.raises(DiskRefused, match="database or disk is full"):
        fill_up(root)


def fill_up(root: DataRoot) -> None:
    with Catalog(root) as catalog:
        (pages,) = catalog.connection.execute("PRAGMA page_count").fetchone()
        catalog.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        with catalog.transaction():
            catalog.set_mark("large", "x" * 100_000)
