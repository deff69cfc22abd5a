"""Which models have read what, which one is in use, and putting another one in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import ValidationError

from pipeline.dag import Stage, select
from pipeline.dataroot import DataRoot, FactFile
from pipeline.errors import NotAvailableYet, NothingToDo, Unavailable, UsageError
from pipeline.settings import Settings
from pipeline.stores.atomic import make_directories
from pipeline.stores.catalog import Catalog
from pipeline.stores.facts import read_file
from pipeline.stores.journal import Journal
from pipeline.stores.other_models import (
    ModelOutcomes,
    Output,
    count_by_model,
    engine_model_names,
    has_other_models,
    outputs_of_model,
    promote_outcomes,
)
from schemas.handoff import JournalEvent
from schemas.serving import ModelIdentity

DEFAULT_MODEL = "default"
"""The name of the model that a run asks where nothing else was promoted."""

OCR_STAGE = "find_text_lines"

PROMOTED = "system.models.promoted"
_RUN = "system.models"
_IDENTITY = ("provider_id", "model_id", "model_digest")


@dataclass(frozen=True, slots=True)
class Asked:
    """Which model a run asks, by its name, and whether that is another than the one in use."""

    name: str
    beside: bool


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that a stage has asked: by which name (empty where none was noted), who it is, and what it did.

    `done` counts samples that it has read, `in_use` those of them that facts are made of. Times are microseconds
    since 1970. `identity` is None when it has read nothing.
    """

    name: str
    fingerprint: str
    identity: ModelIdentity | None
    done: int
    in_use: int
    failed: int
    parked: int
    first_us: int
    last_us: int

    @property
    def label(self) -> str:
        """How people call it: its name and the beginning of its digest."""
        digest = self.identity.model_digest if self.identity else self.fingerprint
        return f"{self.name or DEFAULT_MODEL} ({digest[:12]})"


def model_in_use(root: DataRoot, stage: str) -> str:
    """The name of the model that runs ask for a stage: the one promoted last, else the default one.

    What a crash left half-written at the end of the list does not count. Raises OSError.
    """
    promoted = [event.payload.get("engine_model") for event in _promotions(root) if event.payload.get("stage") == stage]
    return str(promoted[-1]) if promoted else DEFAULT_MODEL


def asked_model(root: DataRoot, settings: Settings, wanted: str, stages: Iterable[str]) -> Asked:
    """Settle which OCR model a run asks: the one wanted, beside, or else the one in use. Raises UsageError."""
    in_use = model_in_use(root, OCR_STAGE)
    if not wanted:
        return Asked(in_use, beside=False)
    if {item.name for item in select(stages)} != {OCR_STAGE}:
        raise UsageError("--engine-model goes with --stage ocr alone", remedy=f"--stage ocr --engine-model {wanted}")
    if wanted != DEFAULT_MODEL and wanted not in settings.ocr_models:
        raise UsageError(_not_described(settings, wanted), remedy=_describe(wanted))
    return Asked(wanted, beside=wanted != in_use)


def described(settings: Settings, name: str) -> str:
    """What a server is started with to be a model: its description as canonical JSON, empty for the default.

    Raises Unavailable when a model is in use that the settings do not describe any more.
    """
    if name in settings.ocr_models:
        return orjson.dumps(settings.ocr_models[name].model_dump(), option=orjson.OPT_SORT_KEYS).decode()
    if name == DEFAULT_MODEL:
        return ""
    raise Unavailable(_not_described(settings, name), remedy=f"{_describe(name)}, or: pipeline models promote MODEL")


def _not_described(settings: Settings, name: str) -> str:
    return f"no OCR model {name!r} is described; there are: {', '.join(sorted({DEFAULT_MODEL, *settings.ocr_models}))}"


def _describe(name: str) -> str:
    return f"describe it in DATA_ROOT/pipeline.toml as [ocr_models.{name}] (docs/operating.md)"


def known_models(root: DataRoot, catalog: Catalog, stage: Stage) -> list[KnownModel]:
    """The models that a stage has asked, those in use first, then by what each saw first. Raises ContractInvalid."""
    if not has_other_models(catalog):
        raise NotAvailableYet(
            "the catalog is of an older version and knows of one model only", remedy="pipeline run --until-done"
        )
    by_fingerprint: dict[str, list[ModelOutcomes]] = {}
    for counted in count_by_model(catalog, stage.name):
        by_fingerprint.setdefault(counted.fingerprint, []).append(counted)
    names = engine_model_names(catalog, stage.name)
    return [
        _known(root, catalog, stage, counts, names.get(fingerprint, ""))
        for fingerprint, counts in by_fingerprint.items()
    ]


