"""What was measured at each onset, kept in a file as it comes: one call of the benchmark goes on with another's."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

WINDOW_MS = 100
_LATEST = 5


class Figures:
    """Onsets, and rounds that were read to their end: one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._told: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def tell(self, **what: object) -> None:
        """Keep one figure."""
        self._told.append(what)
        with self._path.open("a") as stream:
            stream.write(json.dumps(what) + "\n")

    @property
    def onsets(self) -> int:
        """How many there were."""
        return len(self._all("quiet_ms"))

    @property
    def rounds(self) -> int:
        """How many were read to their end."""
        return len(self._all("fact_files"))

    @property
    def differ(self) -> int:
        """How many fact files hold other rows than those of the run in peace."""
        return sum(self._all("fact_files_that_differ"))

    def summary(self) -> dict[str, Any]:
        """All figures together; times are until the beginning of the first quiet window, unless they say otherwise."""
        quiet_ms, rays = sorted(self._all("quiet_ms")), self._all("rays_own_share_of_a_core")
        latest = sorted((item for item in self._told if "quiet_ms" in item), key=lambda item: -int(item["quiet_ms"]))
        return {
            "onsets": len(quiet_ms),
            "quiet_ms": _spread(quiet_ms),
            "until_the_quiet_window_was_over_ms": _spread([item + WINDOW_MS for item in quiet_ms]),
            "over_300_ms": sum(item > 300 for item in quiet_ms),
            "over_1000_ms": sum(item > 1000 for item in quiet_ms),
            "quiet_for_a_moment_only": sum(self._all("quiet_for_a_moment_only")),
            "latest": latest[:_LATEST],
            "work_again_ms_median": round(statistics.median(self._all("work_again_ms") or [0])),
            "rays_own_share_of_a_core": round(statistics.mean(rays), 4) if any(rays) else None,
            "by_what_ray_did": self._by_what_ray_did(),
            "rounds_read_to_their_end": self.rounds,
            "fact_files_compared": sum(self._all("fact_files")),
            "fact_files_that_differ": self.differ,
        }

    def _by_what_ray_did(self) -> dict[str, Any]:
        told: dict[str, list[int]] = {}
        for item in self._told:
            if "ray_is" in item:
                told.setdefault(item["ray_is"], []).append(item["quiet_ms"])
        return {what: {"onsets": len(ms), **_spread(sorted(ms))} for what, ms in sorted(told.items())}

    def _all(self, name: str) -> list[Any]:
        return [item[name] for item in self._told if name in item]


def _spread(ms: list[int]) -> dict[str, int]:
    if not ms:
        return {}
    p95, p99 = (ms[min(len(ms) - 1, int(share * len(ms)))] for share in (0.95, 0.99))
    return {"median": round(statistics.median(ms)), "p95": p95, "p99": p99, "max": ms[-1]}
