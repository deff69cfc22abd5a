"""Which OCR model runs ask: the one promoted last, or another beside it, as the settings describe it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

import orjson
from pydantic import ValidationError

from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable, UsageError
from pipeline.loopback import require_loopback
from pipeline.settings import OcrModel, Settings
from pipeline.stores.atomic import make_directories
from pipeline.stores.journal import Journal
from schemas.handoff import JournalEvent
from schemas.serving import ModelIdentity

DEFAULT_MODEL = "default"
"""The name of the model that a run asks where nothing else was promoted."""

OCR_STAGE = "find_text_lines"

ENDPOINT_ENGINE = "paddleocr-vl"
"""The OCR engine that asks an endpoint, at its parameter `url`."""

PROMOTED = "system.models.promoted"
_RUN = "system.models"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which model a run asks, by its name, and whether that is another than the one in use."""

    name: str
    beside: bool


def model_in_use(root: DataRoot, stage: str) -> str:
    """The name of the model that runs ask for a stage: the one promoted last, else the default one.

    What a crash left half-written at the end of the list does not count. Raises OSError.
    """
    promoted = [event.payload.get("engine_model") for event in _promotions(root) if event.payload.get("stage") == stage]
    return str(promoted[-1]) if promoted else DEFAULT_MODEL


def asked_model(root: DataRoot, settings: Settings, wanted: str, stages: Iterable[str]) -> Asked:
    """Settle which OCR model a run asks: the one wanted, beside, or else the one in use. Raises UsageError."""
    from pipeline.dag import select  # late: with it come the tables that commands on servers do without

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

    Raises Unavailable when a model is in use that the settings do not describe any more, ContractInvalid when it is
    said to be beyond loopback.
    """
    if name in settings.ocr_models:
        _require_loopback(settings.ocr_models[name])
        return orjson.dumps(settings.ocr_models[name].model_dump(), option=orjson.OPT_SORT_KEYS).decode()
    if name == DEFAULT_MODEL:
        return ""
    raise Unavailable(_not_described(settings, name), remedy=f"{_describe(name)}, or: pipeline models promote MODEL")


def _require_loopback(model: OcrModel) -> None:
    """Before a server is started, and before anything is sent `[model-1]`."""
    url = model.parameters.get("url")
    if model.engine == ENDPOINT_ENGINE and isinstance(url, str):
        require_loopback(url)


def _not_described(settings: Settings, name: str) -> str:
    return f"no OCR model {name!r} is described; there are: {', '.join(sorted({DEFAULT_MODEL, *settings.ocr_models}))}"


def _describe(name: str) -> str:
    return f"describe it in DATA_ROOT/pipeline.toml as [ocr_models.{name}] (docs/operating.md)"


def note_promotion(root: DataRoot, stage: str, name: str, identity: ModelIdentity, now: datetime) -> None:
    """Write down that a model is in use from now on; durable on return. Raises OSError."""
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
