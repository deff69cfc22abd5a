"""Sample stages in a run: what is pending is cut into shards, handed to the engine, and committed as it comes back."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TypeVar

from pipeline import __version__
from pipeline.dag import Stage
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import Engine, Model, ScreenModel, Shard, ShardResult
from pipeline.engines.spans import EmbedModel, embed_shards
from pipeline.errors import Blocked, DamagedFactFile, NotInstalled, Unavailable
from pipeline.runs.commit import commit_shard
from pipeline.runs.full_profile import NO_VLM
from pipeline.runs.idle_window import IdleWindow
from pipeline.runs.interruption import while_open
from pipeline.runs.known_records import known_results
from pipeline.runs.outages import RESTART_WAIT, Outages, wait_s
from pipeline.runs.pace import PaceMeter
from pipeline.runs.quiet import quiet_servers
from pipeline.runs.servers import MOST_DEATHS
from pipeline.runs.sizing import ShardSizer, cut_shards, one_each, up_to
from pipeline.runs.turns import Turns
from pipeline.runs.work import Work
from pipeline.stages.batch import Batch, SampleResult
from pipeline.stores.catalog import Catalog
from pipeline.stores.counts import count_samples
from pipeline.stores.fingerprints import MadeBy, note_fingerprint
from pipeline.stores.other_models import BesideOutcomes, note_engine_model
from pipeline.stores.pending import Pending, pending
from schemas.arrow import table_schema
from schemas.serving import SampleFailure

_BLAMED = SampleFailure("server_gone", "the model server died each time it had this sample", retryable=True)
_PAUSE_S = 0.25
Started = TypeVar("Started")

EMBED = "embed"
VLM = "vlm"

Outcomes = Catalog | BesideOutcomes
"""Where what became of samples is written: the catalog's own table, or beside it."""

log = logging.getLogger("pipeline")


