"""What an intent works with, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from pipeline.query.check import Claim
from pipeline.query.evidence import Evidence
from pipeline.query.near_spans import Meaning
from pipeline.query.plan import Plan
from pipeline.query.programs import Program, program_name
from pipeline.stores.text_index import TextIndex
from schemas.fields import from_utc_microseconds, utc_microseconds


@dataclass(frozen=True)
class Desk:
    """What can be read while a question is answered, and how times are written."""

    index: TextIndex
    evidence: Evidence
    zone: tzinfo
    programs: Sequence[Program]
    meaning: Meaning
    program_filter: str | None = None

    def allows(self, app: str | None) -> bool:
        """Whether a program passes the filter that was asked for."""
        return self.program_filter is None or app == self.program_filter

    def name(self, app: str | None, path: str | None) -> str:
        """What people call a program."""
        return program_name(app, path or "") if app else "an unknown program"

    def when(self, moment_us: int) -> str:
        """A moment in the zone of the question."""
        moment = from_utc_microseconds(moment_us).astimezone(self.zone)
        return f"{moment:%Y-%m-%d %H:%M:%S} {self._zone_name(moment)}"

    def day(self, moment_us: int) -> str:
        """A date in the zone of the question."""
        return f"{from_utc_microseconds(moment_us).astimezone(self.zone):%Y-%m-%d}"

    def clock(self, moment_us: int) -> str:
        """Hours and minutes in the zone of the question."""
        return f"{from_utc_microseconds(moment_us).astimezone(self.zone):%H:%M}"

    def between(self, start_us: int, end_us: int) -> str:
        """A stretch in words."""
        return f"from {self.when(start_us)} to {self.when(end_us)}"

    def start_of(self, unit: str, later: int = 0) -> Callable[[int], int]:
        """A function that gives the start of the full `hour` or `day` of a moment, or of one so many later."""

        def start(moment_us: int) -> int:
            moment = from_utc_microseconds(moment_us).astimezone(self.zone)
            begun = moment.replace(minute=0, second=0, microsecond=0)
            if unit == "day":
                return utc_microseconds(begun.replace(hour=0) + timedelta(days=later))
            return utc_microseconds(begun.astimezone(UTC) + timedelta(hours=later))

        return start

    def _zone_name(self, moment: datetime) -> str:
        return "UTC" if self.zone is UTC else (moment.tzname() or str(self.zone))


@dataclass(frozen=True)
class Found:
    """Claims to be checked; `headline` says how many of the first make the summary.

    `leans_on` is what a negative answer needs to have been processed: `line_tracks` (text) or `frames` (all else).
    """

    claims: list[Claim] = field(default_factory=list)
    nothing: str = "no evidence was found"
    leans_on: str = "frames"
    headline: int = 1
    parts: tuple[str, ...] = ()


Answering = Callable[[Plan, Desk], Found]


def not_understood(plan: Plan, desk: Desk) -> Found:  # noqa: ARG001 an answering function
    """No answer to a question that would be answered wrongly if what is not understood were left out."""
    return Found(nothing=f"the question is not understood: {plan.unclear}")


def plural(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def minutes(length_us: int) -> str:
    """A duration in minutes, or seconds when it is short."""
    seconds = length_us / 1_000_000
    return plural(round(seconds), "second") if seconds < 90 else plural(round(seconds / 60), "minute")
