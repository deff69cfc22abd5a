"""Real databases and sessions, damaged: what the fuzz tests and `scripts/fuzz_readers` feed to the readers."""

from __future__ import annotations

import random
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from chronicle_builder import Session, whole_session
from handoff_builder import VARIANT_A

PAGE = 1024
_ROWS = 60
_INTERESTING = (
    b"\x00",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\x7f\xff\xff\xff",
)


def make_databases(folder: Path) -> list[Path]:
    """Some small databases of many kinds: both variants, a log beside one, another encoding, freed pages."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "a": [VARIANT_A, "CREATE INDEX i ON metadata(ts_utc)"],
        "without_rowid": [VARIANT_A + " WITHOUT ROWID"],
        "b": ["CREATE TABLE records(record_type, ts_utc, json)", "CREATE INDEX i ON records(record_type)"],
        "utf16": ["PRAGMA encoding = 'UTF-16le'", VARIANT_A],
        "freed": [VARIANT_A, "CREATE TABLE t(a)"],
    }
    for name, statements in kinds.items():
        with closing(sqlite3.connect(folder / f"{name}.db", isolation_level=None)) as connection:
            for statement in (f"PRAGMA page_size = {PAGE}", *statements):
                connection.execute(statement)
            _fill(connection, name)
    _leave_log(folder / "a.db", folder / "log.db")
    return [folder / f"{name}.db" for name in (*kinds, "log")]


def damage(data: bytes, choose: random.Random) -> bytes:
    """Flip, overwrite, swap, repeat, cut off or insert some bytes or pages."""
    changed = bytearray(data)
    for _ in range(choose.choice((1, 1, 1, 2, 3, 8, 40))):
        choose.choice(_WAYS)(changed, choose)
    return bytes(changed)


def make_session(folder: Path) -> Path:
    """A whole chronicle session."""
    session: Session = whole_session(folder)
    session.write()
    return session.path


def damage_file_of(session: Path, target: Path, choose: random.Random) -> None:
    """Copy a session with one of the files damaged that are parsed."""
    shutil.copytree(session, target)
    files = [target / "manifest.json", target / "COMPLETE.json", *sorted((target / "meta").iterdir())]
    file = choose.choice(files)
    file.write_bytes(damage(file.read_bytes(), choose))


def _fill(connection: sqlite3.Connection, name: str) -> None:
    for number in range(_ROWS):
        text = f'{{"run_id": "r", "n": {number}}}' + " " * (number * 37 % 2500)
        if name == "b":
            connection.execute("INSERT INTO records VALUES ('x', '2026', ?)", (text,))
        else:
            connection.execute("INSERT INTO metadata VALUES (?, ?, 'x', '2026', 'r')", (f"r/x/{number}", text))
    if name == "freed":
        connection.execute("DELETE FROM metadata WHERE id > 'r/x/3'")


def _leave_log(database: Path, target: Path) -> None:
    """Copy a database while it is open, with rows that are in its log only."""
    work = database.with_name("work.db")
    shutil.copy(database, work)
    with closing(sqlite3.connect(work, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for number in range(20):
            connection.execute("INSERT INTO metadata VALUES (?, ?, 'x', '2026', 'r')", (f"r/y/{number}", "{}"))
        shutil.copy(work, target)
        shutil.copy(f"{work}-wal", f"{target}-wal")
    work.unlink()


def _at(data: bytearray, choose: random.Random) -> int:
    """A place in a file: half of the time in a header, where damage tells most."""
    pages = max(1, len(data) // PAGE)
    if choose.random() < 0.5:
        return min(choose.randrange(pages) * PAGE + choose.randrange(120), max(0, len(data) - 1))
    return choose.randrange(max(1, len(data)))


def _flip(data: bytearray, choose: random.Random) -> None:
    if data:
        data[_at(data, choose)] ^= 1 << choose.randrange(8)


def _overwrite(data: bytearray, choose: random.Random) -> None:
    place, piece = _at(data, choose), choose.choice(_INTERESTING)
    data[place : place + len(piece)] = piece


def _number(data: bytearray, choose: random.Random) -> None:
    place = _at(data, choose)
    data[place : place + 4] = struct.pack(
        ">I", choose.choice((0, 1, 2, 3, 5, len(data) // PAGE, choose.getrandbits(32)))
    )


def _swap_pages(data: bytearray, choose: random.Random) -> None:
    pages = len(data) // PAGE
    if pages > 1:
        one, other = (choose.randrange(pages) * PAGE for _ in range(2))
        data[one : one + PAGE], data[other : other + PAGE] = data[other : other + PAGE], data[one : one + PAGE]


def _copy_piece(data: bytearray, choose: random.Random) -> None:
    source, target, size = _at(data, choose), _at(data, choose), choose.choice((4, 20, 100, PAGE))
    data[target : target + size] = data[source : source + size]


def _cut(data: bytearray, choose: random.Random) -> None:
    del data[_at(data, choose) :]


def _insert(data: bytearray, choose: random.Random) -> None:
    place = _at(data, choose)
    data[place:place] = choose.randbytes(choose.choice((1, 4, 100)))


_WAYS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _flip, _flip, _overwrite, _overwrite, _number, _number, _swap_pages, _copy_piece, _cut, _insert,
)  # fmt: skip
