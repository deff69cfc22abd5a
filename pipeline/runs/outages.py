"""Deaths of model servers during a run: a pause, not a failure of samples, unless one sample is shown to be the cause.

died with a, b, c, d ─▶ started again ─▶ a alone ─▶ answered: not a
                                         b alone ─▶ died: perhaps b
                                         c alone, d alone, then the rest ─▶ answered: the server works
                                         b alone ─▶ died: b
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import tenacity

from pipeline.stores.catalog import Sample

DEATHS_TO_BLAME = 2
"""How often a server must die with a sample alone before that sample is blamed."""
RESTART_WAIT = tenacity.wait_exponential(multiplier=0.25, max=8.0)
"""How long to wait before a server that died is started again: a quarter of a second, then twice as long each time."""


@dataclass
class _Suspect:
    """A sample that was with a server that died."""

    deaths_alone: int = 0
    server_works: bool = False
    """Whether other samples were answered since the server first died with this one alone."""


class Outages:
    """What is known of the deaths of one run's servers; samples are named by stage and id."""

    def __init__(self) -> None:
        self.deaths = 0
        self.in_a_row = 0
        """Deaths since a sample was last answered, or since the last one that a sample was blamed for."""
        self._suspects: dict[tuple[str, str], _Suspect] = {}

    def suspects(self, stage: str) -> frozenset[str]:
        """The samples of a stage that were with a server that died."""
        return frozenset(sample for of, sample in self._suspects if of == stage)

    def order(self, stage: str, pending: Iterable[Sample]) -> tuple[list[Sample], list[Sample]]:
        """Pick suspects: those to be read alone before all others, and the likely causes, to be read alone at last."""
        first: list[Sample] = []
        last: list[Sample] = []
        for sample in pending if self.suspects(stage) else ():
            suspect = self._suspects.get((stage, sample.sample_id))
            if suspect is not None:
                (first if suspect.deaths_alone == 0 else last).append(sample)
        return first, last

    def answered(self, stage: str, samples: Sequence[str]) -> None:
        """A server answered these samples: it works, and they are not what it dies of."""
        if not samples:
            return
        self.in_a_row = 0
        for sample in samples:
            self._suspects.pop((stage, sample), None)
        for (of, _), suspect in self._suspects.items():
            suspect.server_works = suspect.server_works or of == stage

    def died(self, stage: str, with_server: Sequence[str], *, alone: bool) -> list[str]:
        """A server died while it had these samples, or one `alone`; returns the samples to blame for it."""
        self.deaths += 1
        self.in_a_row += 1
        for sample in with_server:
            suspect = self._suspects.setdefault((stage, sample), _Suspect())
            if not alone:
                continue
            suspect.deaths_alone += 1
            if suspect.deaths_alone == 1:
                suspect.server_works = False
            if suspect.deaths_alone >= DEATHS_TO_BLAME and suspect.server_works:
                self.in_a_row = 0
                return [sample]
        return []


def wait_s(attempt: int, wait: tenacity.wait.wait_base) -> float:
    """How many seconds to wait after so many attempts in a row."""
    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = attempt
    return float(wait(state))
