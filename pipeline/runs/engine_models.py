"""Which models have read what, which one is in use, and putting another one in its place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot, FactFile
from pipeline.errors import NotAvailableYet, NothingToDo, UsageError
from pipeline.runs.model_choice import DEFAULT_MODEL, model_in_use, note_promotion
from pipeline.stores.catalog import Catalog
from pipeline.stores.facts import read_file
from pipeline.stores.other_models import (
    ModelOutcomes,
    Output,
    count_by_model,
    engine_model_names,
    has_other_models,
    outputs_of_model,
    promote_outcomes,
)
from schemas.serving import ModelIdentity

_IDENTITY = ("provider_id", "model_id", "model_digest")


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
        note_promotion(root, stage.name, name, model.identity, now)
    return promote_outcomes(catalog, stage.name, model.fingerprint)


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
