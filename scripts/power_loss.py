"""Cut the power during an ingest: `scripts/power_loss [--scenario S]… [--states N] [--range A:B]`.

What a real ingest told the file system is recorded (power_loss_record.py) and replayed into states that a disk could
hold after a power cut (power_loss_disk.py). In each the marker must be true from the DataRoot alone, SQLite recovering
the database for real, nothing that was there before may be lost, and the same command must end as if undisturbed. A
third of the states come from a second cut, during the run that recovers from a first. In a fifth of the others
the producer had not synced what it handed off; there only the marker is judged: what the handoff holds is not ours.
States have a fixed order and a seed of their own, so `--range` splits a run into pieces. Prints one JSON object; exits
with 1 when anything was violated. Works in memory (`--folder`), on `--jobs` processes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench_machine import describe_machine
from fault_process import can_trace
from ingest_oracle import violations_after_a_fault, violations_at_the_end
from ingest_scenarios import REPOSITORY, SCENARIOS, Workplace, commit_of, run_command
from power_loss_disk import Cut, Disk
from power_loss_record import record

_STATES_A_TASK = 50


@dataclass(frozen=True)
class Tried:
    """What became of one state."""

    cut: Cut
    digest: str
    is_marked: bool
    violations: list[str]


class PowerLoss:
    """An ingest that was recorded, to be cut as often as wanted; works in the workplace's `base`."""

    def __init__(self, workplace: Workplace, prepare: Callable[[], object] = lambda: None) -> None:
        """Record the command over what lies in `base`; `prepare` runs before it in its process."""
        self._workplace = workplace
        self._originals = {
            path
            for name in workplace.truth.handoffs
            for path in (workplace.base / name).rglob("*")
            if path.is_file() and _is_original(workplace, path)
        }
        recording = record(workplace, prepare)
        self._disk = Disk(recording, list(workplace.truth.handoffs))
        self._places = {
            node: place for path, node in recording.before.walk() if (place := workplace.base / path) in self._originals
        }

    def draw(self, seed: str) -> Cut:
        """Draw a power cut."""
        return self._disk.draw(seed)

    def restore(self, cut: Cut) -> str:
        """Put into `base` what a power cut leaves; returns a digest of it. A handoff's own files stay as they are."""
        files = self._disk.after(cut)
        _clear(self._workplace)
        base = self._workplace.base
        placed: dict[int, Path] = {}
        for path, node in files.walk():
            target = base / path
            if node in files.entries:
                target.mkdir(exist_ok=True)
            elif not target.exists():  # else it is an original
                placed[node] = _put(target, bytes(files.content[node]), placed.get(node), self._places.get(node))
        return sha256(repr(sorted(files.tree().items())).encode()).hexdigest()

    def judge(self, cut: Cut, *, rerun: bool = True) -> Tried:
        """Check the state that a cut leaves, then run the command again and check the end."""
        place = self._workplace
        digest = self.restore(cut)
        is_marked = any((place.base / name / "reap_eligible.json").exists() for name in place.truth.handoffs)
        found = violations_after_a_fault(place.base, place.truth)
        if rerun and cut.producer_synced:
            code = run_command(place.command())
            if code not in (0, 2):
                found.append(f"the rerun ended with {code}")
            found += violations_at_the_end(place.base, place.truth)
        return Tried(cut, digest, is_marked, found)


@dataclass
class Tally:
    """What became of many states."""

    states: int = 0
    marked: int = 0
    rerun: int = 0
    second_cuts: int = 0
    digests: set[str] = field(default_factory=set)
    by_scenario: Counter[str] = field(default_factory=Counter)
    by_style: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)

    def add(self, scenario: str, tried: Tried, is_second: bool) -> None:
        """Count one state."""
        self.states += 1
        self.marked += tried.is_marked
        self.rerun += tried.cut.producer_synced
        self.second_cuts += is_second
        self.digests.add(f"{scenario} {tried.digest}")
        self.by_scenario[scenario] += 1
        self.by_style[tried.cut.style] += 1
        if tried.violations:
            self.violations.append({"scenario": scenario, "second": is_second, **asdict(tried.cut),
                                    "found": tried.violations[:5]})  # fmt: skip

    def join(self, other: Tally) -> None:
        """Add what another process counted."""
        self.states += other.states
        self.marked += other.marked
        self.rerun += other.rerun
        self.second_cuts += other.second_cuts
        self.digests |= other.digests
        self.by_scenario += other.by_scenario
        self.by_style += other.by_style
        self.violations += other.violations


