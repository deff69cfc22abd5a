"""What a run is asked to do, and what it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pipeline.stores.catalog import PARKED


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked to do."""

    until_done: bool = False
    stages: tuple[str, ...] = ()
    reprocess: bool = False
    max_frames: int | None = None


@dataclass
class RunReport:
    """What a run did: samples by stage and status, days built, whether the index was, and how long it took."""

    run_id: str
    engine: str
    samples: dict[str, Counter[str]] = field(default_factory=dict)
    days: Counter[str] = field(default_factory=Counter)
    indexed: bool = False
    elapsed_s: float = 0.0

    @property
    def worked(self) -> bool:
        """Whether anything was done."""
        return any(self.samples.values()) or bool(self.days) or self.indexed

    @property
    def parked(self) -> int:
        """How many samples were given up."""
        return sum(counts[PARKED] for counts in self.samples.values())
