"""What is published for questions: since when, and whether the facts have moved on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Published:
    """An index that questions read. `built_us` is None where there is none that can be used."""

    built_us: int | None
    up_to_date: bool


def published_at_us(path: Path) -> int:
    """When a file was published, in microseconds since 1970. Raises OSError."""
    return path.stat().st_mtime_ns // 1000
