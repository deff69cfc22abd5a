"""The keeper of Ray's driver: all below it stops, goes on and ends, however it was started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipeline.engines.ray_keeper import GO_ON, STOP, STOP_SOON

FAMILY = """
import os, subprocess, sys, time
folder = sys.argv[1]
counts = "import sys, time\\nnumber = 0\\nwhile True:\\n number += 1\\n open(sys.argv[1], 'w').write(str(number))\\n"
counts += " time.sleep(0.01)\\n"
subprocess.Popen([sys.executable, "-S", "-c", counts, folder + "/child"])
subprocess.Popen([sys.executable, "-S", "-c", counts, folder + "/of-a-session-of-its-own"], start_new_session=True)
if os.fork() == 0:
    subprocess.Popen([sys.executable, "-S", "-c", counts, folder + "/orphan"], start_new_session=True)
    os._exit(0)
time.sleep(float(sys.argv[2]))
"""
NAMES = ("child", "of-a-session-of-its-own", "orphan")


@dataclass
class Kept:
    """A keeper with a family of processes that count in files; what is told goes to `told`."""

    keeper: subprocess.Popen[bytes]
    told: int
    folder: Path

    def tell(self, word: bytes) -> None:
        os.write(self.told, word)

    def counts(self) -> list[str]:
        return [(self.folder / name).read_text() for name in NAMES]

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.keeper.pid).children(recursive=True)

    def stand(self) -> bool:
        return all(item.status() == psutil.STATUS_STOPPED for item in self.family() if item.status() != "zombie")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def keep(folder: Path, *options: str, lives_s: str = "60") -> Kept:
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
    heard, told = os.pipe()
    theirs, ours = os.pipe()
    times = {"--hand-in-s": "0.3", "--stay-s": "60", **dict(zip(options[::2], options[1::2], strict=True))}
    given = [word for pair in times.items() for word in pair]
    keeper = subprocess.Popen(
        [sys.executable, "-m", "pipeline.engines.ray_keeper", "--told-fd", str(heard), "--driver-fd", str(theirs),
         *given, "--", sys.executable, "-S", "-c", FAMILY, str(folder), lives_s], pass_fds=[heard, theirs],
    )  # fmt: skip
    for end in (heard, theirs, ours):
        os.close(end)
    kept = Kept(keeper, told, folder)
    until(lambda: all((folder / name).exists() and (folder / name).read_text() for name in NAMES))
    return kept


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = keep(tmp_path)
    yield made
    os.close(made.told)
    made.keeper.wait(20)


def gone(processes: list[psutil.Process]) -> bool:
    return not any(item.is_running() and item.status() != psutil.STATUS_ZOMBIE for item in processes)


def test_all_stop_where_they_stand_and_go_on(kept: Kept) -> None:
    kept.tell(STOP)
    until(kept.stand)
    assert len(kept.family()) >= 4
    before = kept.counts()
    time.sleep(0.2)
    assert kept.counts() == before
    kept.tell(GO_ON)
    until(lambda: all(now != then for now, then in zip(kept.counts(), before, strict=True)))


def test_a_stop_that_leaves_time_is_taken_back_when_all_is_to_go_on(kept: Kept) -> None:
    kept.tell(STOP_SOON)
    kept.tell(GO_ON)
    time.sleep(0.5)  # more than the moment that was left
    assert not kept.stand()
    kept.tell(STOP_SOON)
    until(kept.stand)
    kept.tell(GO_ON)
    until(lambda: not kept.stand())


def test_when_the_run_is_gone_nothing_is_left_stopped_or_not(tmp_path: Path) -> None:
    for word in (b"", STOP):
        made = keep(tmp_path)
        family = made.family()
        if word:
            made.tell(word)
            until(made.stand)
        os.close(made.told)
        assert made.keeper.wait(20) == 0
        assert gone(family)


def test_when_the_driver_ends_all_that_it_started_is_ended(tmp_path: Path) -> None:
    made = keep(tmp_path, lives_s="0.5")
    family = made.family()
    assert made.keeper.wait(20) == 0
    assert gone(family)
    os.close(made.told)


def test_what_has_been_stopped_for_long_is_ended(tmp_path: Path) -> None:
    made = keep(tmp_path, "--stay-s", "0.5")
    family = made.family()
    made.tell(STOP)
    assert made.keeper.wait(20) == 0
    assert gone(family)
    os.close(made.told)


def test_a_keeper_that_is_told_to_end_ends_all(tmp_path: Path) -> None:
    made = keep(tmp_path)
    family = made.family()
    made.keeper.terminate()
    assert made.keeper.wait(20) == 0
    assert gone(family)
    os.close(made.told)


def test_the_driver_of_a_keeper_that_is_killed_dies_with_it(tmp_path: Path) -> None:
    made = keep(tmp_path)
    family = made.family()
    made.keeper.kill()
    made.keeper.wait(20)
    until(lambda: gone(family[:1]))
    assert gone(family[:1])
    for left in family[1:]:  # Ray's own end with their driver; these are told by nobody
        left.kill()
    os.close(made.told)
