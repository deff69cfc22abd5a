"""Handoffs as an enemy makes them: a table of what each is, and what is to become of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from handoff_builder import RUN, VARIANT_A, sha256
from hostile_builders import (
    COLUMNS,
    MIB,
    Build,
    bytes_at,
    case_colliding,
    deep_directories,
    device,
    doubling_views,
    extra,
    fifo,
    forged_schema,
    frame,
    freelist,
    giant_json,
    hard_link_outside,
    hot_journal,
    in_place_of,
    index_that_hides_a_row,
    link_outside,
    link_to_itself,
    linked_directory,
    many_files,
    many_tables,
    marker_of_another,
    named,
    nested,
    no_database,
    payload_under_the_limit,
    random_wal,
    rows,
    schema,
    sparse_database,
    super_journal,
    two_ids_one_blob,
    unix_socket,
    utf_16,
    wal_of_another_size,
)


@dataclass(frozen=True)
class Hostile:
    """One of them: exit code, and a piece of the sentence (of a warning, where it is let in)."""

    build: Build
    code: int
    says: str


VIEW = "SELECT 'a/b/c' AS id, '{}' AS payload, 'x' AS record_type, '2026' AS ts_utc, 'a' AS run_id"
ENDLESS = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) {VIEW} FROM n"
COSTLY = [f"INSERT INTO metadata VALUES ('a/b/{n}', '{{}}', 'x', 'x', 'a')" for n in range(20)]
FORGED = "UPDATE sqlite_schema SET sql = '{sql}' WHERE name = '{name}'"

HOSTILE = {
    # schemas
    "view in place": Hostile(schema(f"CREATE VIEW metadata AS {VIEW}"), 4, "view 'metadata'"),
    "endless view in place": Hostile(schema(f"CREATE VIEW metadata AS {ENDLESS}"), 4, "view 'metadata'"),
    "views that double": Hostile(doubling_views("records"), 0, "whole database is kept"),
    "virtual table in place": Hostile(
        schema("CREATE VIRTUAL TABLE metadata USING fts5(id, payload)"), 4, "virtual table 'metadata'"
    ),
    "virtual table of no module": Hostile(
        forged_schema(FORGED.format(sql="CREATE VIRTUAL TABLE metadata USING nothing(a)", name="metadata")),
        4,
        "metadata.db",
    ),
    "trigger": Hostile(
        extra("CREATE TRIGGER t AFTER INSERT ON metadata BEGIN DELETE FROM metadata; END"), 0, "whole database is kept"
    ),
    "generated column": Hostile(
        schema(f"CREATE TABLE metadata(id TEXT PRIMARY KEY, payload AS (upper(id)), {COLUMNS})"), 4, "expected a table"
    ),
    "costly generated column": Hostile(
        extra("ALTER TABLE metadata ADD COLUMN c AS (length(hex(zeroblob(4000000))))"), 0, "whole database is kept"
    ),
    "costly check": Hostile(
        schema(
            f"CREATE TABLE metadata(id TEXT PRIMARY KEY, payload CHECK (length(hex(zeroblob(4000000)))), {COLUMNS})",
            *COSTLY,
        ),
        0,
        "",
    ),
    "schema says view, row says table": Hostile(
        forged_schema(FORGED.format(sql=f"CREATE VIEW metadata AS {VIEW}".replace("'", "''"), name="metadata")),
        4,
        "metadata.db",
    ),
    "table under another name": Hostile(
        forged_schema(
            FORGED.format(sql=f"CREATE TABLE other(id TEXT PRIMARY KEY, payload, {COLUMNS})", name="metadata")
        ),
        4,
        "metadata.db",
    ),
    "two tables on one page": Hostile(
        forged_schema("UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'metadata'"),
        4,
        "metadata.db",
    ),
    "root page beyond the end": Hostile(
        forged_schema("UPDATE sqlite_schema SET rootpage = 999999 WHERE name = 'metadata'"), 4, "metadata.db"
    ),
    "schema that is no SQL": Hostile(forged_schema(FORGED.format(sql="hello", name="metadata")), 4, "metadata.db"),
    "huge schema text": Hostile(
        forged_schema(
            "UPDATE sqlite_schema SET sql = sql || '/*' || hex(zeroblob(4000000)) || '*/' WHERE type = 'table'"
        ),
        0,
        "",
    ),
    "schema text over the limit": Hostile(
        forged_schema(
            "UPDATE sqlite_schema SET sql = sql || '/*' || hex(zeroblob(9000000)) || '*/' WHERE type = 'table'"
        ),
        4,
        "metadata.db",
    ),
    "100,000 columns": Hostile(
        forged_schema(
            FORGED.format(sql=f"CREATE TABLE metadata({','.join(f'c{n}' for n in range(100_000))})", name="metadata")
        ),
        4,
        "metadata.db",
    ),
    "1,000 tables": Hostile(many_tables, 0, "whole database is kept"),
    "missing column": Hostile(
        schema("CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT)"), 4, "expected a table"
    ),
    "no primary key": Hostile(schema(VARIANT_A.replace(" PRIMARY KEY", "")), 4, "primary key id"),
    "without rowid": Hostile(schema(VARIANT_A + " WITHOUT ROWID"), 0, ""),
    "unknown collation": Hostile(
        forged_schema(
            FORGED.format(
                sql=f"CREATE TABLE metadata(id TEXT PRIMARY KEY COLLATE evil, payload TEXT, {COLUMNS})", name="metadata"
            )
        ),
        4,
        "metadata.db",
    ),
    "unknown function in an index": Hostile(
        forged_schema(
            "INSERT INTO sqlite_schema VALUES ('index', 'e', 'metadata', 3, 'CREATE INDEX e ON metadata(evil(id))')"
        ),
        4,
        "metadata.db",
    ),
    "functions that load code": Hostile(
        schema(f"CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT DEFAULT (load_extension('x')), {COLUMNS})"),
        0,
        "",
    ),
    # pages
    "no database": Hostile(in_place_of("metadata.db", no_database), 4, "not a SQLite"),
    "empty file": Hostile(in_place_of("metadata.db", Path.touch), 4, "no table at all"),
    "only a header": Hostile(bytes_at(100, b"\xff" * 100_000), 4, "metadata.db"),
    "page size of a byte": Hostile(bytes_at(16, b"\x00\x01\x01"), 4, "metadata.db"),
    "page size of nonsense": Hostile(bytes_at(16, b"\x12\x34"), 4, "metadata.db"),
    "reserved bytes": Hostile(bytes_at(20, b"\xff"), 4, "metadata.db"),
    "file format of the future": Hostile(bytes_at(18, b"\x09\x09"), 4, "metadata.db"),
    "schema format of the future": Hostile(bytes_at(44, b"\x00\x00\x00\x09"), 4, "metadata.db"),
    "encoding of nonsense": Hostile(bytes_at(56, b"\x00\x00\x00\x07"), 4, "metadata.db"),
    "page of noise": Hostile(bytes_at(4096 * 5, b"\xff" * 4096), 4, "metadata.db"),
    "freelist in use": Hostile(freelist, 4, "damaged"),
    "index that hides a row": Hostile(index_that_hides_a_row, 4, "damaged"),
    "hole of 64 GiB": Hostile(sparse_database, 4, "hardly any of it"),
    "other encoding": Hostile(utf_16, 0, ""),
    "log of noise": Hostile(random_wal, 0, ""),
    "log of another page size": Hostile(wal_of_another_size, 0, ""),
    "super-journal": Hostile(super_journal, 4, "several databases"),
    "journal that writes far away": Hostile(hot_journal, 4, "metadata.db"),
    # rows
    "id that is a blob": Hostile(rows((b"\x01", "{}")), 4, "no text"),
    "id that is no UTF-8": Hostile(
        extra("INSERT INTO metadata VALUES (CAST(x'ff' AS TEXT), '{}', '', '', '')"), 4, "no text"
    ),
    "id that is null": Hostile(rows((None, "{}")), 4, "no text"),
    "ids of numbers": Hostile(
        schema(
            f"CREATE TABLE metadata(id INTEGER PRIMARY KEY, payload TEXT, {COLUMNS})",
            "INSERT INTO metadata VALUES (1, '{}', 'x', 'x', 'x')",
        ),
        4,
        "no text",
    ),
    "NUL in an id": Hostile(rows((f"{RUN}/x/a\0b", "{}")), 0, "incomplete row"),
    "id of a megabyte": Hostile(rows((f"{RUN}/" + "x" * MIB, "{}")), 0, "incomplete row"),
    "id of Stage 1": Hostile(rows(("system.ingest/x/0", "{}")), 4, "only Stage 1 may write"),
    "completion record": Hostile(rows((f"{RUN}/retention.eligible/0", "{}")), 4, "only Stage 1 may write"),
    "payload of 300 MB": Hostile(giant_json, 4, "larger than 16 MiB"),
    "payload of 15 MiB": Hostile(payload_under_the_limit, 0, "incomplete row"),
    "nested deeply": Hostile(rows((f"{RUN}/x/1", nested(100_000))), 0, "incomplete row"),
    "nested objects": Hostile(rows((f"{RUN}/x/1", '{"a":' * 50_000 + "1" + "}" * 50_000)), 0, "incomplete row"),
    "number of a million digits": Hostile(rows((f"{RUN}/x/1", '{"a": ' + "9" * MIB + "}")), 0, "incomplete row"),
    "duplicate keys": Hostile(rows((f"{RUN}/x/1", '{"run_id": "a", "run_id": "b"}')), 0, "incomplete row"),
    "lone surrogate": Hostile(rows((f"{RUN}/x/1", '{"run_id": "\\ud800"}')), 0, "incomplete row"),
    "payload no UTF-8": Hostile(rows((f"{RUN}/x/1", b"\xff\xfe")), 0, "incomplete row"),
    "float in what is hashed": Hostile(
        frame(payload_hash="0" * 64, cursor={"x": 1.5}, content_hash=sha256(b"picture")), 0, "unverifiable"
    ),
    "size that is a float": Hostile(frame(content_size=7.0, payload_hash=None, content_hash=sha256(b"picture")), 0, ""),
    "size beyond 64 bits": Hostile(frame(content_size=2**70), 4, "content_size"),
    "year 1": Hostile(frame(ts_utc="0001-01-01T00:00:00Z"), 0, "year 1"),
    "year 9999": Hostile(frame(ts_utc="9999-12-31T23:59:59.999Z"), 0, "year 9999"),
    "year 1 in another zone": Hostile(frame(ts_utc="0001-01-01T00:00:00+23:59"), 0, "incomplete row"),
    "wrong hash": Hostile(frame(content_hash="0" * 64), 4, "does not hash"),
    "path upwards": Hostile(frame(blob_path="../outside/precious"), 0, "no file inside"),
    "path upwards, backslashes": Hostile(frame(blob_path="media\\..\\..\\outside\\precious"), 0, "no file inside"),
    "absolute path": Hostile(frame(blob_path="/etc/passwd"), 0, "no file inside"),
    "path with NUL": Hostile(frame(blob_path="media/\0"), 0, "no file inside"),
    "path of a megabyte": Hostile(frame(blob_path="a/" * (MIB // 2)), 0, "no file inside"),
    "the database as a blob": Hostile(
        frame(blob_path="metadata.db", content_size=None, content_hash="0" * 64), 4, "hash"
    ),
    "run id upwards": Hostile(
        rows(
            (
                "../../x/0",
                json.dumps(
                    {
                        "schema_version": 1,
                        "record_type": "x.y",
                        "run_id": "../..",
                        "ts_utc": "2026-03-01T10:00:00Z",
                        "content_hash": "0" * 64,
                        "blob_path": "x",
                    }
                ),
            )
        ),
        4,
        "missing",
    ),
    "two ids with one blob": Hostile(two_ids_one_blob, 0, ""),
    # files
    "database a directory": Hostile(in_place_of("metadata.db", Path.mkdir), 4, "no metadata.db"),
    "database a FIFO": Hostile(in_place_of("metadata.db", fifo), 4, "a FIFO"),
    "database a link": Hostile(in_place_of("metadata.db", link_outside), 4, "a symbolic link"),
    "database a device": Hostile(in_place_of("metadata.db", device), 4, "'metadata.db' is a"),
    "log a link": Hostile(in_place_of("metadata.db-wal", link_outside), 4, "a symbolic link"),
    "marker a link": Hostile(in_place_of("reap_eligible.json", link_outside), 4, "a symbolic link"),
    "marker of another": Hostile(marker_of_another, 0, ""),
    "blob a link": Hostile(in_place_of("", link_outside), 4, "a symbolic link"),
    "blob a link to itself": Hostile(in_place_of("", link_to_itself), 4, "a symbolic link"),
    "blob a FIFO": Hostile(in_place_of("", fifo), 4, "a FIFO"),
    "blob a socket": Hostile(in_place_of("s", unix_socket), 4, "a socket"),
    "blob a device": Hostile(in_place_of("", device), 4, "is a"),
    "blob a directory": Hostile(in_place_of("", Path.mkdir), 4, "its blob is missing"),
    "blob a hard link to another file": Hostile(in_place_of("", hard_link_outside), 4, "has 8 bytes"),
    "directories in a circle": Hostile(in_place_of("media/loop", linked_directory), 4, "a symbolic link"),
    "directories without end": Hostile(deep_directories, 4, "nested deeper"),
    "1,000 files": Hostile(many_files, 0, ""),
    "names that differ in case": Hostile(case_colliding, 0, ""),
    "name no UTF-8": Hostile(named(b"log-\xff\xfe.txt"), 0, ""),
    "name of 255 bytes": Hostile(named(b"n" * 255), 0, ""),
    "name with control characters": Hostile(named(b"a\x1b[31m\nb\x7f"), 0, ""),
    "temporary name of ours": Hostile(named(b"media/.tmp-ingest/x"), 0, ""),
}
