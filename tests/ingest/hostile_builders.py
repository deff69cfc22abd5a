"""Builders of handoffs as an enemy makes them; `hostile_handoffs` lists what is built of them."""

from __future__ import annotations

import os
import socket
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from handoff_builder import RUN, VARIANT_A, Handoff, canonical_blob

Build = Callable[[Path], None]
FRAME_ID = f"{RUN}/evidence.capture.frame/0"
COLUMNS = "record_type TEXT, ts_utc TEXT, run_id TEXT"
MIB = 1 << 20


def schema(statement: str, *more: str) -> Build:
    """A database with a schema of one's own."""

    def build(path: Path) -> None:
        handoff = Handoff(path, statement)
        for each in more:
            handoff.execute(each)

    return build


def extra(*statements: str) -> Build:
    """A good frame, and something beside it."""

    def build(path: Path) -> None:
        handoff = Handoff(path)
        handoff.frame("0")
        for each in statements:
            handoff.execute(each)

    return build


def rows(*values: tuple[object, object]) -> Build:
    """A good frame, and rows of id and payload."""

    def build(path: Path) -> None:
        handoff = Handoff(path)
        handoff.frame("0")
        for record_id, payload in values:
            handoff.raw_row(record_id, payload)

    return build


def frame(**fields: object) -> Build:
    """A frame with some fields of its own, its blob in the canonical place."""

    def build(path: Path) -> None:
        handoff = Handoff(path)
        handoff.frame("0", b"picture", blob=False, **fields)
        handoff.file(canonical_blob(FRAME_ID), b"picture")

    return build


def forged_schema(*statements: str, made_of: str = VARIANT_A) -> Build:
    """A database whose schema was written over by hand."""

    def build(path: Path) -> None:
        Handoff(path, made_of).frame("0") if made_of == VARIANT_A else Handoff(path, made_of)
        with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
            connection.execute("PRAGMA writable_schema = ON")
            for statement in statements:
                connection.execute(statement)

    return build


def bytes_at(offset: int, data: bytes, rows: int = 200) -> Build:
    """A database of some pages with bytes written over it."""

    def build(path: Path) -> None:
        handoff = Handoff(path)
        handoff.execute("CREATE INDEX i ON metadata(ts_utc)")
        many_rows(handoff, rows)
        with (path / "metadata.db").open("r+b") as file:
            file.seek(offset)
            file.write(data)

    return build


def many_rows(handoff: Handoff, count: int, payload: str = "printf('{%500s}', '')") -> None:
    handoff.execute(
        f"INSERT INTO metadata WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        f" SELECT 'a/b/' || i, {payload}, 'x', '2026', 'a' FROM n"
    )


def freelist(path: Path) -> None:
    """A freelist that names a page in use."""
    handoff = Handoff(path)
    many_rows(handoff, 200)
    handoff.execute("DELETE FROM metadata WHERE id > 'a/b/3'")
    with (path / "metadata.db").open("r+b") as file:
        file.seek(32)
        file.write(struct.pack(">I", 2))


def index_that_hides_a_row(path: Path) -> None:
    """The primary key's index lacks an entry, so that a walk along it would miss the row."""
    handoff = Handoff(path)
    handoff.frame("0")
    for number in range(3):
        handoff.raw_row(f"{RUN}/x/{number}", "{}")
    with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
        table, index = (
            connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0]
            for name in ("metadata", "sqlite_autoindex_metadata_1")
        )
        assert table != index
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with (path / "metadata.db").open("r+b") as file:
        file.seek((index - 1) * size + 3)
        (cells,) = struct.unpack(">H", file.read(2))
        file.seek((index - 1) * size + 3)
        file.write(struct.pack(">H", cells - 1))


def wal_of_another_size(path: Path) -> None:
    """A log that ends in the middle of a frame that was committed, by its checksum, to another page size."""
    handoff = Handoff(path)
    handoff.frame("0")
    header = struct.pack(">IIIIII", 0x377F0682, 3007000, 512, 0, 1, 1)
    handoff.file("metadata.db-wal", header + bytes(8) + b"\xff" * 1000)


def random_wal(path: Path) -> None:
    handoff = Handoff(path)
    handoff.frame("0")
    handoff.file("metadata.db-wal", b"\x37\x7f\x06\x82" + b"\xa5" * 5000)


def super_journal(path: Path) -> None:
    handoff = Handoff(path)
    name = os.fsencode(path.parent / "outside" / "precious")
    ending = name + struct.pack(">II", len(name), sum(name) & 0xFFFFFFFF) + bytes.fromhex("d9d505f920a163d7")
    handoff.file("metadata.db-journal", bytes.fromhex("d9d505f920a163d7") + bytes(1024) + ending)


