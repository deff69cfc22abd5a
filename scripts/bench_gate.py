"""How soon everything is quiet when the user comes: activity at random moments of real OCR and embedding work.

    scripts/bench_gate [--onsets 1000] [--minutes M] [--engine local|ray] [--seed 1] [--shades 4] [--folder DIR]

A worker (`resume_hold_s` 0.2) reads a DataRoot of altered copies of the bundled screens, which no cache knows; when
all is read, another one like it. Again and again a sidecar says that the user is active. Measured is the time from
that write until the process tree (worker, keepers, servers, Ray with its own daemons) uses at most 2 % of a core over
100 ms, and does so on average for as long as the user stays. What Ray's own daemons took of it is told apart, and so is
what Ray was doing. Then the rows are held against those of a run in peace, in which the cost of asking the gate is
measured too. Prints one JSON object; exits with 1 when rows differ. A large number takes long: with a `--folder` one
call goes on where the one before ended, after `--minutes` at the latest, and its figures are those of all calls.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench_data_root import altered_screens
from bench_gate_figures import Figures
from bench_gate_peace import run_in_peace
from bench_gate_rounds import Rounds
from bench_machine import describe_machine

FRAMES_EACH = 5
"""Frames of each screen: what a memo makes of them is measured too."""


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--onsets", type=int, default=1000, help="how many in all")
    parser.add_argument("--minutes", type=float, default=1e6, help="after so many no more in this call")
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shades", type=int, default=4)
    parser.add_argument("--folder", type=Path, help="where to work, and to go on with another call; left there")
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    ends_at = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="bench-gate-") as scratch:
        folder: Path = given.folder or Path(scratch)
        screens = list(altered_screens(folder / "screens", given.shades))
        frames = FRAMES_EACH * len(screens)
        peace = run_in_peace(folder, screens, frames)
        figures = Figures(folder / f"figures-{given.engine}.ndjson")
        rounds = Rounds(folder, given.engine, given.seed, (screens, frames), peace["rows"], figures)
        while figures.onsets < given.onsets and time.monotonic() < ends_at:
            rounds.go_on(given.onsets, ends_at)
        found = {
            "benchmark": "from the first word of activity until the process tree is quiet",
            "machine": describe_machine(),
            "engine": given.engine,
            **figures.summary(),
            "frames_a_round": frames,
            "asking_the_gate_in_a_run_in_peace": peace["overhead"],
        }
        print(json.dumps(found, indent=2))
    return 1 if figures.differ else 0


if __name__ == "__main__":
    sys.exit(main())
