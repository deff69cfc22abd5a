"""JSON Schemas of all contract models, and the Arrow schemas of all tables as text."""

from __future__ import annotations

import inspect
import json
from types import ModuleType

from pydantic import BaseModel

import schemas.activity
import schemas.answer
import schemas.bundle
import schemas.chronicle
import schemas.contract
import schemas.evidence
import schemas.facts
import schemas.handoff
import schemas.record
import schemas.screen
import schemas.serving
from schemas.arrow import TABLES, table_schema

MODULES: tuple[ModuleType, ...] = (
    schemas.evidence,
    schemas.activity,
    schemas.handoff,
    schemas.chronicle,
    schemas.bundle,
    schemas.contract,
    schemas.record,
    schemas.facts,
    schemas.serving,
    schemas.screen,
    schemas.answer,
)


def json_schemas() -> dict[str, str]:
    """The JSON Schema of every contract model, as text, by the model's name."""
    return {
        model.__name__: json.dumps(_schema(model), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for module in MODULES
        for model in _models(module)
    }


def table_texts() -> str:
    """The Arrow schema of every fact table as Arrow writes it, by the table's name, as JSON."""
    return json.dumps({table: table_schema(table).to_string() for table in TABLES}, indent=2) + "\n"


def _schema(model: type[BaseModel]) -> dict[str, object]:
    schema = model.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _models(module: ModuleType) -> list[type[BaseModel]]:
    members = [item for item in vars(module).values() if inspect.isclass(item) and issubclass(item, BaseModel)]
    return [item for item in members if item.__module__ == module.__name__]