def hot_journal(path: Path) -> None:
    """A rollback journal that would write pages far beyond the end."""
    handoff = Handoff(path)
    handoff.frame("0")
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">IIIII", 1, 0, 2**31, 512, 4096)
    handoff.file("metadata.db-journal", header.ljust(512, b"\0") + struct.pack(">I", 2**30) + bytes(4096) + bytes(4))


def utf_16(path: Path) -> None:
    path.mkdir(parents=True)
    with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
        connection.execute("PRAGMA encoding = 'UTF-16be'")
        connection.execute(VARIANT_A)
        for name in ("a", "\U0001f600", "\uff5e"):
            connection.execute("INSERT INTO metadata VALUES (?, '{}', 'x', NULL, NULL)", (f"r/x/{name}",))
        connection.execute("INSERT INTO metadata VALUES (CAST(? AS TEXT), '{}', 'x', NULL, NULL)", (b"\xd8\x00",))


def in_place_of(name: str, make: Callable[[Path], None]) -> Build:
    """A good handoff in which one file is something else."""

    def build(path: Path) -> None:
        handoff = Handoff(path)
        handoff.frame("0", b"picture")
        target = path / (name or canonical_blob(FRAME_ID))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        make(target)

    return build


def no_database(path: Path) -> None:
    path.write_bytes(b"text" * 5000)


def named(name: bytes) -> Build:
    """A good handoff with a file of some name beside."""

    def build(path: Path) -> None:
        handoff = Handoff(path)
        handoff.frame("0")
        handoff.file(os.fsdecode(name), b"x")

    return build


def link_outside(path: Path) -> None:
    path.symlink_to(next(up for up in path.parents if (up / "outside").is_dir()) / "outside/precious")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def linked_directory(path: Path) -> None:
    path.symlink_to(path.parent, target_is_directory=True)


def hard_link_outside(path: Path) -> None:
    os.link(next(up for up in path.parents if (up / "outside").is_dir()) / "outside/precious", path)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero: without end
    except PermissionError:
        os.mkfifo(path)


def deep_directories(path: Path) -> None:
    handoff = Handoff(path)
    handoff.frame("0")
    (path / "/".join("d" * 100)).mkdir(parents=True)


def many_files(path: Path) -> None:
    handoff = Handoff(path)
    handoff.frame("0")
    (path / "logs").mkdir()
    for number in range(1_000):
        (path / "logs" / str(number)).touch()


def case_colliding(path: Path) -> None:
    handoff = Handoff(path)
    handoff.frame("0")
    for name in ("log.txt", "LOG.txt", "Metadata.db", "REAP_ELIGIBLE.json"):
        handoff.file(name, name.encode())


def two_ids_one_blob(path: Path) -> None:
    handoff = Handoff(path)
    shared = handoff.frame("0", b"picture")
    handoff.frame("1", b"picture", blob=False, blob_path=canonical_blob(shared))


def sparse_database(path: Path) -> None:
    """A giant hole after the database: 64 GiB that are not there."""
    handoff = Handoff(path)
    handoff.frame("0")
    os.truncate(path / "metadata.db", 1 << 36)


def giant_json(path: Path) -> None:
    """A payload of 300 MB that costs the sender nothing: zeros."""
    handoff = Handoff(path)
    handoff.execute("INSERT INTO metadata VALUES ('a/b/c', zeroblob(?), 'x', '2026', 'a')", 300_000_000)


def payload_under_the_limit(path: Path) -> None:
    handoff = Handoff(path)
    handoff.frame("0")
    handoff.raw_row(f"{RUN}/x/1", '{"a": "' + "x" * (15 * MIB) + '"}')


def marker_of_another(path: Path) -> None:
    handoff = Handoff(path)
    handoff.frame("0")
    handoff.file("reap_eligible.json", b'{"schema": "autocapture.handoff.reap_eligible.v1"}' * 10)


def many_tables(path: Path) -> None:
    handoff = Handoff(path)
    handoff.frame("0")
    with closing(sqlite3.connect(path / "metadata.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for number in range(1_000):
            connection.execute(f"CREATE TABLE t{number}(a)")
        connection.execute("COMMIT")


def doubling_views(table: str) -> Build:
    """Views that each name the one before twice: a billion times the first, when the last is looked into."""
    return extra(
        "CREATE VIEW v0 AS SELECT 1 AS a",
        *(f"CREATE VIEW v{n} AS SELECT x.a FROM v{n - 1} x, v{n - 1} y" for n in range(1, 31)),
        f"CREATE VIEW {table} AS SELECT a AS record_type, a AS ts_utc, a AS json FROM v30",
    )


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth
