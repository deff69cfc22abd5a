"""Have an ingest meet every fault: `scripts/sweep_faults [--scenario S]… [--sample N] [--range A:B] [--pairs N]`.

A point is one call of a real ingest process that touches the DataRoot or the handoff: it is killed there, or the call
is refused with EIO or ENOSPC, once or from then on (strace); or it is done and an error reported all the same, or half
of a write is done (a preloaded shim, where there is a C compiler). After each the marker must be true, nothing lost,
and the same command must end as if undisturbed. A pair is a second fault in the run that recovers from a first.
Points have a fixed order, so `--range` splits a sweep into pieces; `--sample` draws from all points by the seed.
Prints one JSON object; exits with 1 when anything was violated. Works in memory (`--folder`), on `--jobs` processes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from bench_machine import describe_machine
from fault_process import Attempt, Fault, attempt, build_shim, can_trace, shim_points, traced_points
from ingest_oracle import violations_after_a_fault, violations_at_the_end
from ingest_scenarios import REPOSITORY, SCENARIOS, Workplace, commit_of, run_command

_DRAWS = 8
_MOST_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Task:
    """A point, or with a second fault a pair, of a scenario."""

    scenario: str
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task."""

    task: Task
    attempts: tuple[Attempt, ...]
    violations: tuple[str, ...]
    unsaid: bool
    """Whether a handoff was left unmarked with an exit code that does not tell; the next run takes it."""

    @property
    def fired(self) -> bool:
        """Whether all its faults were met."""
        return all(attempt.fired for attempt in self.attempts)

    @property
    def is_unexplained(self) -> bool:
        """Whether a single refusal ended in a traceback instead of a sentence."""
        return any(
            made.code == 1 and not fault.onwards for made, fault in zip(self.attempts, self.task.faults, strict=True)
        )


def main() -> int:
    """Sweep, print."""
    arguments = _arguments()
    if not can_trace():
        raise SystemExit("needs strace, and leave to trace")
    with tempfile.TemporaryDirectory(prefix="sweep-faults-", dir=arguments.folder) as folder:
        _preload(Path(folder))
        began = time.monotonic()
        with ProcessPoolExecutor(arguments.jobs, initializer=_enter, initargs=(folder, arguments.nice)) as pool:
            points = [task for found in pool.map(_points_of, arguments.scenario) for task in found]
            chosen = _choose(points, arguments)
            singles = list(_told(pool.map(_try, chosen, chunksize=10), "points"))
            pairs = list(_told(pool.map(_try_pair, _pair_seeds(arguments), chunksize=5), "pairs"))
    report = _report(points, singles, pairs)
    print(json.dumps({**report, "seed": arguments.seed, "range": arguments.range,
                      "seconds": round(time.monotonic() - began), "commit": commit_of(REPOSITORY),
                      "machine": describe_machine()}, indent=2))  # fmt: skip
    return 1 if report["violations"] else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    memory = Path("/dev/shm")
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="[default: all]")
    parser.add_argument("--sample", type=int, help="only so many points, drawn by the seed")
    parser.add_argument("--range", default=":", help="only points A:B of the chosen ones, and as many pairs")
    parser.add_argument("--pairs", type=int, default=0, help="second faults during recovery")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--nice", type=int, default=15)
    parser.add_argument("--folder", type=Path, default=memory if os.access(memory, os.W_OK) else None)
    arguments = parser.parse_args()
    arguments.scenario = arguments.scenario or list(SCENARIOS)
    return arguments


def _preload(folder: Path) -> None:
    """Start this program again with the shim in it, once; without a compiler there are no points for it."""
    if "FAULT_SHIM" in os.environ:
        return
    shim = build_shim(folder)
    environment = {**os.environ, "FAULT_SHIM": str(shim or "")}
    if shim is not None:
        environment["LD_PRELOAD"] = str(shim)
    code = subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode
    raise SystemExit(code)


def _told(outcomes: Iterator[Outcome], what: str) -> Iterator[Outcome]:
    """Say on stderr how far it is, and each violation at once."""
    for number, outcome in enumerate(outcomes, start=1):
        if outcome.violations:
            print(f"{_named(outcome)}: {outcome.violations[:3]}", file=sys.stderr, flush=True)
        if number % 500 == 0:
            print(f"{number} {what}", file=sys.stderr, flush=True)
        yield outcome


def _enter(folder: str, nice: int) -> None:
    global _folder
    _folder = Path(tempfile.mkdtemp(dir=folder))
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_folder: Path


