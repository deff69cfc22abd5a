"""A Ray cluster of two nodes in network namespaces: nothing but a setting changes, and the rows are the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ray_runs import FRAMES, Signal, until
from screen_memory import fact_files, rows
from two_nodes import ADDRESSES, NETWORK, PORT, Node, two_machines, why_not

from pipeline.dataroot import DataRoot

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest_plugins = ["ray_desk"]

ALLOWED = ("--set", f"ray_networks={NETWORK}", "--set", "shard_frames=2")
IDLE = "--assume-idle-when-missing"

SERVE = """
from pathlib import Path
from pipeline.dataroot import DataRoot
from ray_runs import serve_truth
root = DataRoot(Path(sys.argv[1]))
serve_truth(root.on_node(sys.argv[2]) if sys.argv[2] else root, "--delay-s", sys.argv[3])
"""
COUNT = """
from pathlib import Path
from pipeline.dataroot import DataRoot
from ray_runs import requests
root = DataRoot(Path(sys.argv[1]))
print(requests(root.on_node(sys.argv[2]) if sys.argv[2] else root))
"""


@contextmanager
def machines() -> Iterator[tuple[Node, Node]]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with two_machines() as nodes:
        nodes[0].start_ray("--head", "--port", str(PORT), "--include-dashboard", "false")
        yield nodes


def join(node: Node) -> None:
    node.start_ray("--address", f"{ADDRESSES[0]}:{PORT}")


def serve(node: Node, root: DataRoot, delay_s: float = 0.0) -> None:
    node.python(SERVE, str(root), _name(node), str(delay_s))


def asked(node: Node, root: DataRoot) -> int:
    return int(node.python(COUNT, str(root), _name(node)))


def _name(node: Node) -> str:
    """The run is on the first node."""
    return "" if node.address == ADDRESSES[0] else node.address


def forget(root: DataRoot) -> None:
    shutil.rmtree(root.facts)
    root.catalog_db.unlink()


@pytest.mark.slow
def test_two_nodes_give_the_rows_of_one_and_of_the_local_engine(desk: DataRoot, expected: dict[str, bytes]) -> None:
    with machines() as (one, other):
        serve(one, desk)
        alone = one.pipeline(desk, *ALLOWED, IDLE)
        assert alone.end() == 0, alone.stderr
        assert fact_files(desk) == expected
        assert asked(one, desk) == FRAMES

        forget(desk)
        join(other)
        serve(other, desk, 0.05)
        together = one.pipeline(desk, *ALLOWED, IDLE)
        assert together.end() == 0, together.stderr
        assert fact_files(desk) == expected
        there = asked(other, desk)
        assert 0 < there < FRAMES
        assert asked(one, desk) == FRAMES + FRAMES - there
        assert f"{FRAMES - there} on {one.address}, {there} on {other.address}" in together.stderr
        assert list(desk.scratch.iterdir()) == []


@pytest.mark.slow
def test_a_node_beyond_the_allowed_networks_is_refused_and_the_user_ends_the_work_of_all(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    with machines() as (one, other):
        join(other)
        serve(one, desk, 0.5)
        serve(other, desk, 0.5)
        refused = one.pipeline(desk, "--set", f"ray_networks={one.address}", IDLE)
        assert refused.end() == 4
        assert f"has nodes outside of ray_networks ({one.address}): {other.address}" in refused.stderr
        assert asked(one, desk) == asked(other, desk) == 0

        with Signal(desk) as sidecar:
            interrupted = one.pipeline(desk, *ALLOWED)
            until(lambda: asked(other, desk) > 2, timeout_s=120)  # its two workers have had answers
            sidecar.user_active = True
            assert interrupted.end() == 3, interrupted.stderr
            assert 0 < asked(other, desk) < FRAMES
            assert 0 < len(rows(desk, "records")) < FRAMES

        (desk.path / "activity" / "activity_signal.json").unlink()
        finished = one.pipeline(desk, *ALLOWED, IDLE)
        assert finished.end() == 0, finished.stderr
    assert fact_files(desk) == expected


@pytest.mark.slow
def test_a_cluster_that_asks_for_no_token_is_refused(desk: DataRoot) -> None:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with two_machines() as (one, _):
        one.start_ray("--head", "--port", str(PORT), "--include-dashboard", "false", token=False)
        serve(one, desk)
        refused = one.pipeline(desk, *ALLOWED, IDLE)
        assert refused.end() == 4
        assert "asks for no token\n  → start its nodes with RAY_AUTH_MODE=token" in refused.stderr
        assert asked(one, desk) == 0