def find_model(models: list[KnownModel], text: str) -> KnownModel:
    """Find the model that is meant: by its name, its model id, or the beginning of its digest. Raises UsageError."""
    found = [model for model in models if text in _names(model)] or [
        model for model in models if len(text) >= 4 and any(name.startswith(text) for name in _digests(model))
    ]
    if len(found) == 1:
        return found[0]
    choice = ", ".join(model.label for model in found or models) or "none"
    what = "names several models" if found else "names no model that has read anything here"
    raise UsageError(
        f"{text!r} {what}: {choice}", remedy="name it by its digest's beginning; see: pipeline models list"
    )


def promote(root: DataRoot, catalog: Catalog, stage: Stage, model: KnownModel, now: datetime) -> int:
    """Put what a model has done in use, and have runs ask it from now on; returns how many samples changed hands.

    First the choice is written to the audit journal, then the outcomes change places: after a crash in between, the
    same call finishes. For the holder of the run lock. Raises NotAvailableYet when the model has read nothing,
    NothingToDo when it is in use already, OSError.
    """
    name = model.name or DEFAULT_MODEL
    if model.done == 0 or model.identity is None:
        raise NotAvailableYet(
            f"{model.label} has read nothing that could be used",
            remedy=f"pipeline run --stage {stage.model} --engine-model {name}",
        )
    chosen = model_in_use(root, stage.name) == name
    if chosen and model.in_use == model.done:
        raise NothingToDo(f"nothing to do: {model.label} is in use already")
    if not chosen:
        _note(root, stage.name, name, model.identity, now)
    return promote_outcomes(catalog, stage.name, model.fingerprint)


def _note(root: DataRoot, stage: str, name: str, identity: ModelIdentity, now: datetime) -> None:
    from ulid import ULID

    make_directories(root.audit)
    payload = {"stage": stage, "engine_model": name, **identity.model_dump()}
    journal = Journal(root.promotions, root.quarantine)
    journal.append(f"{_RUN}/{PROMOTED}/{ULID.from_datetime(now)}", PROMOTED, _RUN, now, payload)


def _promotions(root: DataRoot) -> Iterator[JournalEvent]:
    if not os.path.lexists(root.promotions):
        return
    for line in root.promotions.read_bytes().splitlines():
        try:
            yield JournalEvent.model_validate_json(line)
        except ValidationError:
            continue


def _known(root: DataRoot, catalog: Catalog, stage: Stage, counts: list[ModelOutcomes], name: str) -> KnownModel:
    fingerprint = counts[0].fingerprint
    example = next(iter(outputs_of_model(catalog, stage.name, fingerprint, at_most=1).values()), None)
    return KnownModel(
        name,
        fingerprint,
        _identity(root, stage, example) if example else None,
        done=sum(item.done for item in counts),
        in_use=sum(item.done for item in counts if item.in_use),
        failed=sum(item.failed for item in counts),
        parked=sum(item.parked for item in counts),
        first_us=min(item.first_us for item in counts),
        last_us=max(item.last_us for item in counts),
    )


def _identity(root: DataRoot, stage: Stage, output: Output) -> ModelIdentity | None:
    """Who made an output, as its record says; None when the record is lost, which the next run mends."""
    path = root.fact_file_path(FactFile(stage.table, output.run_id, output.day, output.hour, stage.name))
    if not path.exists():
        return None
    rows = read_file(path, stage.table, ["record_id", *_IDENTITY]).to_pylist()
    found = next((row for row in rows if row["record_id"] == output.record_id), None)
    return ModelIdentity(**{name: found[name] for name in _IDENTITY}) if found else None


def _names(model: KnownModel) -> set[str]:
    return {model.name or DEFAULT_MODEL, *((model.identity.model_id,) if model.identity else ())}


def _digests(model: KnownModel) -> tuple[str, ...]:
    return (model.fingerprint, *((model.identity.model_digest,) if model.identity else ()))