def main() -> int:
    """Cut, judge, print."""
    arguments = _arguments()
    if not can_trace():
        raise SystemExit("needs strace, and leave to trace")
    began, total = time.monotonic(), Tally()
    with (
        tempfile.TemporaryDirectory(prefix="power-loss-", dir=arguments.folder) as folder,
        ProcessPoolExecutor(arguments.jobs, initializer=_enter, initargs=(folder, arguments.nice)) as pool,
    ):
        for tally in pool.map(_try_some, _tasks(arguments)):
            total.join(tally)
            for violation in tally.violations:
                print(violation, file=sys.stderr, flush=True)
            if total.states % (20 * _STATES_A_TASK) == 0:
                print(f"{total.states} states", file=sys.stderr, flush=True)
    print(json.dumps({
        "states": total.states, "distinct": len(total.digests), "with_marker": total.marked, "rerun": total.rerun,
        "second_cuts": total.second_cuts, "by_scenario": dict(sorted(total.by_scenario.items())),
        "by_style": dict(sorted(total.by_style.items())), "violations": total.violations, "seed": arguments.seed,
        "range": arguments.range, "seconds": round(time.monotonic() - began), "commit": commit_of(REPOSITORY),
        "machine": describe_machine(),
    }, indent=2))  # fmt: skip
    return 1 if total.violations else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    memory = Path("/dev/shm")
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="[default: all]")
    parser.add_argument("--states", type=int, default=10_000)
    parser.add_argument("--range", default=":", help=f"only the tasks A:B, of {_STATES_A_TASK} states each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--nice", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=memory if os.access(memory, os.W_OK) else None)
    arguments = parser.parse_args()
    arguments.scenario = arguments.scenario or list(SCENARIOS)
    return arguments


@dataclass(frozen=True, slots=True)
class Task:
    """Some states of a scenario; with `second` they are cuts of the run that recovers from a first cut."""

    scenario: str
    seed: str
    states: int
    second: bool


def _tasks(arguments: argparse.Namespace) -> list[Task]:
    scenarios = arguments.scenario
    tasks = []
    for number, start in enumerate(range(0, arguments.states, _STATES_A_TASK)):
        states = min(_STATES_A_TASK, arguments.states - start)
        turn = number // len(scenarios)
        tasks.append(Task(scenarios[number % len(scenarios)], f"{arguments.seed}/{number}", states, turn % 3 == 2))
    first, _, last = arguments.range.partition(":")
    return tasks[int(first) if first else None : int(last) if last else None]


def _enter(folder: str, nice: int) -> None:
    global _folder
    _folder = Path(tempfile.mkdtemp(dir=folder))
    os.nice(nice)


_folder: Path


@cache
def _workplace(scenario: str, is_second: bool) -> Workplace:
    place = _folder / f"{scenario}-{is_second}"
    place.mkdir()
    workplace = Workplace(place, SCENARIOS[scenario])
    workplace.renew()
    return workplace


@cache
def _recorded(scenario: str) -> PowerLoss:
    return PowerLoss(_workplace(scenario, False))


def _try_some(task: Task) -> Tally:
    tally = Tally()
    loss = _second(task) if task.second else _recorded(task.scenario)
    for number in range(task.states):
        cut = loss.draw(f"{task.seed}/{number}")
        # What a first run synced of the handoff stays synced: a second recording does not know what that was.
        tally.add(
            task.scenario, loss.judge(replace(cut, producer_synced=cut.producer_synced or task.second)), task.second
        )
    return tally


def _second(task: Task) -> PowerLoss:
    """Record the run that recovers from a first cut."""
    workplace = _workplace(task.scenario, True)
    workplace.renew()
    first = PowerLoss(workplace)
    first.restore(replace(first.draw(f"{task.seed}/first"), producer_synced=True))
    return PowerLoss(workplace)


def _clear(workplace: Workplace) -> None:
    """Take away everything but the handoffs' own files."""
    shutil.rmtree(workplace.base / "root", ignore_errors=True)
    for name in workplace.truth.handoffs:
        for path in (workplace.base / name).rglob("*"):
            if path.is_file() and not _is_original(workplace, path):
                path.unlink()


def _is_original(workplace: Workplace, path: Path) -> bool:
    name, *parts = path.relative_to(workplace.base).parts
    return workplace.truth.handoffs[name].joinpath(*parts).exists()


def _put(target: Path, content: bytes, placed: Path | None, original: Path | None) -> Path:
    """Write a file, or link it where it is one file with another that is there, as far as the contents agree."""
    if placed is not None:
        os.link(placed, target)
    elif original is not None and original.read_bytes() == content:
        os.link(original, target)
    else:
        target.write_bytes(content)
        target.chmod(0o600)
    return target


if __name__ == "__main__":
    sys.exit(main())
