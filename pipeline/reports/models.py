"""Which models have read what was captured, and where two of them disagree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any

import orjson

from pipeline.dag import STAGES, Stage, stage
from pipeline.dataroot import DataRoot, FactFile
from pipeline.errors import NotAvailableYet, UsageError
from pipeline.runs.engine_models import KnownModel, find_model, known_models
from pipeline.runs.model_choice import model_in_use
from pipeline.stages.compare_lines import KINDS, Place, compare_lines
from pipeline.stores.catalog import Catalog
from pipeline.stores.facts import read_file
from pipeline.stores.other_models import Output, outputs_of_model
from schemas.fields import from_utc_microseconds, utc_text
from schemas.serving import ModelIdentity

READS_LINES = "find_text_lines"

Pair = tuple[str, Output, Output]


@dataclass
class Difference:
    """Where two models disagree: counts over all frames that both have read, and the places of the first frames."""

    frames: int = 0
    frames_the_same: int = 0
    only_a_frames: int = 0
    only_b_frames: int = 0
    places: Counter[str] = field(default_factory=Counter)
    shown: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "frames": self.frames,
            "frames_the_same": self.frames_the_same,
            "frames_only_a": self.only_a_frames,
            "frames_only_b": self.only_b_frames,
            "places": {kind: self.places[kind] for kind in KINDS},
            "disagreements": self.shown,
        }


def list_models(root: DataRoot) -> dict[str, Any]:
    """Every model that a stage has asked, and by which name runs ask for each stage; reads only.

    Raises NotAvailableYet, ContractInvalid.
    """
    stages = [item for item in STAGES if item.model]
    with _catalog(root) as catalog:
        return {
            "asked": {item.name: model_in_use(root, item.name) for item in stages},
            "models": [_told(item, model) for item in stages for model in known_models(root, catalog, item)],
        }


def lines_stage(name: str) -> Stage:
    """Find the stage whose records are compared line by line. Raises UsageError."""
    found = stage(name)
    if found.name != READS_LINES:
        raise UsageError(f"the records of {found.name} hold no lines to compare", remedy="pipeline models diff A B")
    return found


def diff_models(root: DataRoot, stage: Stage, a: str, b: str, at_most: int) -> dict[str, Any]:
    """Compare what two models read on the frames that both have read, reading only.

    `at_most` frames with a disagreement are shown, in the order of capture. Raises UsageError for names that mean no
    model, NotAvailableYet, ContractInvalid.
    """
    with _catalog(root) as catalog:
        models = known_models(root, catalog, stage)
        chosen = find_model(models, a), find_model(models, b)
        made_a, made_b = (outputs_of_model(catalog, stage.name, model.fingerprint) for model in chosen)
    both = made_a.keys() & made_b.keys()
    difference = Difference(only_a_frames=len(made_a) - len(both), only_b_frames=len(made_b) - len(both))
    pairs = sorted(((name, made_a[name], made_b[name]) for name in both), key=_hour_of)
    for (day, hour, run_id), group in groupby(pairs, key=lambda pair: _hour_of(pair)[:3]):
        for frame, moment, places in _compare_hour(root, stage, FactFile(stage.table, run_id, day, hour, stage.name),
                                                   list(group)):  # fmt: skip
            _add(difference, frame, moment, places, at_most)
    return {"stage": stage.name, "a": _told(stage, chosen[0]), "b": _told(stage, chosen[1]), **difference.as_dict()}


def _add(difference: Difference, frame: str, moment: datetime, places: list[Place], at_most: int) -> None:
    difference.frames += 1
    difference.places.update(place.kind for place in places)
    apart = [place for place in places if place.kind not in ("same", "cut")]
    if not apart:
        difference.frames_the_same += 1
    elif len(difference.shown) < at_most:
        difference.shown.append(
            {"frame_id": frame, "ts_utc": utc_text(moment), "places": [asdict(place) for place in apart]}
        )


def _compare_hour(
    root: DataRoot, stage: Stage, file: FactFile, pairs: list[Pair]
) -> Iterator[tuple[str, datetime, list[Place]]]:
    """The frames of one hour in the order of capture. A frame whose record is lost is passed over: a run heals it."""
    path = root.fact_file_path(file)
    if not path.exists():
        return
    table = read_file(path, stage.table, ["record_id", "ts_utc", "output_json"])
    wanted = {output.record_id for _, *outputs in pairs for output in outputs}
    rows = {row["record_id"]: row for row in table.to_pylist() if row["record_id"] in wanted}
    found = [
        (name, rows[a.record_id], rows[b.record_id]) for name, a, b in pairs
        if a.record_id in rows and b.record_id in rows
    ]  # fmt: skip
    for name, row_a, row_b in sorted(found, key=lambda item: (item[1]["ts_utc"], item[0])):
        lines_a, lines_b = (orjson.loads(row["output_json"])["lines"] for row in (row_a, row_b))
        yield name, row_a["ts_utc"], compare_lines(lines_a, lines_b)


def _hour_of(pair: Pair) -> tuple[str, str, str, str]:
    name, output, _ = pair
    return output.day, output.hour, output.run_id, name


def _told(stage: Stage, model: KnownModel) -> dict[str, Any]:
    identity = model.identity.model_dump() if model.identity else dict.fromkeys(ModelIdentity.model_fields)
    return {
        "stage": stage.name,
        "name": model.name or None,
        **identity,
        "fingerprint": model.fingerprint,
        "done": model.done,
        "in_use": model.in_use,
        "failed": model.failed,
        "parked": model.parked,
        "first_utc": utc_text(from_utc_microseconds(model.first_us)),
        "last_utc": utc_text(from_utc_microseconds(model.last_us)),
    }


def _catalog(root: DataRoot) -> Catalog:
    if not root.require().catalog_db.exists():
        raise NotAvailableYet("nothing was read here yet", remedy="pipeline run --until-done")
    return Catalog(root, read_only=True)
