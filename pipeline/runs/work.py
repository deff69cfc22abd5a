"""What a run works with, what it has done so far, and whether it may go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.dag import select
from pipeline.dataroot import DataRoot
from pipeline.engines.shards import Engine, Model
from pipeline.engines.spans import EmbedModel
from pipeline.errors import DamagedFactFile, NotInstalled
from pipeline.gate import Gate
from pipeline.runs.commit import project_outcomes
from pipeline.runs.full_profile import FULL, require_full
from pipeline.runs.heal import Healer
from pipeline.runs.interruption import closed
from pipeline.runs.manifest import RunManifest
from pipeline.runs.progress import ProgressReport
from pipeline.runs.quiet import quiet_servers
from pipeline.runs.report import RunOptions, RunReport
from pipeline.runs.watch import NOBODY_WATCHES, Watch
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.facts import FactsStore

PROJECT_EVERY_S = 10.0
"""How long `stage_outcomes` may stay behind the catalog while a run works; at its end it is up to date."""

ModelSource = Callable[[str], Model]
"""Gets a model ready by its kind: starts or adopts its server, or finds its endpoint. Raises Unavailable."""

EmbedSource = Callable[[str], EmbedModel]
"""Gets the embedding model ready for a stage; what is in that stage's records is not asked for again. Raises
Unavailable."""


@dataclass
class Work:
    """One run: its stores, its terms and its report. Times of the run's own clock are microseconds since 1970."""

    root: DataRoot
    settings: Settings
    options: RunOptions
    engine: Engine
    gate: Gate
    models: ModelSource
    embedder: EmbedSource | NotInstalled | None
    progress: ProgressReport
    evidence: EvidenceStore
    catalog: Catalog
    manifest: RunManifest
    now_us: Callable[[], int]
    watch: Watch = NOBODY_WATCHES
    fingerprints: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.facts = FactsStore(self.root)
        self.stages = select(self.options.stages)
        self.healer = Healer(self.root, self.catalog)
        self.report = RunReport(self.manifest.run_id, self.engine.name, healed=self.healer.healed)
        self.manifest.content.update(indexes=self.report.renewed, healed=self.healer.healed)
        self._projected_at = time.monotonic()
        self._models_there = False
        self._was_closed = threading.Event()

    def stop(self) -> None:
        """The gate has closed: the run is over, also when it opens again. For the gate's thread."""
        self._was_closed.set()
        self.watch.preempted()
        self.engine.quiet()
        quiet_servers(self.root)

    def require_idle(self) -> None:
        """Ask the gate, and whether there is memory left.

        Raises Blocked when the gate is closed, or was since the run began, and Unavailable.
        """
        require_idle(self.gate)
        if self._was_closed.is_set():
            raise closed(self.gate.ask())
        self.watch.require_room()

    @property
    def has_vlm(self) -> bool:
        """Whether the profile asks for a VLM."""
        return self.settings.profile == FULL

    def require_models(self) -> None:
        """Check, once and before any work, that nothing is missing that the profile asks for. Raises Unavailable."""
        if self.has_vlm and not self._models_there:
            require_full(self.settings)
        self._models_there = True

    def begin(self) -> None:
        """What follows is work: from here on the run leaves a manifest.

        Raises Blocked unless the user is idle, Unavailable when something is missing that the profile asks for.
        """
        self.require_idle()
        self.require_models()
        self.manifest.begin()

    def heal(self, error: DamagedFactFile) -> None:
        """Have what a damaged fact file held made again. Raises the error when that did not help before."""
        self.manifest.begin()
        self.healer.damaged(error)

    def project(self) -> None:
        """Bring `stage_outcomes` up to the catalog."""
        project_outcomes(self.catalog, self.facts)
        self._projected_at = time.monotonic()

    def project_now_and_then(self) -> None:
        """Many small hours would otherwise cost two files each; readers see outcomes at most this much later."""
        if time.monotonic() - self._projected_at > PROJECT_EVERY_S:
            self.project()


def require_idle(gate: Gate) -> None:
    """Ask the gate. Raises Blocked unless it is open."""
    verdict = gate.ask()
    if not verdict.open:
        raise closed(verdict)
