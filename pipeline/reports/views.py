"""DuckDB views over the fact tables, the same from our command line and from any DuckDB."""

from __future__ import annotations

import glob
from pathlib import Path

import pyarrow as pa

from schemas.arrow import TABLES, table_schema

OCR_LINES = """
SELECT record_id, sample_id AS frame_id, run_id, ts_utc, line_number::INTEGER AS line_number,
       line.text AS text, line.score::INTEGER AS score,
       line.bbox[1] AS "left", line.bbox[2] AS top, line.bbox[3] AS "right", line.bbox[4] AS bottom,
       model_id, model_digest
FROM (
    SELECT r.record_id, r.sample_id, r.run_id, r.ts_utc, r.model_id, r.model_digest,
           unnest(from_json(r.output_json, '{"lines":[{"bbox":["INTEGER"],"score":"INTEGER","text":"VARCHAR"}]}').lines)
               AS line,
           generate_subscripts(
               from_json(r.output_json, '{"lines":[{"text":"VARCHAR"}]}').lines, 1) - 1 AS line_number
    FROM records r
    SEMI JOIN stage_outcomes o
        ON o.stage = 'find_text_lines' AND o.status = 'done' AND o.output_id = r.record_id
)
""".strip()
"""One row for each line of text of each frame, as the model reads it that the frame's outcome now points at."""

FRAME_MODALITIES = """
SELECT f.frame_id, f.run_id, f.ts_utc,
       coalesce(o.status, 'pending') AS ocr,
       CASE WHEN k.frame_id IS NULL THEN 'not chosen' ELSE coalesce(v.status, 'pending') END AS vlm,
       f.window_record_id IS NOT NULL AS window_known, f.uia_record_id IS NOT NULL AS uia
FROM frames f
LEFT JOIN stage_outcomes o ON o.stage = 'find_text_lines' AND o.sample_id = f.frame_id
LEFT JOIN keyframes k ON k.frame_id = f.frame_id
LEFT JOIN stage_outcomes v ON v.stage = 'describe_screen' AND v.sample_id = k.keyframe_id
""".strip()
"""One row for each frame: what is known of it, and by which means."""

_TYPES = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.bool_(): "BOOLEAN",
    pa.float32(): "FLOAT",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}


def view_statements(facts: Path) -> list[str]:
    """SQL that creates a view for each fact table, empty where it has no files, and the views over them."""
    statements = []
    for table in TABLES:
        has_files = next((facts / table).glob("run_id=*/day=*/hour=*/part-*.parquet"), None) is not None
        body = _over_files(facts, table) if has_files else _empty(table)
        statements.append(f"CREATE VIEW {table} AS {body}")
    views = {"ocr_lines": OCR_LINES, "frame_modalities": FRAME_MODALITIES}
    return [*statements, *(f"CREATE VIEW {name} AS {body}" for name, body in views.items())]


def _over_files(facts: Path, table: str) -> str:
    pattern = f"{glob.escape(str(facts))}/{table}/run_id=*/day=*/hour=*/part-*.parquet".replace("'", "''")
    types = "{'run_id': VARCHAR, 'day': DATE, 'hour': VARCHAR}"
    return f"SELECT * FROM read_parquet('{pattern}', hive_partitioning = true, hive_types = {types})"  # noqa: S608


def _empty(table: str) -> str:
    columns = [f'NULL::{_duckdb_type(field.type)} AS "{field.name}"' for field in table_schema(table)]
    return f"SELECT {', '.join(columns)}, NULL::DATE AS day, NULL::VARCHAR AS hour WHERE false"


def _duckdb_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_duckdb_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(_struct_field(item) for item in kind)})"
    return _TYPES[kind]


def _struct_field(field: pa.Field) -> str:
    return f'"{field.name}" {_duckdb_type(field.type)}'
