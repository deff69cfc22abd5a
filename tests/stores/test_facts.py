"""Fact files: one for each hour and producer, sorted, replaced whole, the same for the same rows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, DamagedFactFile
from pipeline.stores.facts import FactsStore, count_rows, read_file
from schemas.arrow import table_schema

DAY = "2026-03-01"


@pytest.fixture
def facts(tmp_path: Path) -> FactsStore:
    return FactsStore(DataRoot(tmp_path / "root").create())


def window(number: int, title: str = "", hour: int = 10) -> dict[str, Any]:
    moment = datetime(2026, 3, 1, hour, 0, 59 - number % 60, tzinfo=UTC)
    empty = dict.fromkeys(table_schema("windows").names)
    return {
        **empty,
        "window_record_id": f"r/w/{number}",
        "run_id": "r",
        "ts_utc": moment,
        "process_path": "",
        "title": title,
    }


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=table_schema("windows"))


def merge(facts: FactsStore, *rows: dict[str, Any], hour: str = "10") -> None:
    facts.merge("windows", "r", DAY, hour, "p", table(*rows))


def names(facts: FactsStore) -> list[str]:
    return [row["window_record_id"] for row in facts.read_day("windows", "r", DAY, "p").to_pylist()]


def test_rows_are_sorted_by_time_then_key(facts: FactsStore) -> None:
    merge(facts, window(1), window(61), window(0))
    assert names(facts) == ["r/w/1", "r/w/61", "r/w/0"]


def test_merging_adds_replaces_and_keeps(facts: FactsStore) -> None:
    merge(facts, window(1, "old"), window(2, "old"))
    merge(facts, window(3, "new"), window(2, "new"))
    titles = {row["window_record_id"]: row["title"] for row in facts.read_day("windows", "r", DAY, "p").to_pylist()}
    assert titles == {"r/w/1": "old", "r/w/2": "new", "r/w/3": "new"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, unique=True), st.data())
def test_a_file_is_the_same_however_its_rows_came(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], data: st.DataObject
) -> None:
    stores = [FactsStore(DataRoot(tmp_path_factory.mktemp("facts"))) for _ in range(2)]
    merge(stores[0], *map(window, numbers))
    left = data.draw(st.permutations(numbers))
    while left:
        cut = data.draw(st.integers(1, len(left)))
        merge(stores[1], *map(window, left[:cut]))
        left = left[cut:]
    files = [next(store.root.facts.rglob("*.parquet")).read_bytes() for store in stores]
    assert files[0] == files[1]


def test_a_file_lies_in_its_hive_partition_and_carries_the_schema(facts: FactsStore) -> None:
    facts.merge("windows", "a/b c", DAY, "10", "list_windows", table({**window(1), "run_id": "a/b c"}))
    (path,) = facts.root.facts.rglob("*.parquet")
    relative = path.relative_to(facts.root.facts).as_posix()
    assert relative == "windows/run_id=a%2Fb%20c/day=2026-03-01/hour=10/part-list_windows.parquet"
    assert pq.read_schema(path).equals(table_schema("windows"))
    assert path.stat().st_mode & 0o077 == 0


def test_hours_and_producers_have_files_of_their_own(facts: FactsStore) -> None:
    merge(facts, window(1, hour=11), hour="11")
    merge(facts, window(2))
    facts.merge("windows", "r", DAY, "10", "q", table(window(3)))
    assert len(list(facts.root.facts.rglob("*.parquet"))) == 3
    assert names(facts) == ["r/w/2", "r/w/1"]


def test_a_day_is_replaced_whole(facts: FactsStore) -> None:
    rows = table(window(1, hour=9), window(2, hour=10), window(3, hour=10))
    facts.replace_day("windows", "r", DAY, "p", rows, pa.array(["09", "10", "10"]))
    assert names(facts) == ["r/w/1", "r/w/3", "r/w/2"]
    facts.replace_day("windows", "r", DAY, "p", table(window(4, hour=11)), pa.array(["11"]))
    assert names(facts) == ["r/w/4"]
    facts.replace_day("windows", "r", DAY, "p", table(), pa.array([], pa.string()))
    assert names(facts) == []
    assert list(facts.root.facts.rglob("*.parquet")) == []


def test_a_day_that_is_not_there_is_empty_with_the_columns_asked_for(facts: FactsStore) -> None:
    assert facts.read_day("windows", "r", DAY, "p").schema.equals(table_schema("windows"))
    assert facts.read_day("windows", "r", DAY, "p", ["title", "pid"]).schema.names == ["title", "pid"]


def test_what_a_crash_left_is_no_fact_and_goes_with_the_next_write(facts: FactsStore) -> None:
    merge(facts, window(1))
    (path,) = facts.root.facts.rglob("*.parquet")
    (path.parent / ".tmp-part-p.parquet-x7").write_bytes(b"torn")
    assert names(facts) == ["r/w/1"]
    merge(facts, window(2))
    assert [item.name for item in path.parent.iterdir()] == ["part-p.parquet"]


@pytest.mark.parametrize("damage", ["empty", "torn", "no parquet", "other columns", "directory"])
def test_a_damaged_file_is_named_and_not_written_over(damage: str, facts: FactsStore) -> None:
    merge(facts, window(1))
    (path,) = facts.root.facts.rglob("*.parquet")
    whole = path.read_bytes()
    if damage == "directory":
        path.unlink()
        path.mkdir()
    elif damage == "other columns":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        path.write_bytes({"empty": b"", "torn": whole[:-9], "no parquet": b"x" * 900}[damage])
    for look in (lambda: read_file(path, "windows"), lambda: merge(facts, window(2)), lambda: names(facts)):
        with pytest.raises(ContractInvalid, match=r"part-p\.parquet cannot be read"):
            look()


def test_every_bit_that_turns_over_is_seen_or_does_no_harm(facts: FactsStore) -> None:
    merge(facts, *(window(number, f"title {number % 3}") for number in range(20)))
    (path,) = facts.root.facts.rglob("*.parquet")
    whole, rows = path.read_bytes(), read_file(path, "windows")
    seen = 0
    for at in range(0, len(whole), 5):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        try:
            assert read_file(path, "windows").equals(rows), at
        except DamagedFactFile:
            seen += 1
    assert seen > len(whole) // 5 / 3


@pytest.mark.parametrize("cut", [0, 1, 3, 4, 5, 100])
def test_a_file_that_was_cut_is_damaged(cut: int, facts: FactsStore) -> None:
    merge(facts, window(1))
    (path,) = facts.root.facts.rglob("*.parquet")
    path.write_bytes(path.read_bytes()[: -cut or None])
    if not cut:
        assert count_rows(path) == 1
        return
    for look in (lambda: read_file(path, "windows"), lambda: count_rows(path)):
        with pytest.raises(DamagedFactFile) as error:
            look()
        assert error.value.path == path


def test_a_sound_file_of_another_version_is_no_damage(facts: FactsStore) -> None:
    merge(facts, window(1))
    (path,) = facts.root.facts.rglob("*.parquet")
    rows = pq.ParquetFile(path).read()
    pq.write_table(rows.rename_columns([f"old_{name}" for name in rows.column_names]), path)
    with pytest.raises(ContractInvalid, match="columns are others") as error:
        read_file(path, "windows")
    assert not isinstance(error.value, DamagedFactFile)


def test_a_file_that_may_not_be_read_is_no_damage(facts: FactsStore, monkeypatch: pytest.MonkeyPatch) -> None:
    merge(facts, window(1))
    (path,) = facts.root.facts.rglob("*.parquet")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", refused)
    with pytest.raises(ContractInvalid, match="PermissionError") as error:
        read_file(path, "windows")
    assert not isinstance(error.value, DamagedFactFile)


def test_large_files_have_row_groups_of_a_fixed_size(facts: FactsStore) -> None:
    rows = pa.concat_tables([table(window(1))] * 40_000)
    facts.replace("windows", "r", DAY, "10", "p", rows)
    (path,) = facts.root.facts.rglob("*.parquet")
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [16_384, 16_384, 7_232]
