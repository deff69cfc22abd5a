"""The stages, their order, and what makes a fingerprint."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline import dag
from pipeline.dag import STAGES, Stage, select, stage
from pipeline.errors import UsageError
from schemas.serving import ModelIdentity

MODEL = ModelIdentity(provider_id="p", model_id="m", model_digest="1" * 64)


def test_each_stage_comes_after_those_it_stands_on() -> None:
    seen = {"evidence"}
    for item in STAGES:
        assert set(item.sources) <= seen
        seen.add(item.name)


def test_names_are_unique_and_each_day_stage_says_by_which_hour_it_is_filed() -> None:
    assert len({item.name for item in STAGES}) == len(STAGES)
    assert all(bool(item.hour_column) == (item.scope == "day") for item in STAGES)
    assert all(bool(item.record_type) == (item.scope == "sample") for item in STAGES)


def test_each_stage_is_the_function_of_its_name() -> None:
    found = [(item.function.__module__, item.function.__name__) for item in STAGES]
    assert found == [(f"pipeline.stages.{item.name}", item.name) for item in STAGES]


def test_selected_stages_keep_the_order_of_the_dag() -> None:
    chosen = select(["track_lines", "list_frames", "track_lines"])
    assert [item.name for item in chosen] == ["list_frames", "track_lines"]
    assert select([]) == STAGES


def test_an_unknown_stage_is_a_usage_error_that_lists_them() -> None:
    with pytest.raises(UsageError, match="no stage 'read'") as error:
        select(["read"])
    assert "find_text_lines" in error.value.remedy


def test_a_stage_can_be_named_by_the_kind_of_model_that_it_asks() -> None:
    assert select(["ocr", "embed"]) == select(["find_text_lines", "embed_spans"])


@pytest.mark.parametrize("changes", [{"version": 2}, {"parameters": {"a": 1}}, {"name": "other"}, {"table": "windows"}])
def test_what_decides_the_output_changes_the_fingerprint(changes: dict[str, object]) -> None:
    item = stage("list_frames")
    assert replace(item, **changes).fingerprint() != item.fingerprint()  # type: ignore[arg-type]


@pytest.mark.parametrize("changes", [{"seconds_each": 9.0}, {"hour_column": "x"}])
def test_what_does_not_decide_it_leaves_the_fingerprint(changes: dict[str, object]) -> None:
    item = stage("list_frames")
    assert replace(item, **changes).fingerprint() == item.fingerprint()  # type: ignore[arg-type]


def test_another_model_changes_the_fingerprint_of_its_stage() -> None:
    item = stage("find_text_lines")
    other = MODEL.model_copy(update={"model_digest": "2" * 64})
    assert len({item.fingerprint(), item.fingerprint(MODEL), item.fingerprint(other)}) == 3
    assert item.fingerprint(MODEL) == item.fingerprint(MODEL.model_copy(update={"model_id": "renamed"}))


def test_a_new_version_of_a_stage_changes_what_stands_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {item.name: item.fingerprint() for item in STAGES}
    newer: tuple[Stage, ...] = tuple(
        replace(item, version=item.version + 1) if item.name == "list_windows" else item for item in STAGES
    )
    monkeypatch.setattr(dag, "STAGES", newer)
    changed = {item.name for item in newer if item.fingerprint() != before[item.name]}
    assert {"list_windows", "visit_urls"} <= changed
    assert not {"list_frames", "find_text_lines", "track_lines"} & changed
