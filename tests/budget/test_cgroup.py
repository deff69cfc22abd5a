"""Control groups: v2 on folders that stand for it, v1 as this kernel has it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from burning import burner, until_burnt

from pipeline.budget.cgroup import PERIOD_US, Throttled, find_group, group_name
from pipeline.budget.hold import Budget, OwnServers
from pipeline.budget.limits import Limits
from pipeline.dataroot import DataRoot
from pipeline.settings import Settings

LIMITS = Limits(cpus=1.0, memory_bytes=1 << 30)
NO_SERVERS = OwnServers(dict, lambda kind: None)


@pytest.fixture
def v2(tmp_path: Path) -> Path:
    """What a systemd user session looks like: its slice enables controllers, a terminal's scope below does not."""
    scope = tmp_path / "cgroup" / "user.slice" / "app.slice" / "terminal.scope"
    scope.mkdir(parents=True)
    for folder, enabled in ((scope.parent, "cpu memory pids"), (scope, "")):
        (folder / "cgroup.subtree_control").write_text(enabled)
        (folder / "cgroup.procs").write_text("")
    (tmp_path / "own").write_text("0::/user.slice/app.slice/terminal.scope\n")
    return tmp_path


def test_a_delegated_slice_gets_a_group_with_both_limits(v2: Path) -> None:
    root = v2 / "memory"
    group = find_group(root, v2 / "cgroup", v2 / "own")
    assert group is not None
    assert group.called == "cgroup v2 (cpu, memory)"
    group.enter(LIMITS, always_set=True)
    made = v2 / "cgroup" / "user.slice" / "app.slice" / group_name(root)
    assert (made / "cgroup.procs").read_text() == str(os.getpid())
    assert (made / "cpu.max").read_text() == f"{int(PERIOD_US * 0.92)} {PERIOD_US}"
    assert (made / "memory.max").read_text() == str(1 << 30)
    group.leave()
    assert (v2 / "cgroup/user.slice/app.slice/terminal.scope/cgroup.procs").read_text() == str(os.getpid())


def test_who_does_not_have_the_data_root_to_himself_leaves_limits_as_they_are(v2: Path) -> None:
    group = find_group(v2 / "memory", v2 / "cgroup", v2 / "own")
    assert group is not None
    group.enter(LIMITS, always_set=True)
    group.enter(Limits(0.2, 1 << 20), always_set=False)
    assert (group.parts[0].folder / "memory.max").read_text() == str(1 << 30)
    group.enter(Limits(0.2, 1 << 20), always_set=True)
    assert (group.parts[0].folder / "memory.max").read_text() == str(1 << 20)


def test_what_the_kernel_counted_is_read_for_this_run_alone(v2: Path) -> None:
    group = find_group(v2 / "memory", v2 / "cgroup", v2 / "own")
    assert group is not None
    group.enter(LIMITS, always_set=True)
    folder = group.parts[0].folder
    (folder / "cpu.stat").write_text("usage_usec 9\nnr_periods 4\nnr_throttled 3\nthrottled_usec 7000\n")
    (folder / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    before = group.throttled()
    assert before == Throttled(3, 7000, 1)
    (folder / "cpu.stat").write_text("nr_throttled 5\nthrottled_usec 9500\n")
    assert group.throttled().since(before) == Throttled(2, 2500, 0)


@pytest.mark.parametrize("enabled", ["", "memory pids"])
def test_without_a_place_that_limits_processors_there_is_no_group(v2: Path, enabled: str) -> None:
    (v2 / "cgroup/user.slice/app.slice/cgroup.subtree_control").write_text(enabled)
    assert find_group(v2 / "memory", v2 / "cgroup", v2 / "own") is None


def test_a_run_from_within_a_group_of_ours_makes_its_own_beside_it(v2: Path) -> None:
    outer = v2 / "cgroup/user.slice/app.slice/autocapture-aaaaaaaaaaaa"
    outer.mkdir()
    (outer / "cgroup.procs").write_text("")
    (v2 / "own").write_text("0::/user.slice/app.slice/autocapture-aaaaaaaaaaaa\n")
    group = find_group(v2 / "memory", v2 / "cgroup", v2 / "own")
    assert group is not None
    assert group.parts[0].folder.parent == outer.parent


def test_two_data_roots_have_two_groups_and_a_link_to_one_has_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert group_name(tmp_path / "a") != group_name(tmp_path / "b")
    assert group_name(tmp_path / "a") == group_name(tmp_path / "link")


def groups_of(pid: int | str) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


@pytest.fixture
def real(tmp_path: Path) -> DataRoot:
    root = DataRoot(tmp_path / "root")
    root.path.mkdir()
    if find_group(root.path) is None:
        pytest.skip("no control group can be made here (needs a delegated v2, or v1 as root)")
    return root


def test_the_kernel_holds_what_was_started_within_and_counts_it(real: DataRoot) -> None:
    home, name = groups_of("self"), group_name(real.path)
    budget = Budget(real, Settings(cpu_share=0.1), NO_SERVERS)
    with budget.held():
        assert budget.by.startswith("cgroup v")
        assert name in groups_of("self")
        with burner() as process:
            assert name in groups_of(process.pid)
            until_burnt(process.pid, 0.5)
    assert groups_of("self") == home
    assert budget.snapshot()["throttled"]["cpu"] > 0
    assert not group_folders(real)


def test_a_server_that_outlives_its_run_stays_held_and_the_next_start_removes_what_is_empty(real: DataRoot) -> None:
    with burner() as server:
        servers = OwnServers(lambda: {"ocr": [server.pid]}, lambda kind: None)
        with Budget(real, Settings(cpu_share=0.1), servers).held():
            pass
        assert group_name(real.path) in groups_of(server.pid)
    assert group_folders(real)
    other = DataRoot(real.path.parent / "other")
    other.path.mkdir()
    with Budget(other, Settings(), NO_SERVERS).held():
        assert not group_folders(real)


def group_folders(root: DataRoot) -> list[Path]:
    group = find_group(root.path)
    assert group is not None
    return [part.folder for part in group.parts if part.folder.exists()]
