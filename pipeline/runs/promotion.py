"""Putting another model in use, and building from its records what questions read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.dag import STAGES, Stage
from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import TextModel
from pipeline.errors import Blocked, NothingToDo, Unavailable
from pipeline.gate import Gate
from pipeline.runs.engine_models import KnownModel, find_model, known_models, promote
from pipeline.runs.loop import run
from pipeline.runs.progress import ProgressReport
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.lock import hold_lock


@dataclass(frozen=True)
class Promotion:
    """What a promotion did: which model, how many samples changed hands, and why questions do not see it yet."""

    model: KnownModel
    samples: int
    waits: str


def promote_model(
    root: DataRoot, settings: Settings, stage: Stage, wanted: str, gate: Gate, progress: ProgressReport
) -> Promotion:
    """Put a model in use, then build anew what stands on its records, where the gate is open.

    Asks no model. Raises UsageError for a name that means no model, NotAvailableYet, NothingToDo, Busy,
    ContractInvalid.
    """
    root.require_writable()
    with hold_lock(root.run_lock, "run"), Catalog(root) as catalog:
        model = find_model(known_models(root, catalog, stage), wanted)
        samples = promote(root, catalog, stage, model, datetime.now(UTC))
    return Promotion(model, samples, _build(root, settings, gate, progress))


def _build(root: DataRoot, settings: Settings, gate: Gate, progress: ProgressReport) -> str:
    """Rebuild what needs no model; says why that waits, or nothing."""
    stages = tuple(stage.name for stage in STAGES if not stage.model)
    try:
        run(root, settings, RunOptions(stages=stages), LocalEngine(root), gate, _no_model, progress)
    except NothingToDo:
        return ""
    except Blocked as error:
        return error.message
    return ""


def _no_model(kind: str) -> TextModel:
    raise Unavailable(f"no {kind} model is asked here", remedy="pipeline run --until-done")
