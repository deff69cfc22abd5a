"""Paths inside a DataRoot `[root-1]`, `[root-3]`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dataroot import DataRoot, blob_path, partition_value, rid, unrid
from pipeline.errors import ContractInvalid, DataRootMissing

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXTS)
def test_rid_is_a_safe_file_name_and_comes_back(text: str) -> None:
    assert re.fullmatch(r"rid_[A-Za-z0-9_-]*", rid(text))
    assert unrid(rid(text)) == text


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("cnVuLTE", id="no prefix"),
        pytest.param("rid_cnVuLTE=", id="padded"),
        pytest.param("rid_cnVu LTE", id="space"),
        pytest.param("rid_cnVu+TE", id="other alphabet"),
        pytest.param("rid_A", id="impossible length"),
        pytest.param("rid_AB", id="bits left over"),
        pytest.param("rid__w", id="not UTF-8"),
    ],
)
def test_what_rid_never_writes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="rid"):
        unrid(name)


def test_a_blob_lies_where_the_sidecar_put_it(fixtures: Path) -> None:
    moment = datetime(2026, 3, 1, 10, 2, 4, 550_000, tzinfo=UTC)
    path = blob_path("desk_a-20260301", "desk_a-20260301/evidence.capture.frame/0", "evidence.capture.frame", moment)
    assert (fixtures / "desk" / "spool" / "2026-03-01" / path).is_file()


def test_derived_records_have_their_own_branch() -> None:
    path = blob_path("r", "r/derived.audio.segment/0", "derived.audio.segment", datetime(2026, 3, 1, tzinfo=UTC))
    assert path.parts[2:6] == ("derived", "2026", "03", "01")


def test_year_one_has_four_digits() -> None:
    path = blob_path("r", "r/evidence.capture.frame/0", "evidence.capture.frame", datetime(1, 2, 3, tzinfo=UTC))
    assert path.parts[2:6] == ("evidence", "0001", "02", "03")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("desk_a-20260301", "desk_a-20260301"),
        ("a/b", "a%2Fb"),
        ("a=b", "a%3Db"),
        ("50%", "50%25"),
        ("..", ".."),
        ("é", "%C3%A9"),
        ("a b:c", "a%20b%3Ac"),
    ],
)
def test_partition_values_are_percent_encoded(text: str, expected: str) -> None:
    assert partition_value(text) == expected


@given(TEXTS)
def test_a_partition_stays_one_level_deep(text: str) -> None:
    facts = DataRoot(Path("/d")).facts
    path = DataRoot(Path("/d")).partition("frames", text, "2026-03-01", "10")
    assert len(path.relative_to(facts).parts) == 4
    assert path.parts[-3].startswith("run_id=")


def test_hours_of_a_day_are_found_again(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    for hour in ("09", "10"):
        root.partition("frames", "a/b", "2026-03-01", hour).mkdir(parents=True)
    assert list(root.day_hours("frames", "a/b", "2026-03-01")) == ["09", "10"]
    assert root.day_hours("frames", "a/b", "2026-03-02") == {}


def test_the_activity_signal_at_the_root_is_the_fallback(tmp_path: Path) -> None:
    root = DataRoot(tmp_path)
    preferred, fallback = tmp_path / "activity" / "activity_signal.json", tmp_path / "activity_signal.json"
    assert root.activity_signal() == preferred
    fallback.write_text("{}")
    assert root.activity_signal() == fallback
    preferred.parent.mkdir()
    preferred.write_text("{}")
    assert root.activity_signal() == preferred


def test_a_missing_dataroot_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataRootMissing, match="ingest"):
        DataRoot(tmp_path / "nowhere").require()


def test_create_makes_a_dataroot_and_refuses_a_file(tmp_path: Path) -> None:
    assert DataRoot(tmp_path / "a" / "b").create().derived.is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ContractInvalid, match="not a directory"):
        DataRoot(tmp_path / "file").create()


def test_a_relative_path_does_not_follow_a_later_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    root = DataRoot(Path("data"))
    monkeypatch.chdir("/")
    assert root.path == tmp_path / "data"
