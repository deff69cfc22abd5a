"""One run of all stages with a null model, in this process, measured."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

import psutil
from bench_memory import tree_memory
from bench_null_server import null_server
from null_ocr_server import NullEngine

from pipeline.budget.machine import cpu_budget
from pipeline.dag import STAGES
from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.ray import RayEngine
from pipeline.engines.served import text_model
from pipeline.engines.shards import TextModel
from pipeline.gate import Gate, GateTerms
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings
from pipeline.stores.evidence import load_blob
from schemas.serving import FrameRef, ReadText, SampleFailure, TextReader


class WaitingRayEngine(RayEngine):
    """Waits for Ray before the first stage, so that the run can be measured from when Ray was there."""

    waited_s = 0.0

    def prepare(self) -> None:
        """Start Ray and wait until it is ready."""
        started = time.monotonic()
        super().prepare()
        self.ready()
        self.waited_s += time.monotonic() - started


def measure_run(root: DataRoot, *, through_http: bool, on_ray: bool, once_started: bool) -> dict[str, Any]:
    """Run all stages once in this process; `startup_s` is from the start of the process to the start of the run.

    Ray starts beside the first stages, as it does for a user; `once_started` has the run wait for it, and leaves that
    wait out of what is measured.
    """
    settings = Settings()
    terms = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)
    gate = Gate(root.activity_signal, **terms)
    engine: LocalEngine | RayEngine = LocalEngine(root)
    if on_ray:
        engine = (WaitingRayEngine if once_started else RayEngine)(root, settings, terms, cpu_budget())
    with ExitStack() as stack:
        model = TextModel(NullEngine().identity, _reader_in_process(root, lambda: gate.ask().open))
        if through_http:
            server = stack.enter_context(null_server(root))
            model = text_model(root, settings, server, gate, settings.request_concurrency)
        server_pid = model.server.pid if model.server else 0
        memory = stack.enter_context(tree_memory(os.getpid(), lambda process: process.pid == server_pid))
        startup_s = time.time() - psutil.Process().create_time()
        report = run(root, settings, RunOptions(until_done=True), engine, gate, lambda _: model, LogProgress())
    frames = sum(report.samples["list_frames"].values())
    stage_ms = _stage_milliseconds(root)
    elapsed_s = report.elapsed_s - (engine.waited_s if isinstance(engine, WaitingRayEngine) else 0)
    return {
        "all_stages_frames_per_s": round(frames / elapsed_s, 1),
        "model_stage_frames_per_s": round(frames / stage_ms["find_text_lines"] * 1000, 1),
        "elapsed_s": round(elapsed_s, 2),
        "stage_ms": stage_ms,
        "startup_s": round(startup_s, 2),
        "ray_startup_s": round(engine.startup_s, 2) if isinstance(engine, RayEngine) else 0,
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "peak_memory_of_all_processes_mib": round(memory.peak_bytes / 2**20, 1),
    }


def _reader_in_process(root: DataRoot, may_read: Callable[[], bool]) -> TextReader:
    @cache
    def answer(image: bytes) -> ReadText:
        result = NullEngine().read(image)
        assert isinstance(result, ReadText)
        return result

    def read(frames: Sequence[FrameRef]) -> Iterator[tuple[int, ReadText | SampleFailure]]:
        for index, frame in enumerate(frames):
            if not may_read():
                return
            yield index, answer(load_blob(root, frame.blob_path, frame.content_hash))

    return read


def _stage_milliseconds(root: DataRoot) -> dict[str, int]:
    (manifest,) = root.manifests.glob("run-*.json")
    stages = json.loads(manifest.read_bytes())["stages"]
    return {stage.name: stages[stage.name]["elapsed_ms"] for stage in STAGES if stage.name in stages}
