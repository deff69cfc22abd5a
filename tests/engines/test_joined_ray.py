"""A Ray that a user started by hand: joined and left running, or refused."""

from __future__ import annotations

import shutil

import pytest
from ray_runs import FRAMES, Signal, requests, serve_truth, start_run, started_head, until
from screen_memory import fact_files, rows

from pipeline.dataroot import DataRoot
from pipeline.runs.servers import stop_server

pytest.importorskip("ray", reason="the extra `ray` is not installed")
pytest_plugins = ["ray_desk"]


def test_the_user_coming_back_ends_the_run_with_3_and_leaves_the_joined_ray_running(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    serve_truth(desk, "--delay-s", "0.3")
    with started_head() as head, Signal(desk) as sidecar:
        watched = start_run(desk, "--ray-address", head.address, environment=head.environment)
        until(lambda: requests(desk) > 8)  # four are asked at once: some were answered, and handed over
        sidecar.user_active = True
        assert watched.end() == 3, watched.stderr
        asked = requests(desk)
        until(lambda: head.workers() == [])
        assert requests(desk) == asked
        assert head.process.poll() is None
        assert "engine: ray (chosen by auto: a Ray address was given)" in watched.stderr
        assert "Ray joined after" in watched.stderr
        assert watched.left() == []
    assert 0 < len(rows(desk, "records")) < FRAMES
    stop_server(desk, "ocr")
    serve_truth(desk)
    with Signal(desk):
        assert start_run(desk, "--engine", "local").end() == 0
    assert fact_files(desk) == expected


@pytest.mark.slow
def test_a_joined_ray_gives_the_same_rows_to_one_run_after_the_other(
    desk: DataRoot, expected: dict[str, bytes]
) -> None:
    serve_truth(desk)
    with started_head() as head:
        for _ in range(2):
            shutil.rmtree(desk.derived / "facts", ignore_errors=True)
            desk.catalog_db.unlink(missing_ok=True)
            given = ("--ray-address", head.address, "--assume-idle-when-missing")
            watched = start_run(desk, *given, environment=head.environment)
            assert watched.end() == 0, watched.stderr
            assert fact_files(desk) == expected


@pytest.mark.slow
def test_a_ray_with_another_token_is_not_joined(desk: DataRoot) -> None:
    serve_truth(desk)
    other = desk.path.parent / "token"
    other.touch(mode=0o600)
    other.write_text("0" * 64)
    with started_head() as head:
        given = ("--ray-address", head.address, "--assume-idle-when-missing")
        watched = start_run(desk, *given, environment={"RAY_AUTH_TOKEN_PATH": str(other)})
        assert watched.end() == 5
    assert f"no Ray could be joined at {head.address}" in watched.stderr
    assert "ray start --head --node-ip-address 127.0.0.1" in watched.stderr
    assert requests(desk) == 0


@pytest.mark.slow
def test_a_ray_that_listens_beyond_loopback_is_refused_with_4(desk: DataRoot) -> None:
    serve_truth(desk)
    with started_head(loopback=False) as head:
        given = ("--ray-address", head.address, "--assume-idle-when-missing")
        watched = start_run(desk, *given, environment=head.environment)
        assert watched.end() == 4
    assert "loopback" in watched.stderr.splitlines()[-2]
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 ray start" in watched.stderr
    assert requests(desk) == 0
