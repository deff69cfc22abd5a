"""What a run and Ray's driver, a process of its own, say to each other: pickles, through a pair of sockets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.engines.ray_work import Job


@dataclass(frozen=True, slots=True)
class Start:
    """The first word: start a Ray with so many processors that writes below `place`, or join the one at `address`."""

    place: Path | None
    cpus: int
    address: str
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wave:
    """Have shards worked on; `descriptors` are what `ray_results.describe` made of them."""

    number: int
    job: Job
    descriptors: Sequence[Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Check:
    """Say again, after a stop, that all is well."""

    number: int


@dataclass(frozen=True, slots=True)
class Ready:
    """Ray is there and may be: on this node the driver is, so many processes may work at once, in all and on a node.

    `answers` is the number of the check; that of the start is 0.
    """

    answers: int
    node: str
    workers: int
    workers_of_a_node: int


@dataclass(frozen=True, slots=True)
class Rows:
    """An Arrow stream of what workers made of shards of a wave, a table of `ray_results.RESULT`."""

    wave: int
    stream: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """All of a wave is worked on, and Ray is still where it may be."""

    wave: int


@dataclass(frozen=True, slots=True)
class Failed:
    """What went wrong; the last word."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Ended:
    """Said for it: nothing is left of the driver and of what it started."""


Asked = Wave | Check | None
"""What a run asks for; None is that it wants no more."""

Said = Ready | Rows | Done | Failed | Ended
"""What the driver says."""
