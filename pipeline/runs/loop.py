"""The run loop: stage by stage over what is pending, until nothing is or the gate closes."""

from __future__ import annotations

import gc
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pipeline import __version__
from pipeline.dag import STAGES, Stage, select
from pipeline.dataroot import DataRoot
from pipeline.engines.days import build_day
from pipeline.engines.ray_folder import remove_leftovers
from pipeline.engines.shards import Engine, Shard, ShardResult, TextModel
from pipeline.engines.spans import EmbedModel, embed_shards
from pipeline.errors import Blocked, NothingToDo, NotInstalled, Unavailable
from pipeline.gate import Gate
from pipeline.indexing.refresh import refresh_text_index
from pipeline.runs.commit import commit_shard, given_samples, project_outcomes
from pipeline.runs.discover import discover
from pipeline.runs.manifest import RunManifest, note_crashes
from pipeline.runs.progress import ProgressReport
from pipeline.runs.report import RunOptions, RunReport
from pipeline.runs.sizing import ShardSizer, cut_shards
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.facts import FactsStore
from pipeline.stores.lock import hold_lock
from schemas.evidence import FRAME

MAX_SERVER_DEATHS = 5
"""How often a run starts a model server again that died, before it gives up."""

DAYS = "days"
EMBED = "embed"

PROJECT_EVERY_S = 10.0
"""How long `stage_outcomes` may stay behind the catalog while a run works; at its end it is up to date."""

log = logging.getLogger("pipeline")

ModelSource = Callable[[str], TextModel]
"""Gets a model ready by its kind: starts or adopts its server. Raises Unavailable."""

EmbedSource = Callable[[str], EmbedModel]
"""Gets the embedding model ready for a stage; what is in that stage's records is not asked for again. Raises
Unavailable."""


def run(
    root: DataRoot, settings: Settings, options: RunOptions, engine: Engine, gate: Gate, models: ModelSource,
    progress: ProgressReport, embedder: EmbedSource | NotInstalled | None = None,
) -> RunReport:  # fmt: skip
    """Work on what is pending; returns what was done. Without an `embedder` spans are not embedded.

    Raises NothingToDo, Blocked when the gate is or gets closed (what was finished is kept), Busy, Unavailable,
    ContractInvalid, UsageError for a stage that does not exist.
    """
    select(options.stages)
    root.require_writable()
    with ExitStack() as stack:
        stack.enter_context(hold_lock(root.run_lock, "run"))
        stack.enter_context(_rare_collections())
        stack.callback(engine.close)
        remove_leftovers(root)
        evidence = stack.enter_context(EvidenceStore(root))
        catalog = stack.enter_context(Catalog(root))
        for run_id in note_crashes(root):
            log.warning("%s had ended without a word; what it had not finished is done now", run_id)
        manifest = RunManifest(root, settings, _describe(options, engine))
        loop = _Loop(root, settings, options, engine, gate, models, progress, evidence, catalog, manifest, embedder)
        with progress, manifest:
            try:
                return loop.run()
            finally:
                project_outcomes(catalog, loop.facts)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let the garbage collector run seldom: rows of a shard are many, live long and hold no cycles."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 20)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@dataclass
