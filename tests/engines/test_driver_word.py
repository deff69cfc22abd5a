"""The driver's word: heard while it says something new, not when it is closed, gone or silent for long."""

from __future__ import annotations

import time
from pathlib import Path

from ray_runs import until

from pipeline.engines.driver_word import BELIEVED_S, DriverWord, HeardWord


def test_it_is_heard_until_it_is_closed(tmp_path: Path) -> None:
    word = DriverWord(tmp_path)
    heard = HeardWord(tmp_path)
    assert heard()
    before = (tmp_path / "word").read_bytes()
    until(lambda: (tmp_path / "word").read_bytes() != before)
    assert heard()
    word.close()
    assert not heard()
    word.close()
    word.remove()
    assert not heard()
    assert list(tmp_path.iterdir()) == []


def test_without_a_word_nothing_may_be_done(tmp_path: Path) -> None:
    assert not HeardWord(tmp_path)()
    assert not HeardWord(tmp_path / "none")()


def test_a_word_that_does_not_change_is_believed_for_a_while_only(tmp_path: Path) -> None:
    now = [100.0]
    (tmp_path / "word").write_bytes(b"1")
    heard = HeardWord(tmp_path, lambda: now[0])
    assert heard()
    now[0] += BELIEVED_S
    assert heard()
    now[0] += 0.1
    assert not heard()
    (tmp_path / "word").write_bytes(b"2")
    assert heard()


def test_a_word_is_always_as_long_so_that_nobody_reads_half_of_it(tmp_path: Path) -> None:
    word = DriverWord(tmp_path)
    lengths = set()
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        lengths.add(len((tmp_path / "word").read_bytes()))
    word.remove()
    assert lengths == {20}
