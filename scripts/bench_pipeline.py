"""Measure what the pipeline costs beside its models, and that its rows do not depend on how it was run.

    scripts/bench_pipeline overhead [--frames N]      all stages with a null model: in process, through HTTP, on Ray
    scripts/bench_pipeline recording SPOOL            ingest and run a recording twice, with other shards; compare rows
    scripts/bench_pipeline engines SPOOL [--null]     ingest and run a recording with each engine; compare rows

Prints one JSON object. `overhead` builds a DataRoot of N frames, 2 s apart, from the bundled screens; the null model
answers 40 lines a frame, half of which change with the picture. Rates leave out starting Python and importing, which
`startup_s` states. Ray is measured twice: once started, its start left out and stated as `ray_startup_s`, and from
cold, with all that a user waits for. Memory is that of all processes but the servers', a shared page counted once. The
bare loop sends the same pictures to the same null answers without the pipeline: one frame a request, as many requests
at once as the pipeline has.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench_overhead import measure_overhead
from bench_recording import measure_engines, measure_recording
from bench_run import measure_run

from pipeline.dataroot import DataRoot


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    overhead = parts.add_parser("overhead")
    overhead.add_argument("--frames", type=int, default=7_200)
    recording = parts.add_parser("recording")
    recording.add_argument("spool", type=Path)
    recording.add_argument("--first", type=Path, help="a DataRoot of this recording that was run already")
    engines = parts.add_parser("engines")
    engines.add_argument("spool", type=Path)
    engines.add_argument("--null", action="store_true", help="a null model instead of the real OCR")
    one = parts.add_parser("measure-run")
    one.add_argument("root", type=Path)
    one.add_argument("--http", action="store_true")
    one.add_argument("--ray", action="store_true")
    one.add_argument("--once-started", action="store_true")
    arguments = parser.parse_args()
    if arguments.part == "measure-run":
        result = measure_run(
            DataRoot(arguments.root),
            through_http=arguments.http,
            on_ray=arguments.ray,
            once_started=arguments.once_started,
        )
    elif arguments.part == "overhead":
        result = measure_overhead(arguments.frames)
    elif arguments.part == "engines":
        result = measure_engines(arguments.spool, null=arguments.null)
    else:
        result = measure_recording(arguments.spool, arguments.first)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