class _Loop:
    root: DataRoot
    settings: Settings
    options: RunOptions
    engine: Engine
    gate: Gate
    models: ModelSource
    progress: ProgressReport
    evidence: EvidenceStore
    catalog: Catalog
    manifest: RunManifest
    embedder: EmbedSource | NotInstalled | None

    def __post_init__(self) -> None:
        self.facts = FactsStore(self.root)
        self.report = RunReport(self.manifest.run_id, self.engine.name)
        self.stages = select(self.options.stages)
        self.fingerprints: dict[str, str] = {}
        self.reprocessed: set[str] = set()
        self.left_out: set[str] = set()
        self.frames_left = self.options.max_frames
        self.server_deaths = 0
        self.server_gone = self.stopped = False
        self.projected_at = time.monotonic()

    def run(self) -> RunReport:
        started = time.monotonic()
        project_outcomes(self.catalog, self.facts)
        discover(self.evidence, self.catalog)
        while self._pass() and self.options.until_done:
            discover(self.evidence, self.catalog)
        self._refresh_index()
        self.report.elapsed_s = time.monotonic() - started
        if not self.report.worked:
            raise NothingToDo("nothing to do: everything captured so far has been processed")
        return self.report

    def _refresh_index(self) -> None:
        """Bring `stage_outcomes` and then the text index up to the catalog, unless the user is active."""
        project_outcomes(self.catalog, self.facts)
        if self.gate.ask().open and refresh_text_index(self.root, self.catalog, self._require_idle):
            self.report.indexed = True

    def _pass(self) -> bool:
        """Go once over all stages. Tells whether another pass may find work: something was done, or can be retried."""
        worked = False
        for stage in self.stages:
            started, before = time.monotonic(), self._done(stage)
            try:
                did = self._samples(stage) if stage.scope == "sample" else self._days(stage)
                worked = worked or did
            finally:
                counts = self._done(stage) - before
                if counts:
                    elapsed_s = time.monotonic() - started
                    self.manifest.stage(stage.name, self.fingerprints[stage.name], dict(counts), elapsed_s)
        return worked or (self.options.until_done and self._wait_for_retry())

    def _done(self, stage: Stage) -> Counter[str]:
        if stage.scope == "day":
            return Counter({DAYS: self.report.days[stage.name]})
        return Counter(self.report.samples.get(stage.name, ()))

    def _samples(self, stage: Stage) -> bool:
        """Take what is pending; a server that died is started again, and what it had not answered taken again."""
        worked = False
        while True:
            deaths = self.server_deaths
            worked = self._samples_once(stage) or worked
            if self.server_deaths == deaths:
                return worked

    def _samples_once(self, stage: Stage) -> bool:
        if self._limit(stage) == 0:
            return False
        fingerprint, model = None if stage.model else stage.fingerprint(), None
        redo = bool(stage.model) and self.options.reprocess and stage.name not in self.reprocessed
        pending = self.catalog.pending(stage.name, stage.record_type, fingerprint, _now_us())
        if stage.model and (pending or redo):
            if stage.model == EMBED and not self._can_embed(stage, len(pending)):
                return False
            self._require_idle()
            model = self._model(stage)
            self.manifest.content["models"][stage.model] = model.identity.model_dump()
            fingerprint = stage.fingerprint(model.identity)
            if redo:
                pending = self.catalog.pending(stage.name, stage.record_type, fingerprint, _now_us(), parked_too=True)
                self.reprocessed.add(stage.name)
        limit = self._limit(stage)
        if limit is not None:
            pending = pending[:limit]
            self.frames_left = limit - len(pending)
        if not pending or fingerprint is None:
            return False
        self._require_idle()
        self.fingerprints[stage.name] = fingerprint
        self.progress.start(stage.name, len(pending))
        sizer = ShardSizer(stage, self.settings.shard_frames, self.settings.shard_seconds)
        self._work(stage, cut_shards(pending, sizer.size), sizer, fingerprint, model)
        return True

    def _limit(self, stage: Stage) -> int | None:
        """How many samples a stage may take; only frames that go to models are counted."""
        return self.frames_left if stage.model and stage.record_type == FRAME else None

    def _can_embed(self, stage: Stage, pending: int) -> bool:
        """Embedding is optional: where it was not installed this is said once. Raises NotInstalled if asked for it."""
        if isinstance(self.embedder, NotInstalled):
            if stage.name in self.options.stages:
                raise self.embedder
            if stage.name not in self.left_out and pending:
                log.warning("%d spans wait for their embedding, all else is done: %s", pending, self.embedder)
            self.left_out.add(stage.name)
        return callable(self.embedder)

    def _model(self, stage: Stage) -> TextModel | EmbedModel:
        if stage.model != EMBED:
            return self.models(stage.model)
        assert callable(self.embedder)  # that is what was asked before
        return self.embedder(stage.name)

    def _shard_results(
        self, stage: Stage, shards: Iterator[Shard], model: TextModel | EmbedModel | None
    ) -> Iterator[ShardResult]:
        if isinstance(model, EmbedModel):
            return embed_shards(stage, shards, model, self.facts, __version__)
        return self.engine.run(stage, shards, model, __version__)

    def _work(
        self, stage: Stage, shards: Iterator[Shard], sizer: ShardSizer, fingerprint: str,
        model: TextModel | EmbedModel | None,
    ) -> None:  # fmt: skip
        """Commit what the engine yields. Others may be at work when one shard ends early: they are still waited for."""
        self.server_gone = self.stopped = False
        for result in self._shard_results(stage, self._while_idle(shards), model):
            counts = commit_shard(
                stage, result, fingerprint, self.catalog, self.facts, self.settings, _now_us()
            )  # fmt: skip
            self.report.samples.setdefault(stage.name, Counter()).update(counts)
            sizer.measured(len(result.batch.results), result.elapsed_s)
            self.progress.advance(counts.total())
            self._project_now_and_then()
            if result.server_gone:
                self.server_gone = True
            elif counts.total() < len(result.shard.samples):
                self.stopped = True
        if self.stopped:
            self._stopped_early()
        if self.server_gone:
            self._server_died(stage)

    def _project_now_and_then(self) -> None:
        """Many small hours would otherwise cost two files each; readers see outcomes at most this much later."""
        if time.monotonic() - self.projected_at > PROJECT_EVERY_S:
            project_outcomes(self.catalog, self.facts)
            self.projected_at = time.monotonic()

    def _while_idle(self, shards: Iterator[Shard]) -> Iterator[Shard]:
        for shard in shards:
            if self.server_gone or self.stopped:
                return
            self._require_idle()
            yield shard

    def _days(self, stage: Stage) -> bool:
        fingerprint = self.fingerprints[stage.name] = stage.fingerprint()
        pending = self.catalog.pending_days(stage.name, stage.sources, fingerprint)
        if not pending:
            return False
        self.progress.start(stage.name, len(pending))
        for run_id, day, inputs in pending:
            self._require_idle()
            rows, hours = build_day(stage, run_id, day, self.facts, self.evidence, self.catalog)
            self.facts.replace_day(stage.table, run_id, day, stage.name, rows, hours)
            with self.catalog.transaction():
                self.catalog.record_day(stage.name, run_id, day, fingerprint, inputs, rows.num_rows)
                if stage.gives:
                    takers = [item.name for item in STAGES if item.record_type == stage.gives]
                    samples = given_samples(stage, run_id, day, rows, hours)
                    self.catalog.replace_samples(stage.gives, run_id, day, samples, takers)
            self.report.days[stage.name] += 1
            self.progress.advance(1)
        return True

    def _require_idle(self) -> None:
        verdict = self.gate.ask()
        if not verdict.open:
            raise Blocked(
                f"stopped: {verdict.reason}",
                remedy="it goes on when run again while the user is idle; --assume-idle-when-missing helps only where"
                " there is no signal at all",
            )

    def _stopped_early(self) -> None:
        """The gate closed while a shard was worked on: the run is over, also when it has opened again since."""
        self._require_idle()
        raise Blocked("stopped: the user was active for a moment", remedy="it goes on when run again")

    def _server_died(self, stage: Stage) -> None:
        self.server_deaths += 1
        log.warning("the %s server died; it is started again", stage.model)
        if self.server_deaths > MAX_SERVER_DEATHS:
            raise Unavailable(
                f"the {stage.model} server died {self.server_deaths} times",
                remedy=f"read {self.root.logs / (stage.model + '.log')}; pipeline doctor says more",
            )

    def _wait_for_retry(self) -> bool:
        """Sleep until a failed sample may be tried again; False when there is none."""
        due_us = self.catalog.next_retry_us([stage.name for stage in self.stages])
        if due_us is None or self.frames_left == 0:
            return False
        while (left_s := (due_us - _now_us()) / 1e6) > 0:
            time.sleep(min(left_s, 0.5))
            self._require_idle()
        return True


def _now_us() -> int:
    return time.time_ns() // 1000


def _describe(options: RunOptions, engine: Engine) -> dict[str, object]:
    return {
        "engine": engine.name,
        "until_done": options.until_done,
        "stages": list(options.stages),
        "reprocess": options.reprocess,
        "max_frames": options.max_frames,
    }
