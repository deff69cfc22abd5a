"""Arrow schemas are those of the models, for every fact table."""

from __future__ import annotations

import types
from datetime import UTC, datetime
from typing import Any, Union, get_args, get_origin

import pyarrow as pa
import pytest
from pydantic import BaseModel, ValidationError

from schemas.arrow import KEYS, SORT, TABLES, arrow_schema, table_schema
from schemas.facts import StageOutcomeFact
from schemas.record import ModelRecord
from schemas.table_texts import table_text


def _may_be_none(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType) and type(None) in get_args(annotation)


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_the_fields_of_the_model_in_their_order(table: str) -> None:
    assert table_schema(table).names == list(TABLES[table].model_fields)


@pytest.mark.parametrize("table", TABLES)
def test_a_column_is_nullable_when_the_field_may_be_none(table: str) -> None:
    fields = TABLES[table].model_fields
    nullable = {field.name for field in table_schema(table) if field.nullable}
    assert nullable == {name for name, info in fields.items() if _may_be_none(info.annotation)}


@pytest.mark.parametrize("table", TABLES)
def test_keys_and_order_name_columns_that_are_never_null(table: str) -> None:
    schema = table_schema(table)
    for name in KEYS[table] + SORT[table]:
        assert not schema.field(name).nullable, name
    assert SORT[table][-1] == KEYS[table][-1], "the order of rows is total"


@pytest.mark.parametrize("table", TABLES)
def test_every_column_says_what_it_means(table: str) -> None:
    assert [name for name, info in TABLES[table].model_fields.items() if not info.description] == []


def test_types_of_the_canonical_record() -> None:
    schema = arrow_schema(ModelRecord)
    vector = pa.struct([
        pa.field("kind", pa.string(), nullable=False),
        pa.field("dims", pa.int32(), nullable=False),
        pa.field("vector", pa.list_(pa.field("item", pa.float32(), nullable=False)), nullable=False),
        pa.field("sha256", pa.string(), nullable=False),
    ])  # fmt: skip
    assert schema.field("schema_version").type == pa.int32()
    assert schema.field("ts_utc").type == pa.timestamp("us", tz="UTC")
    assert schema.field("source_ids").type == pa.list_(pa.field("item", pa.string(), nullable=False))
    assert schema.field("emb_vectors").type == pa.list_(pa.field("item", vector, nullable=False))
    assert schema.field("output_json").type == pa.string()


def test_optional_types_keep_their_width() -> None:
    schema = table_schema("frames")
    assert schema.field("window_left").type == pa.int32()
    assert schema.field("content_size").type == pa.int64()
    assert schema.field("cursor_visible").type == pa.bool_()


def test_a_row_of_the_model_goes_into_arrow_and_comes_back() -> None:
    fact = StageOutcomeFact(
        stage="list_frames",
        sample_id="run-1/evidence.capture.frame/0",
        run_id="run-1",
        ts_utc=datetime(1, 1, 1, tzinfo=UTC),
        status="done",
        error_code=None,
        fingerprint="a" * 64,
        output_id=None,
        output_hash=None,
    )
    table = pa.Table.from_pylist([fact.model_dump()], schema=table_schema("stage_outcomes"))
    assert [StageOutcomeFact(**row) for row in table.to_pylist()] == [fact]


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "not a hash"},
        {"ts_utc": datetime(2026, 3, 1)},  # noqa: DTZ001 a time without a zone is what is refused
        {"surplus": 1},
        {"stage": None},
    ],
)
def test_a_fact_that_breaks_its_contract_is_refused(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "stage": "list_frames", "sample_id": "s", "run_id": "r", "ts_utc": datetime(2026, 3, 1, tzinfo=UTC),
        "status": "done", "error_code": None, "fingerprint": "a" * 64, "output_id": None, "output_hash": None,
    }  # fmt: skip
    assert isinstance(StageOutcomeFact(**good), BaseModel)
    with pytest.raises(ValidationError):
        StageOutcomeFact(**{**good, **change})


def test_the_texts_that_fingerprints_cover_are_those_of_the_schemas() -> None:
    assert {table: table_text(table) for table in TABLES} == {
        table: table_schema(table).to_string() for table in TABLES
    }
    with pytest.raises(KeyError):
        table_text("unknown")
