"""What a run is asked to do, and what it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pipeline.stores.catalog import PARKED


@dataclass(frozen=True)
class RunOptions:
    """What a run is asked to do.

    `engine_model` is the name of the model that its stages ask; `beside` says that it is not the one in use, so that
    its outcomes are kept beside and nothing is built from them.
    """

    until_done: bool = False
    stages: tuple[str, ...] = ()
    reprocess: bool = False
    max_frames: int | None = None
    engine_model: str = ""
    beside: bool = False
    retry_failed: bool = False


@dataclass
class RunReport:
    """What a run did: samples by stage and status, days built, which indexes were renewed and when, what was healed."""

    run_id: str
    engine: str
    samples: dict[str, Counter[str]] = field(default_factory=dict)
    days: Counter[str] = field(default_factory=Counter)
    renewed: dict[str, str] = field(default_factory=dict)
    healed: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    @property
    def indexed(self) -> bool:
        """Whether the text index was renewed."""
        return "text_index" in self.renewed

    @property
    def worked(self) -> bool:
        """Whether anything was done."""
        return any(self.samples.values()) or any((self.days, self.renewed, self.healed))

    def counted(self) -> dict[str, dict[str, int]]:
        """What was done, by stage and status; `days` are those that were built."""
        days = {stage: {"days": number} for stage, number in self.days.items() if number}
        return {**{stage: dict(counts) for stage, counts in self.samples.items() if counts}, **days}

    @property
    def parked(self) -> int:
        """How many samples were given up."""
        return sum(counts[PARKED] for counts in self.samples.values())
