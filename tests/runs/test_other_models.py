"""Another model beside the one in use: both are kept, compared, and change places without a model call."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from screen_memory import (
    InProcessModel,
    Memory,
    fact_files,
    failing,
    minutes,
    open_gate,
    process,
    rows,
)

from pipeline.dag import stage
from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet, NothingToDo, UsageError
from pipeline.gate import Gate
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.logs import find_logs
from pipeline.reports.models import diff_models, list_models
from pipeline.runs.model_choice import DEFAULT_MODEL, model_in_use
from pipeline.runs.progress import LogProgress
from pipeline.runs.promotion import Promotion, promote_model
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.text_index import TextIndex

OCR = stage("ocr")


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """Three frames of two hours, read by model a."""
    place = Memory(tmp_path / "root")
    for number, moment in enumerate([*minutes(10, 0, 1), *minutes(11, 0)]):
        place.frame(number, moment)
    process(place.root)
    return place


def beside(root: DataRoot, model: InProcessModel | None = None, **options: Any) -> InProcessModel:
    model = model or InProcessModel(root, "b")
    chosen = {"stages": ("ocr",), "engine_model": "other", "beside": True, **options}
    process(root, model, **chosen)
    return model


def promote(root: DataRoot, wanted: str, gate: Gate | None = None) -> Promotion:
    return promote_model(root, Settings(), OCR, wanted, gate or open_gate(root), LogProgress())


def read_by(root: DataRoot) -> Counter[str]:
    """How many lines of tracks each model read."""
    return Counter(row["model_id"] for row in rows(root, "line_tracks"))


def projections(root: DataRoot) -> dict[str, bytes]:
    return {name: data for name, data in fact_files(root).items() if not name.startswith("records/")}


def models(root: DataRoot) -> dict[str, tuple[int, int]]:
    return {row["model_id"]: (row["done"], row["in_use"]) for row in list_models(root)["models"] if row["done"]}


def test_both_models_records_are_kept_and_nothing_stands_on_the_other_ones(memory: Memory) -> None:
    before, records = projections(memory.root), rows(memory.root, "records")
    model = beside(memory.root)
    assert len(model.asked) == 3
    assert projections(memory.root) == before
    assert Counter(row["model_id"] for row in rows(memory.root, "records")) == Counter(a=3, b=3)
    assert [row for row in rows(memory.root, "records") if row["model_id"] == "a"] == records
    assert models(memory.root) == {"a": (3, 3), "b": (3, 0)}


def test_what_the_other_model_has_read_it_is_not_asked_again(memory: Memory) -> None:
    beside(memory.root)
    again = InProcessModel(memory.root, "b")
    with pytest.raises(NothingToDo):
        beside(memory.root, again)
    memory.frame(7, "2026-03-01T12:00:00.000Z")
    beside(memory.root, again)
    assert [name.rsplit("/", 1)[1] for name in again.asked] == ["7"]
    one_more = InProcessModel(memory.root, "a")
    process(memory.root, one_more)
    assert [name.rsplit("/", 1)[1] for name in one_more.asked] == ["7"]


def test_the_model_in_use_asked_under_another_name_reads_nothing_twice(memory: Memory) -> None:
    model = InProcessModel(memory.root, "a")
    with pytest.raises(NothingToDo):
        beside(memory.root, model)
    assert model.asked == []


def test_what_fails_beside_is_tried_again_and_parked_and_stays_beside(memory: Memory) -> None:
    before = projections(memory.root)
    model = InProcessModel(memory.root, "b")
    frames = [row["frame_id"] for row in rows(memory.root, "frames")]
    model.replies[frames[0]] = failing("model_failed", retryable=True)
    beside(memory.root, model)
    assert Counter(model.asked) == Counter({frames[0]: 3, frames[1]: 1, frames[2]: 1})
    assert projections(memory.root) == before
    [told] = [row for row in list_models(memory.root)["models"] if row["model_id"] == "b"]
    assert (told["done"], told["failed"], told["parked"]) == (2, 0, 1)
    healthy = InProcessModel(memory.root, "b")
    beside(memory.root, healthy, retry_failed=True)
    assert healthy.asked == [frames[0]]


def test_a_limit_of_frames_holds_beside(memory: Memory) -> None:
    assert len(beside(memory.root, max_frames=2).asked) == 2


def test_promotion_changes_what_facts_and_index_stand_on_and_asks_no_model(memory: Memory) -> None:
    beside(memory.root)
    done = promote(memory.root, "other")
    assert (done.samples, done.waits) == (3, "")
    assert read_by(memory.root).keys() == {"b"}
    outcomes = {row["output_id"] for row in rows(memory.root, "stage_outcomes") if row["stage"] == OCR.name}
    assert outcomes == {row["record_id"] for row in rows(memory.root, "records") if row["model_id"] == "b"}
    with TextIndex(memory.root.text_index) as index:
        shown = index.connection.execute("SELECT DISTINCT model_id FROM models").fetchall()
        assert index.coverage(0, 2**62).processed == 3
    assert shown == [("b",)]
    assert models(memory.root) == {"b": (3, 3), "a": (3, 0)}
    assert model_in_use(memory.root, OCR.name) == "other"


def test_promoting_the_first_one_again_brings_back_every_byte(memory: Memory) -> None:
    beside(memory.root)
    before = projections(memory.root)
    promote(memory.root, "other")
    assert projections(memory.root) != before
    promote(memory.root, "a")
    assert projections(memory.root) == before
    assert model_in_use(memory.root, OCR.name) == DEFAULT_MODEL


def test_frames_that_the_promoted_model_has_not_read_keep_what_they_have(memory: Memory) -> None:
    beside(memory.root, max_frames=1)
    assert promote(memory.root, "b").samples == 1
    assert models(memory.root) == {"a": (3, 2), "b": (1, 1)}
    assert read_by(memory.root).keys() == {"a", "b"}
    reader = InProcessModel(memory.root, "b")
    process(memory.root, reader, reprocess=True, engine_model="other")
    assert len(reader.asked) == 2
    assert models(memory.root) == {"b": (3, 3), "a": (3, 0)}


def test_what_reprocess_replaced_can_be_put_in_use_again(memory: Memory) -> None:
    before = projections(memory.root)
    process(memory.root, InProcessModel(memory.root, "b"), reprocess=True)
    assert models(memory.root) == {"b": (3, 3), "a": (3, 0)}
    promote(memory.root, "a")
    assert projections(memory.root) == before


def test_a_promotion_that_is_there_already_is_nothing_to_do(memory: Memory) -> None:
    beside(memory.root)
    with pytest.raises(NothingToDo, match="in use already"):
        promote(memory.root, "a")
    promote(memory.root, "other")
    with pytest.raises(NothingToDo, match="in use already"):
        promote(memory.root, "other")
    assert len(memory.root.promotions.read_bytes().splitlines()) == 1


def test_the_choice_is_noted_in_a_journal_that_outlives_what_can_be_rebuilt(memory: Memory) -> None:
    beside(memory.root)
    promote(memory.root, "other")
    [line] = memory.root.promotions.read_bytes().splitlines()
    event = orjson.loads(line)
    assert event["event_type"] == "system.models.promoted"
    assert (event["payload"]["stage"], event["payload"]["engine_model"]) == (OCR.name, "other")
    assert find_logs(memory.root, Findings()).journal == []
    with memory.root.promotions.open("ab") as journal:
        journal.write(b'{"schema_version":1,"half')
    assert model_in_use(memory.root, OCR.name) == "other"


def test_a_promotion_that_died_after_its_note_is_finished_by_the_next_one(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside(memory.root)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.runs.engine_models.promote_outcomes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            promote(memory.root, "other")
    assert read_by(memory.root).keys() == {"a"}
    assert promote(memory.root, "other").samples == 3
    assert read_by(memory.root).keys() == {"b"}
    assert len(memory.root.promotions.read_bytes().splitlines()) == 1


def test_while_the_user_is_active_the_choice_is_noted_and_the_rest_waits(memory: Memory) -> None:
    beside(memory.root)
    done = promote(memory.root, "other", Gate(memory.root.activity_signal))
    assert "no activity signal" in done.waits
    assert read_by(memory.root).keys() == {"a"}
    process(memory.root, InProcessModel(memory.root, "b"))
    assert read_by(memory.root).keys() == {"b"}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("c", "names no model"), ("0000", "names no model"), ("", "names no model")],
)
def test_a_name_that_means_no_model_is_told_with_those_there_are(memory: Memory, wanted: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        promote(memory.root, wanted)
    assert "default (ca978112ca1b)" in error.value.message


def test_a_model_that_read_nothing_cannot_be_promoted(memory: Memory) -> None:
    model = InProcessModel(memory.root, "b")
    for row in rows(memory.root, "frames"):
        model.replies[row["frame_id"]] = failing("model_failed", retryable=False)
    beside(memory.root, model)
    with pytest.raises(NotAvailableYet, match="has read nothing") as error:
        promote(memory.root, "other")
    assert error.value.remedy == "pipeline run --stage ocr --engine-model other"


def test_where_two_models_disagree_is_told_frame_by_frame(memory: Memory) -> None:
    beside(memory.root, max_frames=2)
    told = diff_models(memory.root, OCR, "a", "other", at_most=1)
    assert (told["frames"], told["frames_the_same"], told["frames_only_a"], told["frames_only_b"]) == (2, 0, 1, 0)
    assert told["places"] == {"same": 2, "cut": 0, "spaces": 0, "text": 2, "only_a": 0, "only_b": 0}
    [frame] = told["disagreements"]
    assert frame["ts_utc"] == "2026-03-01T10:00:00.000Z"
    place = {"kind": "text", "box": (10, 0, 300, 18), "text_a": "a shows the same", "text_b": "b shows the same"}
    assert frame["places"] == [place]
    assert diff_models(memory.root, OCR, "a", "other", at_most=1) == told


def test_a_lost_file_of_records_loses_no_other_model_unnoticed(memory: Memory) -> None:
    beside(memory.root)
    for path in (memory.root.facts / "records").rglob("part-*.parquet"):
        path.unlink()
    process(memory.root)
    assert models(memory.root) == {"a": (3, 3)}
    beside(memory.root)
    assert models(memory.root) == {"a": (3, 3), "b": (3, 0)}


def test_a_catalog_of_before_is_brought_up_by_the_next_run(memory: Memory) -> None:
    with Catalog(memory.root) as catalog:
        catalog.connection.executescript(
            "DROP TABLE other_outcomes; DROP TABLE engine_models; DROP INDEX outcomes_not_done;"
            "DROP TRIGGER samples_added; DROP TRIGGER samples_gone; DROP TRIGGER samples_measured;"
            "DROP TRIGGER outcomes_added; DROP TRIGGER outcomes_gone; DROP TRIGGER outcomes_changed;"
            "DROP TABLE sample_counts; DROP TABLE outcome_counts; DROP TABLE fingerprints; DROP TABLE paces;"
            "DROP TABLE idle_days; DROP TABLE disk_days; DELETE FROM marks WHERE name = 'sizes';"
            "ALTER TABLE samples DROP COLUMN bytes; ALTER TABLE outcomes DROP COLUMN at_us;"
            "PRAGMA user_version = 1;"
        )
    with pytest.raises(NotAvailableYet, match="older version"):
        list_models(memory.root)
    beside(memory.root)
    assert models(memory.root) == {"a": (3, 3), "b": (3, 0)}
