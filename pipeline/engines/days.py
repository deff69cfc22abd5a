"""What a day stage reads for a (run, day), and the work on it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.dag import Stage
from pipeline.engines.pictures import grey_levels
from pipeline.stages import build_spans, choose_keyframes, find_ui_elements, read_screens
from pipeline.stages.batch import SampleInput
from pipeline.stages.track_lines import FRAME_COLUMNS, RECORD_COLUMNS
from pipeline.stores.catalog import Catalog
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.facts import FactsStore
from schemas.evidence import INPUT
from schemas.fields import parse_utc

Inputs = tuple[Any, ...]

KEYFRAMES_PER_HOUR = "keyframes_per_hour"
"""The catalog's mark of the budget that keyframes are chosen by; the run sets it."""

_HOUR_US = 3_600_000_000


def build_day(
    stage: Stage, run_id: str, day: str, facts: FactsStore, evidence: EvidenceStore, catalog: Catalog
) -> tuple[pa.Table, pa.Array]:
    """Run a day stage over a (run, day). Returns its rows and, for each, the hour (`HH`) whose file it goes into."""
    rows = stage.function(*_INPUTS[stage.name](run_id, day, facts, evidence, catalog))
    return rows, _hours(rows[stage.hour_column])


def _hours(moments: pa.ChunkedArray) -> pa.Array:
    """The hour of each moment as `HH`; by arithmetic, since Arrow would need a time zone database even for UTC."""
    numbers = moments.cast(pa.int64()).to_numpy() // _HOUR_US % 24
    return pa.array([f"{number:02d}" for number in numbers], pa.string())


def _visit_inputs(run_id: str, day: str, facts: FactsStore, evidence: EvidenceStore, _: Catalog) -> Inputs:
    frames = facts.read_day("frames", run_id, day, "list_frames")
    windows = facts.read_day("windows", run_id, day, "list_windows")
    wanted = frames["uia_record_id"].drop_null().unique().to_pylist()
    snapshots = {name: row.payload for name, row in evidence.rows(wanted).items()}
    return frames, windows, snapshots, _inputs_of_day(run_id, day, evidence)


def _inputs_of_day(run_id: str, day: str, evidence: EvidenceStore) -> list[SampleInput]:
    first = date.fromisoformat(day)
    found = []
    for row in evidence.rows_between(INPUT, run_id, first.isoformat(), _day_after(first)):
        try:
            moment = parse_utc(row.ts_utc or "")
        except ValueError:
            continue
        found.append(SampleInput(row.record_id, run_id, moment, row.payload))
    return found


def _day_after(day: date) -> str:
    return (day + timedelta(days=1)).isoformat() if day < date.max else "9999-12-32"


def _track_inputs(run_id: str, day: str, facts: FactsStore, _: EvidenceStore, catalog: Catalog) -> Inputs:
    frames = facts.read_day("frames", run_id, day, "list_frames", FRAME_COLUMNS)
    records = facts.read_day("records", run_id, day, "find_text_lines", RECORD_COLUMNS)
    current = pa.array(sorted(catalog.outputs_of_day("find_text_lines", run_id, day)), pa.string())
    return frames, records.filter(pc.is_in(records["record_id"], value_set=current))


def _span_inputs(run_id: str, day: str, facts: FactsStore, _: EvidenceStore, __: Catalog) -> Inputs:
    return (
        facts.read_day("frames", run_id, day, "list_frames", build_spans.FRAME_COLUMNS),
        facts.read_day("url_visits", run_id, day, "visit_urls", build_spans.VISIT_COLUMNS),
        facts.read_day("line_tracks", run_id, day, "track_lines", build_spans.TRACK_COLUMNS),
    )


def _keyframe_inputs(run_id: str, day: str, facts: FactsStore, _: EvidenceStore, catalog: Catalog) -> Inputs:
    return (
        facts.read_day("frames", run_id, day, "list_frames", choose_keyframes.FRAME_COLUMNS),
        facts.read_day("line_tracks", run_id, day, "track_lines", choose_keyframes.TRACK_COLUMNS),
        int(catalog.mark(KEYFRAMES_PER_HOUR) or 0),
    )


def _screen_inputs(run_id: str, day: str, facts: FactsStore, _: EvidenceStore, catalog: Catalog) -> Inputs:
    records = facts.read_day("records", run_id, day, "describe_screen", read_screens.RECORD_COLUMNS)
    current = pa.array(sorted(catalog.outputs_of_day("describe_screen", run_id, day)), pa.string())
    return (records.filter(pc.is_in(records["record_id"], value_set=current)),)


def _element_inputs(run_id: str, day: str, facts: FactsStore, evidence: EvidenceStore, catalog: Catalog) -> Inputs:
    keyframes = facts.read_day("keyframes", run_id, day, "choose_keyframes", ["frame_id"])
    frames = facts.read_day("frames", run_id, day, "list_frames", find_ui_elements.FRAME_COLUMNS)
    frames = frames.filter(pc.is_in(frames["frame_id"], value_set=keyframes["frame_id"].combine_chunks()))
    made = {stage: pa.array(sorted(catalog.outputs_of_day(stage, run_id, day)), pa.string()) for stage in _MADE_BY}
    described = facts.read_day("records", run_id, day, "describe_screen", ["record_id", "sample_id"])
    described = described.filter(pc.is_in(described["record_id"], value_set=made["describe_screen"]))
    read = facts.read_day("records", run_id, day, "find_text_lines", find_ui_elements.RECORD_COLUMNS)
    read = read.filter(pc.is_in(read["record_id"], value_set=made["find_text_lines"]))
    snapshots = evidence.rows(frames["uia_record_id"].drop_null().unique().to_pylist())
    return (
        frames,
        frozenset(described["sample_id"].to_pylist()),
        read.filter(pc.is_in(read["sample_id"], value_set=frames["frame_id"].combine_chunks())),
        {name: row.payload for name, row in snapshots.items()},
        grey_levels(facts.root),
    )


_MADE_BY = ("describe_screen", "find_text_lines")

_INPUTS: dict[str, Callable[[str, str, FactsStore, EvidenceStore, Catalog], Inputs]] = {
    "visit_urls": _visit_inputs,
    "track_lines": _track_inputs,
    "build_spans": _span_inputs,
    "choose_keyframes": _keyframe_inputs,
    "list_screens": _screen_inputs,
    "list_ui_elements": _screen_inputs,
    "list_dialogs": _screen_inputs,
    "find_ui_elements": _element_inputs,
}