@cache
def _workplace(scenario: str) -> Workplace:
    place = _folder / scenario
    place.mkdir()
    return Workplace(place, SCENARIOS[scenario])


@cache
def _points(scenario: str) -> list[Fault]:
    points = traced_points(_workplace(scenario))
    return points + (shim_points(_workplace(scenario)) if os.environ["FAULT_SHIM"] else [])


def _points_of(scenario: str) -> list[Task]:
    return [Task(scenario, (fault,)) for fault in _points(scenario)]


def _choose(points: list[Task], arguments: argparse.Namespace) -> list[Task]:
    if arguments.sample is not None:
        points = random.Random(arguments.seed).sample(points, min(arguments.sample, len(points)))
    return points[_slice(arguments.range)]


def _pair_seeds(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Name the pairs by what they are drawn from; scenarios in turn."""
    numbers = range(arguments.pairs)[_slice(arguments.range) if arguments.sample is None else slice(None)]
    return ((arguments.scenario[number % len(arguments.scenario)], f"{arguments.seed}/{number}") for number in numbers)


def _slice(text: str) -> slice:
    first, _, last = text.partition(":")
    return slice(int(first) if first else None, int(last) if last else None)


def _try(task: Task) -> Outcome:
    """Meet the faults of a task one run after the other, then run undisturbed."""
    workplace = _workplace(task.scenario)
    workplace.renew()
    attempts: list[Attempt] = []
    found: list[str] = []
    unsaid = False
    for fault in task.faults:
        made = attempt(workplace, fault)
        attempts.append(made)
        found += violations_after_a_fault(workplace.base, workplace.truth)
        if made.code == -signal.SIGALRM:
            found.append(f"hung at {fault}")
        unsaid |= made.code in (0, 2) and not _is_marked(workplace)
        if not made.fired:
            break
    code = run_command(workplace.command())
    if code not in (0, 2):
        found.append(f"the rerun ended with {code}")
    found += violations_at_the_end(workplace.base, workplace.truth)
    return Outcome(replace(task, faults=task.faults[: len(attempts)]), tuple(attempts), tuple(found), unsaid)


def _try_pair(drawn: tuple[str, str]) -> Outcome:
    """Draw pairs until both faults are met; the last one drawn is the outcome."""
    scenario, seed = drawn
    source = random.Random(seed)
    for _ in range(_DRAWS):
        first, second = source.choice(_points(scenario)), source.choice(_points(scenario))
        outcome = _try(Task(scenario, (first, replace(second, nth=source.randint(1, second.nth)))))
        if (outcome.fired and len(outcome.attempts) == 2) or outcome.violations:
            break
    return outcome


def _is_marked(workplace: Workplace) -> bool:
    return all((workplace.base / name / "reap_eligible.json").exists() for name in workplace.truth.handoffs)


def _report(points: list[Task], singles: list[Outcome], pairs: list[Outcome]) -> dict[str, Any]:
    met = [outcome for outcome in singles if outcome.fired]
    met_pairs = [outcome for outcome in pairs if outcome.fired and len(outcome.attempts) == 2]
    bad = [outcome for outcome in [*singles, *pairs] if outcome.violations]
    first = [outcome.task.faults[0] for outcome in met]
    return {
        "points_listed": len(points),
        "points": len(met),
        "points_by_scenario": _counted(outcome.task.scenario for outcome in met),
        "points_by_fault": _counted(f"{fault.what}{'+' if fault.onwards else ''}" for fault in first),
        "points_by_call": _counted(fault.call for fault in first),
        "not_met": _shown(outcome for outcome in singles if not outcome.fired),
        "pairs": len(met_pairs),
        "pairs_not_met": len(pairs) - len(met_pairs),
        "exit_codes": _counted(str(outcome.attempts[0].code) for outcome in met),
        "unexplained": _shown(outcome for outcome in singles if outcome.is_unexplained),
        "unsaid": _shown(outcome for outcome in [*singles, *pairs] if outcome.unsaid),
        "violations": [{**_named(outcome), "found": outcome.violations[:5]} for outcome in bad],
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _shown(outcomes: Iterator[Outcome]) -> dict[str, Any]:
    every = [_named(outcome) for outcome in outcomes]
    return {"count": len(every), "first": list(islice(every, _MOST_SHOWN))}


def _named(outcome: Outcome) -> dict[str, Any]:
    return {"scenario": outcome.task.scenario, "faults": [str(fault) for fault in outcome.task.faults]}


if __name__ == "__main__":
    sys.exit(main())
