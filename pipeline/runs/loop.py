"""The run loop: stage by stage over what is pending, until nothing is or the gate closes."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pipeline.dag import Stage, select
from pipeline.dataroot import DataRoot
from pipeline.engines.ray_folder import remove_leftovers
from pipeline.engines.shards import Engine
from pipeline.errors import Blocked, Busy, DamagedFactFile, NothingToDo, NotInstalled, disk_refused
from pipeline.gate import Gate
from pipeline.runs.day_stages import build_days
from pipeline.runs.discover import discover
from pipeline.runs.interruption import while_open
from pipeline.runs.keep_indexes import IndexKeeper
from pipeline.runs.keyframe_budget import settle_keyframes
from pipeline.runs.manifest import RunManifest, note_attempt
from pipeline.runs.progress import ProgressReport
from pipeline.runs.report import RunOptions, RunReport
from pipeline.runs.run_files import note_crashes
from pipeline.runs.sample_stages import EMBED, VLM, SampleStages
from pipeline.runs.watch import NOBODY_WATCHES, Watch
from pipeline.runs.work import EmbedSource, ModelSource, Work, require_idle
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.counts import count_samples
from pipeline.stores.disk import measure_disk
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.idle import note_idle
from pipeline.stores.lock import hold_lock
from pipeline.stores.pending import pending
from schemas.fields import from_utc_microseconds

DAYS = "days"

log = logging.getLogger("pipeline")


def run(
    root: DataRoot, settings: Settings, options: RunOptions, engine: Engine, gate: Gate, models: ModelSource,
    progress: ProgressReport, embedder: EmbedSource | NotInstalled | None = None,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000, watch: Watch = NOBODY_WATCHES,
) -> RunReport:  # fmt: skip
    """Work on what is pending; returns what was done. Without an `embedder` spans are not embedded.

    `now_us` is the clock that retries and the age of indexes go by. Raises NothingToDo, Blocked when the gate is or
    gets closed (what was finished is kept), Busy, Unavailable, ContractInvalid, UsageError for a stage that does not
    exist.
    """
    select(options.stages)
    root.require_writable()
    with _telling_refusals(), ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(root.run_lock, "run"))
        except Busy:
            _raise_graver(root, gate)
            raise
        stack.callback(engine.close)  # after nobody else stops its processes, and lets them go on
        stack.enter_context(watch.held())
        remove_leftovers(root)
        evidence = stack.enter_context(EvidenceStore(root))
        catalog = stack.enter_context(Catalog(root))
        for run_id in note_crashes(root, from_utc_microseconds(now_us())):
            log.warning("%s had ended without a word; what it had not finished is done now", run_id)
        manifest = RunManifest(root, settings, _describe(options, engine))
        stack.callback(note_attempt, catalog, manifest)
        work = Work(root, settings, options, engine, gate, models, embedder, progress, evidence, catalog, manifest,
                    now_us, watch)  # fmt: skip
        stack.callback(lambda: work.healer.remember(worked=manifest.begun))
        stack.callback(_note_surroundings, work)
        stack.enter_context(gate.tell(work.stop))
        with progress, manifest, watch.around(work):
            return _run(work)


def _run(work: Work) -> RunReport:
    with _telling_refusals():
        try:
            return _Loop(work).run()
        except Blocked as error:
            error.done = work.report.counted()
            raise
        finally:
            work.project()


@contextmanager
def _telling_refusals() -> Iterator[None]:
    """Raises DiskRefused where the disk is full or fails; what was finished is kept."""
    try:
        yield
    except OSError as error:
        refused = disk_refused(error)
        if refused is None:
            raise
        raise refused from error


def _note_surroundings(work: Work) -> None:
    """Leave for `pipeline plan` how long the user was idle, and how much of the disk is taken.

    By all that the gate saw: that of a worker has seen how the user was while it waited, too.
    """
    if work.manifest.begun:
        measure_disk(work.root, work.catalog, work.now_us())
    work.gate.ask()
    seen = work.gate.seen()
    if seen is not None:
        note_idle(work.catalog, seen.stretches, since_us=seen.since_us, until_us=seen.until_us, is_open=seen.is_open)


def _raise_graver(root: DataRoot, gate: Gate) -> None:
    """Another run is at work: raise what counts for more than that. Raises ContractInvalid, Blocked."""
    with EvidenceStore(root):
        pass
    require_idle(gate)


class _Loop:
    def __init__(self, work: Work) -> None:
        self.work = work
        self.retried = False
        self.samples = SampleStages(work, work.options.max_frames)
        self.indexes = IndexKeeper(
            work.root, work.catalog, work.begin, work.now_us, work.settings.index_max_age_s, work.report.renewed
        )

    def run(self) -> RunReport:
        started, report = time.monotonic(), self.work.report
        while not self._is_through():
            continue
        report.elapsed_s = time.monotonic() - started
        for name in sorted(self.samples.window.used_up):
            log.info("%s has used up its minutes of this idle window; the rest waits for the next one", name)
        if not report.worked:
            raise NothingToDo(f"nothing to do: {self._why_not()}")
        return report

    def _why_not(self) -> str:
        names = " and ".join(sorted(self.samples.window.used_up))
        return (
            f"{names} has used up its minutes of this idle window"
            if names
            else "everything captured so far has been processed"
        )

    def _is_through(self) -> bool:
        """Do all there is to do; False when a damaged fact file came up, whose hour is then to be made again."""
        try:
            self._work()
        except DamagedFactFile as error:
            self.work.heal(error)
            return False
        return True

    def _work(self) -> None:
        work = self.work
        work.healer.missing()
        work.project()
        settle_keyframes(work.catalog, work.settings.keyframes_per_hour)
        if work.has_vlm and work.gate.ask().open:
            work.require_models()
        self._discover()
        self._retry_failed()
        if self._frames_wait_for_a_model() and work.gate.ask().open:
            work.engine.prepare()
        if not work.healer.healed and work.gate.ask().open and self.indexes.overdue():
            self._catch_up()
        while self._pass() and work.options.until_done:
            self._discover()
        self._renew_indexes()

    def _retry_failed(self) -> None:
        """Where asked for, make pending once more what failed or was given up; beside, that waits for the model."""
        if self.work.options.retry_failed and not self.work.options.beside and not self.retried:
            self.retried = True
            for stage in self.work.stages:
                self.work.catalog.retry_failed(stage.name)

    def _discover(self) -> None:
        while_open(self.work.gate, lambda: discover(self.work.evidence, self.work.catalog))

    def _frames_wait_for_a_model(self) -> bool:
        """Tell whether the engine will be asked to run a model, as far as can be seen before the first stage."""
        work = self.work
        stages = [stage for stage in work.stages if stage.reads_pictures and (stage.model != VLM or work.has_vlm)]
        return any(
            count_samples(work.catalog, stage.record_type) if work.options.reprocess or work.options.beside
            else bool(pending(work.catalog, stage.name, stage.record_type, None, work.now_us()))
            for stage in stages
        )  # fmt: skip

    def _catch_up(self) -> None:
        """Make of what was read so far all that can be made of it, and show it to questions, before reading on."""
        self.indexes.note_try()
        for stage in self.work.stages:
            if not stage.model or (stage.model == EMBED and not self.work.options.reprocess):
                self._take(stage)
        self._renew_indexes()

    def _renew_indexes(self) -> None:
        self.work.project()
        embedded = any(stage.model == EMBED and self._done(stage) for stage in self.work.stages)
        while_open(self.work.gate, lambda: self.indexes.renew(embedded=embedded))

    def _pass(self) -> bool:
        """Go once over all stages. Tells whether another pass may find work: something was done, or can be retried."""
        worked = [self._take(stage) for stage in self.work.stages]
        return any(worked) or (self.work.options.until_done and self._wait_for_retry())

    def _take(self, stage: Stage) -> bool:
        started, before = time.monotonic(), self._done(stage)
        try:
            return self.samples.take(stage) if stage.scope == "sample" else build_days(self.work, stage)
        finally:
            counts = self._done(stage) - before
            if counts:
                elapsed_s = time.monotonic() - started
                self.work.manifest.stage(stage.name, self.work.fingerprints[stage.name], dict(counts), elapsed_s)

    def _done(self, stage: Stage) -> Counter[str]:
        if stage.scope == "day":
            return Counter({DAYS: self.work.report.days[stage.name]})
        return Counter(self.work.report.samples.get(stage.name, ()))

    def _wait_for_retry(self) -> bool:
        """Sleep until a failed sample may be tried again; False when there is none."""
        due_us = self.samples.next_retry_us()
        if due_us is None or self.samples.frames_left == 0:
            return False
        while (left_s := (due_us - self.work.now_us()) / 1e6) > 0:
            time.sleep(min(left_s, 0.5))
            self.work.require_idle()
        return True


def _describe(options: RunOptions, engine: Engine) -> dict[str, object]:
    return {
        "engine": engine.name,
        "until_done": options.until_done,
        "stages": list(options.stages),
        "reprocess": options.reprocess,
        "max_frames": options.max_frames,
        "engine_model": options.engine_model,
        "beside": options.beside,
        "retry_failed": options.retry_failed,
    }
