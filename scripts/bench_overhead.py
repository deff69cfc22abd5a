"""All stages with a null model, with each engine, beside a bare loop over the same payload."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_data_root import REPOSITORY, build_data_root
from bench_machine import describe_machine
from bench_null_server import null_server
from bench_recording import compare_facts

from pipeline.dataroot import DataRoot
from pipeline.settings import Settings
from schemas.serving import IMAGE_SIZES_HEADER, RunFile


def measure_overhead(frames: int) -> dict[str, Any]:
    """All stages with a null model, in process and through HTTP, beside a bare loop over the same payload."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        roots = [DataRoot(Path(folder) / name) for name in ("in-process", "http", "ray", "ray-from-cold")]
        for root in roots:
            build_data_root(root, frames)
        in_process = _measure_in_child(roots[0])
        through_http = _measure_in_child(roots[1], "--http")
        ray = _measure_in_child(roots[2], "--http", "--ray", "--once-started")
        ray_from_cold = _measure_in_child(roots[3], "--http", "--ray")
        bare = measure_bare_loop(roots[1], frames)
        return {
            "benchmark": "pipeline overhead, null model, 40 lines a frame",
            "machine": describe_machine(),
            "frames": frames,
            "in_process": in_process,
            "through_http": through_http,
            "through_http_on_ray": ray,
            "through_http_on_ray_from_cold": ray_from_cold,
            "ray_beside_local": compare_facts(roots[1].path, roots[2].path),
            "bare_http_loop_frames_per_s": bare,
            "model_stage_through_http_of_bare": round(through_http["model_stage_frames_per_s"] / bare, 3),
            "all_stages_through_http_of_bare": round(through_http["all_stages_frames_per_s"] / bare, 3),
        }


def measure_bare_loop(root: DataRoot, frames: int) -> float:
    """Frames a second that a client reaches that only reads, posts and parses."""
    paths = sorted(root.media.rglob("*.blob"))[:frames]
    with null_server(root) as server:
        started = time.perf_counter()
        asyncio.run(_post_all(server, paths))
        return round(len(paths) / (time.perf_counter() - started), 1)


async def _post_all(server: RunFile, paths: Sequence[Path]) -> None:
    import aiohttp

    todo = iter(paths)
    headers = {"Authorization": f"Bearer {server.token}"}

    async def work(session: aiohttp.ClientSession) -> None:
        for path in todo:
            data = path.read_bytes()
            async with session.post(
                f"{server.url}/v1/text", data=data, headers={**headers, IMAGE_SIZES_HEADER: str(len(data))}
            ) as response:
                response.raise_for_status()
                json.loads(await response.read())

    async with aiohttp.ClientSession(trust_env=False) as session:
        await asyncio.gather(*(work(session) for _ in range(Settings().request_concurrency)))


def _measure_in_child(root: DataRoot, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "bench_pipeline.py"), "measure-run", str(root), *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    result = json.loads(done.stdout)
    assert isinstance(result, dict)
    return result