@dataclass
class SampleStages:
    """Works on the sample stages of one run; remembers what holds for all of it: limits, deaths, what was redone."""

    work: Work
    frames_left: int | None
    reprocessed: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    beside: dict[str, BesideOutcomes] = field(default_factory=dict)
    outages: Outages = field(default_factory=Outages)
    server_gone: bool = False
    stopped: bool = False

    def __post_init__(self) -> None:
        self.window = IdleWindow(self.work.root, self.work.settings, self.work.catalog, self.work.now_us)

    def take(self, stage: Stage) -> bool:
        """Take what is pending, and tell whether there was anything. Raises Blocked, Unavailable, ContractInvalid.

        A server that died is started again, and what it had not answered taken again. So is what a damaged fact file
        held that came up meanwhile: the next stage finds all of the hour.
        """
        worked = False
        while True:
            before = self.outages.deaths, len(self.work.healer.healed)
            worked = self._take_once(stage) or worked
            if before == (self.outages.deaths, len(self.work.healer.healed)):
                return worked

    def _take_once(self, stage: Stage) -> bool:
        if self._limit(stage) == 0:
            return False
        if self.work.options.beside and stage.model:
            return self._take_beside(stage)
        fingerprint, model = None if stage.model else stage.fingerprint(), None
        redo = bool(stage.model) and self.work.options.reprocess and stage.name not in self.reprocessed
        pending = self._pending(stage, fingerprint)
        if stage.model and (pending or redo):
            if not self._may_ask(stage, pending.count):
                return False
            model, fingerprint = self._ready(stage)
            if redo:
                pending = self._pending(stage, fingerprint)
                self.reprocessed.add(stage.name)
            if isinstance(model, ScreenModel) and self._take_known(stage, pending, fingerprint, model):
                pending = self._pending(stage, fingerprint if redo else None)
        if fingerprint is None:
            return False
        return self._work_on(stage, pending, fingerprint, model, self.work.catalog)

    def _take_beside(self, stage: Stage) -> bool:
        """Have a model that is not the one in use take what it has not taken yet."""
        if not count_samples(self.work.catalog, stage.record_type):
            return False
        model, fingerprint = self._ready(stage)
        beside = BesideOutcomes(self.work.catalog, fingerprint)
        if self.work.options.retry_failed and stage.name not in self.beside:
            beside.retry_failed(stage.name)
        self.beside[stage.name] = beside
        pending = beside.pending(stage.name, stage.record_type, self.work.now_us())
        return self._work_on(stage, pending, fingerprint, model, beside)

    def next_retry_us(self) -> int | None:
        """When the next failed sample of this run's stages may be tried again, in microseconds since 1970."""
        if not self.work.options.beside:
            return self.work.catalog.next_retry_us([stage.name for stage in self.work.stages])
        due = (outcomes.next_retry_us(stage) for stage, outcomes in sorted(self.beside.items()))
        return min((moment for moment in due if moment is not None), default=None)

    def _ready(self, stage: Stage) -> tuple[Model | EmbedModel, str]:
        """Get a stage's model ready; gives the stage's fingerprint with it. Raises Blocked, Unavailable."""
        self.work.require_idle()
        model = self._model(stage)
        self.work.manifest.content["models"][stage.model] = model.identity.model_dump()
        prompt_hash = model.prompt.sha256 if isinstance(model, ScreenModel) else ""
        if prompt_hash:
            self.work.manifest.content["prompts"][stage.name] = prompt_hash
        fingerprint = stage.fingerprint(model.identity, prompt_hash)
        made_by = MadeBy(stage.config_hash, model.identity.model_id, model.identity.model_digest, prompt_hash)
        note_fingerprint(self.work.catalog, stage.name, fingerprint, made_by)
        if stage.model not in (EMBED, VLM):
            note_engine_model(self.work.catalog, stage.name, fingerprint, self.work.options.engine_model)
        return model, fingerprint

    def _work_on(
        self, stage: Stage, pending: Pending, fingerprint: str, model: Model | EmbedModel | None, outcomes: Outcomes
    ) -> bool:
        if not pending:
            return False
        work, limit = self.work, self._limit(stage)
        work.begin()
        work.fingerprints[stage.name] = fingerprint
        work.progress.start(stage.name, pending.count if limit is None else min(limit, pending.count))
        for sample in pending.load(pending.days[-1])[:1]:
            work.watch.waiting_since(sample.ts_us)
        sizer = ShardSizer(stage, work.settings.shard_frames, work.settings.shard_seconds)
        suspects, (first, last) = self.outages.suspects(stage.name), self.outages.order(stage.name, pending)
        turns = Turns(work.catalog, stage.name, work.settings.oldest_share if stage.model else 0.0)
        usual = turns.shards(pending, sizer.size, lambda sample: sample.sample_id not in suspects)
        self.server_gone = self.stopped = False
        for alone, shards in ((True, cut_shards(first, one_each)), (False, usual), (True, cut_shards(last, one_each))):
            head = None if self.server_gone else next(shards, None)
            if head is not None:
                engine = LocalEngine(work.root) if alone else work.engine
                limited = up_to(chain([head], shards), self._limit(stage))
                self._run(stage, self._results(stage, engine, limited, model), sizer, turns, fingerprint, outcomes)
        return True

    def _pending(self, stage: Stage, fingerprint: str | None) -> Pending:
        return pending(self.work.catalog, stage.name, stage.record_type, fingerprint, self.work.now_us())

    def _limit(self, stage: Stage) -> int | None:
        """How many samples a stage may take; only frames that go to models are counted."""
        return self.frames_left if stage.reads_pictures else None

    def _may_ask(self, stage: Stage, pending: int) -> bool:
        """Whether there is a model for a stage. Raises Unavailable where there is none for one asked for by name."""
        if not self.window.has_room(stage.name):
            return False
        if stage.model == EMBED:
            return self._can_embed(stage, pending)
        if stage.model == VLM and not self.work.has_vlm:
            if stage.name in self.work.options.stages:
                self.work.require_idle()  # a user at the keyboard counts for more than what is missing
                raise Unavailable(f"{stage.name} needs a VLM; {NO_VLM}", remedy="pipeline run --profile full")
            return False
        return True

    def _take_known(self, stage: Stage, pending: Pending, fingerprint: str, model: Model) -> bool:
        """Take what the model has said before from its records; tells whether there was any. Raises Blocked."""
        counts: Counter[str] = Counter()
        for result in known_results(stage, pending, model, self.work.facts):
            self.work.begin()
            self.work.fingerprints[stage.name] = fingerprint
            counts += self._commit(stage, result, fingerprint, self.work.catalog)
        self.work.report.samples.setdefault(stage.name, Counter()).update(counts)
        return bool(counts)

    def _can_embed(self, stage: Stage, pending: int) -> bool:
        """Embedding is optional: where it was not installed this is said once. Raises NotInstalled if asked for it."""
        embedder = self.work.embedder
        if isinstance(embedder, NotInstalled):
            if stage.name in self.work.options.stages:
                self.work.require_idle()
                raise embedder
            if stage.name not in self.left_out and pending:
                log.warning("%d spans wait for their embedding, all else is done: %s", pending, embedder)
            self.left_out.add(stage.name)
        return callable(embedder)

    def _model(self, stage: Stage) -> Model | EmbedModel:
        if stage.model != EMBED:
            return self._started(lambda: self.work.models(stage.model))
        embedder = self.work.embedder
        assert callable(embedder)  # that is what was asked before
        return self._started(lambda: embedder(stage.name))

    def _started(self, start: Callable[[], Started]) -> Started:
        """Have a server started, which loads its model, or found. Raises Blocked when the gate closes meanwhile."""
        try:
            return start()
        except Blocked:
            quiet_servers(self.work.root)  # it was told to go on since the gate closed
            raise

    def _run(
        self, stage: Stage, results: Iterator[ShardResult], sizer: ShardSizer, turns: Turns, fingerprint: str,
        outcomes: Outcomes,
    ) -> None:  # fmt: skip
        """Commit what the engine yields. Others may be at work when one shard ends early: they are still waited for."""
        died: list[ShardResult] = []
        pace = PaceMeter(self.work.catalog, stage.name, fingerprint, self.work.now_us)
        try:
            for result in results:
                counts = self._commit(stage, result, fingerprint, outcomes)
                sizer.measured(len(result.batch.results), result.elapsed_s)
                self.window.worked(stage.name, result.elapsed_s)
                pace.worked(counts.total())
                turns.finished(result.shard, counts.total())
                self._note(stage, counts)
                answered = [item.sample_id for item in result.batch.results if item.failure is None]
                self.outages.answered(stage.name, answered)
                if result.server_gone:
                    died.append(result)
                    self.server_gone = True
                elif counts.total() < len(result.shard.samples):
                    self.stopped = True
        finally:
            pace.end()
            turns.remember()
        if self.stopped:
            self._stopped_early()
        if died:
            self._server_died(stage, died, fingerprint, outcomes)

    def _note(self, stage: Stage, counts: Counter[str]) -> None:
        self.work.report.samples.setdefault(stage.name, Counter()).update(counts)
        if stage.reads_pictures and self.frames_left is not None:
            self.frames_left = max(0, self.frames_left - counts.total())
        self.work.progress.advance(counts.total())
        self.work.project_now_and_then()

    def _results(
        self, stage: Stage, engine: Engine, shards: Iterator[Shard], model: Model | EmbedModel | None
    ) -> Iterator[ShardResult]:
        if isinstance(model, EmbedModel):
            return embed_shards(stage, self._while_idle(stage, shards), model, self.work.facts, __version__)
        results = engine.run(stage, self._while_idle(stage, shards), model, __version__)
        return results if model is not None else self._each_while_open(results)

    def _each_while_open(self, results: Iterator[ShardResult]) -> Iterator[ShardResult]:
        """Nobody is asked in such a shard: it ends with the gate, and is taken again as a whole."""
        while (result := while_open(self.work.gate, lambda: next(results, None))) is not None:
            yield result

    def _commit(self, stage: Stage, result: ShardResult, fingerprint: str, outcomes: Outcomes) -> Counter[str]:
        """Keep what came of a shard. A damaged file of its hour is healed first, so that no model is asked again."""
        work = self.work
        while True:
            try:
                return commit_shard(
                    stage, result, fingerprint, outcomes, work.facts, work.settings, work.now_us()
                )  # fmt: skip
            except DamagedFactFile as error:
                work.heal(error)

    def _while_idle(self, stage: Stage, shards: Iterator[Shard]) -> Iterator[Shard]:
        for shard in shards:
            if self.server_gone or self.stopped or not self.window.has_room(stage.name):
                return
            self.work.require_idle()
            yield shard

    def _stopped_early(self) -> None:
        """The gate closed while a shard was worked on: the run is over, also when it has opened again since."""
        self.work.require_idle()
        raise Blocked("stopped: the user was active for a moment", remedy="it goes on when run again")

    def _server_died(self, stage: Stage, died: list[ShardResult], fingerprint: str, outcomes: Outcomes) -> None:
        """Wait before the server is started again. Raises Unavailable when that has not helped for several times."""
        with_server = [sample for result in died for sample in result.with_server]
        alone = len(died) == 1 and len(died[0].shard.samples) == 1 == len(with_server)
        for sample_id in self.outages.died(stage.name, with_server, alone=alone):
            blamed = Batch(table_schema(stage.table).empty_table(), [SampleResult(sample_id, failure=_BLAMED)])
            self._note(stage, self._commit(stage, ShardResult(died[0].shard, blamed, 0.0), fingerprint, outcomes))
        if self.outages.in_a_row >= MOST_DEATHS:
            raise Unavailable(
                f"the {stage.model} server died {MOST_DEATHS} times in a row and is given up;"
                " what it had not read stays pending",
                remedy=f"read {self._log_of(stage)}; pipeline doctor says more",
            )
        then = "it is waited for" if stage.model == VLM else "it is started again"
        log.warning("the %s server died; %s", stage.model, then)
        over = time.monotonic() + wait_s(max(1, self.outages.in_a_row), RESTART_WAIT)
        while (left_s := over - time.monotonic()) > 0:
            self.work.require_idle()
            time.sleep(min(left_s, _PAUSE_S))

    def _log_of(self, stage: Stage) -> str:
        return "its own log" if stage.model == VLM else str(self.work.root.logs / f"{stage.model}.log")
