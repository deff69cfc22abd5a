"""A process tree held to its part by measuring and stopping, with real processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from burning import burner, cpu_s, hog, state_of, until_burnt

from pipeline.budget.governor import Governor, choose_cpus
from pipeline.budget.hold import Budget, OwnServers
from pipeline.budget.memory_watch import MemoryWatch
from pipeline.budget.tree import ProcessTree
from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.settings import Settings

MIB = 1 << 20


def test_a_process_that_burns_gets_its_part_and_goes_on() -> None:
    with burner() as process:
        tree = ProcessTree(list)
        tree.find()
        governor = Governor(tree, cpus=0.25, spare=list)
        began, used = time.monotonic(), cpu_s(process.pid)
        while governor.times < 8:
            time.sleep(0.03)
            governor.step()
        elapsed_s = time.monotonic() - began
        assert cpu_s(process.pid) - used <= 0.25 * elapsed_s + 0.15
        assert state_of(process.pid) != "T"
        until_burnt(process.pid, 0.05)


def test_who_was_stopped_by_somebody_else_is_not_woken() -> None:
    with burner() as process:
        tree = ProcessTree(list)
        tree.find()
        governor = Governor(tree, cpus=0.01, spare=list)
        until_burnt(process.pid, 0.1)
        process.send_signal(signal.SIGSTOP)
        while state_of(process.pid) != "T":
            time.sleep(0.01)
        governor.step()
        assert governor.times == 1
        assert state_of(process.pid) == "T"


def test_what_is_spared_is_never_stopped() -> None:
    with burner() as process:
        tree = ProcessTree(list)
        tree.find()
        governor = Governor(tree, cpus=0.01, spare=lambda: [process.pid])
        states = set[str]()
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                states.add(state_of(process.pid))

        look = threading.Thread(target=watch)
        look.start()
        until_burnt(process.pid, 0.1)
        governor.step()
        over.set()
        look.join()
        assert governor.times == 1
        assert "T" not in states


def test_this_process_holds_itself_up_without_a_signal_that_nobody_would_take_back() -> None:
    tree = ProcessTree(list)
    tree.find()
    governor = Governor(tree, cpus=0.2, spare=list)
    goal = time.process_time() + 0.1
    while time.process_time() < goal:
        pass
    before = time.process_time()
    governor.step()
    assert governor.held_s > 0.1
    assert time.process_time() - before < governor.held_s / 2


@pytest.mark.parametrize(
    ("allowed", "cpus", "turn", "chosen"),
    [
        ({0, 1}, 1.0, 0, {0}),
        ({0, 1}, 1.0, 3, {1}),
        ({0, 1}, 0.2, 0, {0}),
        ({2, 4, 6}, 1.5, 1, {4, 6}),
        ({5}, 3, 9, {5}),
    ],
)
def test_processors_are_as_many_as_are_needed_and_others_for_others(
    allowed: set[int], cpus: float, turn: int, chosen: set[int]
) -> None:
    assert choose_cpus(allowed, cpus, turn) == chosen


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one processor only, nothing to narrow")
def test_without_control_groups_a_run_and_the_servers_it_finds_keep_to_some_processors(tmp_path: Path) -> None:
    before, niceness = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
    with burner() as server:
        servers = OwnServers(lambda: {"ocr": [server.pid]}, lambda kind: None)
        budget = Budget(DataRoot(tmp_path), Settings(budget_by="governor", cpu_share=0.1), servers)
        with budget.held():
            assert budget.by == "governor"
            assert len(os.sched_getaffinity(0)) < len(before)
            assert os.sched_getaffinity(server.pid) == os.sched_getaffinity(0)
            until_burnt(server.pid, 0.3)
        assert state_of(server.pid) != "T"
        assert len(os.sched_getaffinity(server.pid)) < len(before)
    assert os.sched_getaffinity(0) == before
    assert os.getpriority(os.PRIO_PROCESS, 0) == niceness
    assert budget.snapshot()["throttled"]["cpu"] > 0


def test_the_largest_server_is_ended_before_the_cap_is_passed_and_it_is_said_why() -> None:
    with hog(40 * MIB) as small, hog(200 * MIB) as large:
        tree = ProcessTree(list)
        tree.find()
        processes = {"embed": small, "ocr": large}

        def end(kind: str) -> None:
            processes[kind].kill()
            processes.pop(kind).wait()

        cap = int((tree.memory() - 100 * MIB) / 0.9)
        watch = MemoryWatch(tree, cap, lambda: {kind: item.pid for kind, item in processes.items()}, end)
        why = watch.step()
        assert why is not None
        assert why.startswith("the ocr server, ")
        assert list(processes) == ["embed"]
        tree.find()
        assert watch.step() is None


def test_a_run_that_takes_too_much_without_any_server_ends_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AP_MEM_LIMIT_MB", "1")
    monkeypatch.setattr("pipeline.budget.hold.LOOK_EVERY_S", 0.05)
    settings = Settings(budget_by="governor")  # with a group the kernel would end these tests
    budget = Budget(DataRoot(tmp_path), settings, OwnServers(dict, lambda kind: None))
    budget.require_room()
    with budget.held(), pytest.raises(Unavailable, match="its limit is 1 MB"):
        until_refused(budget)


def until_refused(budget: Budget) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        budget.require_room()
        time.sleep(0.05)


def test_who_stands_back_has_woken_everybody_and_stops_nobody_any_more() -> None:
    with burner() as process:
        tree = ProcessTree(list)
        tree.find()
        governor = Governor(tree, cpus=0.001, spare=list)
        until_burnt(process.pid, 0.1)
        holding = threading.Thread(target=governor.step)
        holding.start()
        while governor.times == 0:
            time.sleep(0.001)
        governor.stand_back()
        assert state_of(process.pid) != "T"
        until_burnt(process.pid, 0.1)
        governor.step()
        assert governor.times == 1
        holding.join()
