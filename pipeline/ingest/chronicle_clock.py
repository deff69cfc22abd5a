"""Ticks of a recorder's performance counter, as UTC `[handoff-9]`."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ContractInvalid
from schemas.fields import from_utc_microseconds

REMEDY = "have the recorder write manifest.json again (docs/chronicle.md); the session was left as it is"
FARTHEST_S = 24 * 3600

_NS = 1_000_000_000
_FASTEST_HZ = 10**12
_JITTER_NS = 50_000_000
_DRIFT_PARTS = 100
_FIRST_NS, _LAST_NS = 946_684_800 * _NS, 4_133_980_800 * _NS  # 2000-01-01 to 2101-01-01


@dataclass(frozen=True, slots=True)
class Anchor:
    """One moment on both clocks."""

    qpc_ticks: int
    unix_ns: int


class SessionClock:
    """Turns ticks into microseconds of UTC, in whole numbers only.

        anchor ───────────── anchor ──────────────── anchor ─ ─ ─ ─
               interpolated          interpolated           at the nominal frequency

    Between two anchors the drift is spread evenly, unless they disagree with the counter by more than 1 % and 50 ms:
    then somebody set the clock, and the time runs on from the earlier anchor at the nominal frequency.
    """

    def __init__(self, anchors: Sequence[Anchor], frequency_hz: int) -> None:
        """Raises ContractInvalid for anchors or a frequency that tell no time."""
        if not 0 < frequency_hz <= _FASTEST_HZ:
            raise ContractInvalid("manifest.json: qpc_frequency_hz is no frequency", remedy=REMEDY)
        if not anchors:
            raise ContractInvalid(
                "manifest.json ties the counter to no UTC time; expected start_unix_ns or clock_anchors", remedy=REMEDY
            )
        self._anchors = sorted(anchors, key=lambda anchor: anchor.qpc_ticks)
        self._ticks = [anchor.qpc_ticks for anchor in self._anchors]
        self._frequency = frequency_hz
        if len(set(self._ticks)) < len(self._ticks):
            raise ContractInvalid("manifest.json: two clock_anchors have the same ticks", remedy=REMEDY)
        if any(not _FIRST_NS <= anchor.unix_ns < _LAST_NS for anchor in anchors):
            raise ContractInvalid("manifest.json: a clock anchor lies outside the years 2000 to 2100", remedy=REMEDY)

    @property
    def was_set(self) -> bool:
        """Whether the wall clock was set during the session."""
        pairs = zip(self._anchors, self._anchors[1:], strict=False)
        return any(not self._agree(earlier, later) for earlier, later in pairs)

    def utc_microseconds(self, ticks: int) -> int | None:
        """The moment of some ticks, in µs since 1970; None when they lie more than a day from every anchor."""
        index = bisect_right(self._ticks, ticks) - 1
        earlier = self._anchors[max(index, 0)]
        elapsed = ticks - earlier.qpc_ticks
        if 0 <= index < len(self._anchors) - 1:
            later = self._anchors[index + 1]
            if self._agree(earlier, later):
                span = later.qpc_ticks - earlier.qpc_ticks
                return (earlier.unix_ns + elapsed * (later.unix_ns - earlier.unix_ns) // span) // 1000
        if abs(elapsed) > FARTHEST_S * self._frequency:
            return None
        return (earlier.unix_ns + elapsed * _NS // self._frequency) // 1000

    def _agree(self, earlier: Anchor, later: Anchor) -> bool:
        counted = (later.qpc_ticks - earlier.qpc_ticks) * _NS // self._frequency
        return abs(later.unix_ns - earlier.unix_ns - counted) <= counted // _DRIFT_PARTS + _JITTER_NS


def moment_text(microseconds: int) -> str:
    """Write µs since 1970 as ISO-8601 UTC with microseconds and `Z`."""
    return from_utc_microseconds(microseconds).isoformat(timespec="microseconds").replace("+00:00", "Z")
