"""Damaged databases and sessions, as many as there is time for: read or rejected in words, never anything else.

`scripts/fuzz_readers` does the same for as long as one likes, in a process under limits.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from damaged_files import damage, damage_file_of, make_databases, make_session
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ContractInvalid
from pipeline.ingest.chronicle_session import read_session
from pipeline.ingest.foreign_rows import ForeignDatabase
from pipeline.stores.variants import Backend

SEEDS = st.integers(min_value=0, max_value=2**32)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return make_databases(tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_session(tmp_path_factory.mktemp("sessions") / "session_s")


def read(database: Path) -> list[str] | str:
    """The ids of a database, or why it is rejected."""
    try:
        with ForeignDatabase(database, Backend.auto) as found:
            return [row.record_id for chunk in found.chunks() for row in chunk]
    except ContractInvalid as error:
        return error.message


def read_damaged(session: Path, database: Path) -> list[str] | str:
    """The ids that a session makes, or why it is rejected."""
    try:
        read_session(session, "session_s", {}, database)
    except ContractInvalid as error:
        return error.message
    return read(database)


@settings(max_examples=150)
@given(seed=SEEDS)
def test_any_damaged_database_is_read_or_rejected_in_words(databases: list[Path], seed: int) -> None:
    choose = random.Random(seed)
    source = choose.choice(databases)
    log = Path(f"{source}-wal")
    with TemporaryDirectory() as folder:
        database = Path(folder) / "metadata.db"
        hits_log = log.exists() and choose.random() < 0.7
        database.write_bytes(source.read_bytes() if hits_log else damage(source.read_bytes(), choose))
        if log.exists():
            Path(f"{database}-wal").write_bytes(damage(log.read_bytes(), choose) if hits_log else log.read_bytes())
        outcome = read(database)
    assert isinstance(outcome, list) or outcome.isprintable()
    assert isinstance(outcome, str) or outcome == sorted(set(outcome))


@settings(max_examples=100)
@given(seed=SEEDS)
def test_any_damaged_session_is_read_or_rejected_in_words(session: Path, seed: int) -> None:
    with TemporaryDirectory() as folder:
        target = Path(folder) / "session_s"
        damage_file_of(session, target, random.Random(seed))
        outcome = read_damaged(target, Path(folder) / "rows.db")
        shutil.rmtree(target)
    assert isinstance(outcome, list) or outcome.isprintable()
