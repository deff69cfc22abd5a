"""OCR that pays for new pixels, beside the same models on whole frames, in one run.

    scripts/bench_ocr HANDOFF… [--truth frames.jsonl] [--every 8] [--every-onnx 8] [--frames N] [--threads 1]

HANDOFF is a handoff dir, or a folder of them; frames are read in the order in which they were captured. Whole frames
are read with the same engine (`--every`-th frame), and with ONNX Runtime (`--every-onnx`-th). Prints one JSON object:
processor time and wall time a frame; where it went, model time apart from decoding, cutting and looking up; words
against the truth (scripts/score_ocr.py), by program, of all frames and of the frames that were also read whole; and
the same frames read once more by a new reader that has nothing but the first one's memo on disk.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from bench_machine import describe_machine
from score_ocr import Tally, _score_frame
from whole_frames import WholeFrames

from schemas.serving import ReadText
from workers.memo_file import MemoFile
from workers.ocr import load_reader

Frame = tuple[str, Path]
Lines = list[dict[str, Any]]
Read = Callable[[bytes], Lines]
MODEL, OTHER = ("detect", "recognize"), ("decode", "cut", "look_up")


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("handoff", type=Path, nargs="+")
    parser.add_argument("--truth", type=Path, help="frames.jsonl: a line for each frame")
    parser.add_argument("--every", type=int, default=8, help="which frames the same engine reads whole")
    parser.add_argument("--every-onnx", type=int, default=8, help="which frames ONNX Runtime reads whole")
    parser.add_argument("--frames", type=int, help="only so many of the first frames")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runtime", choices=("auto", "openvino", "onnxruntime"), default="auto")
    given = parser.parse_args()
    frames = [frame for folder in given.handoff for frame in frames_of(folder)][: given.frames]
    truth = read_truth(given.truth) if given.truth else {}
    with tempfile.TemporaryDirectory(prefix="bench-ocr-") as folder:
        result = measure(frames, truth, given, Path(folder) / "ocr.db")
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def measure(frames: list[Frame], truth: dict[str, Any], given: argparse.Namespace, memo: Path) -> dict[str, Any]:
    """Read the frames in all four ways."""
    new, new_lines = _with_memo(frames, given, memo)
    same, same_lines = _whole(frames[:: given.every], given.threads, given.runtime)
    onnx, onnx_lines = _whole(frames[:: given.every_onnx], given.threads, "onnxruntime")
    again, again_lines = _with_memo(frames, given, memo)
    return {
        "benchmark": "OCR that pays for new pixels, beside whole frames",
        "machine": describe_machine(),
        "threads": given.threads,
        "new_pixels": new,
        "whole_frames_same_engine": {"every": given.every} | same,
        "whole_frames_onnx_runtime": {"every": given.every_onnx} | onnx,
        "times_less_cpu_than_same_engine": _times(same, new, "cpu_s_per_frame"),
        "times_less_cpu_than_onnx_runtime": _times(onnx, new, "cpu_s_per_frame"),
        "times_less_model_time_than_same_engine": _times(same, new, "model_s_per_frame"),
        "second_root_with_this_memo": again | {"lines_differ": again_lines != new_lines},
        "words": {
            "all_frames": score(truth, new_lines, new_lines),
            "frames_read_whole": {
                "new_pixels": score(truth, new_lines, same_lines),
                "whole_frames_same_engine": score(truth, same_lines, same_lines),
            },
            "frames_read_whole_by_onnx_runtime": score(truth, onnx_lines, onnx_lines),
        },
    }


def frames_of(folder: Path) -> list[Frame]:
    """The frames of a handoff, or of the handoffs in a folder, in the order of capture."""
    if not (folder / "metadata.db").exists():
        return [frame for inner in sorted(folder.iterdir()) if inner.is_dir() for frame in frames_of(inner)]
    database = sqlite3.connect(f"file:{folder / 'metadata.db'}?mode=ro&immutable=1", uri=True)
    try:
        rows = database.execute(
            "SELECT id, payload FROM metadata WHERE record_type = 'evidence.capture.frame' ORDER BY ts_utc, id"
        ).fetchall()
    finally:
        database.close()
    return [(name, folder / json.loads(payload)["blob_path"]) for name, payload in rows]


def read_truth(path: Path) -> dict[str, Any]:
    """The truth by frame."""
    return {item["record_id"]: item for item in map(json.loads, path.read_text().splitlines())}


def score(truth: dict[str, Any], lines: dict[str, Lines], only: Iterable[str]) -> dict[str, Any]:
    """Words read against the truth, by program; of the frames in `only`."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    for name in only:
        if name in truth:
            tally = _score_frame(truth[name], lines[name])
            tallies[truth[name]["app"]].add(tally)
            tallies["all"].add(tally)
    return {app: tally.report() for app, tally in sorted(tallies.items())}


def _with_memo(frames: list[Frame], given: argparse.Namespace, path: Path) -> tuple[dict[str, Any], dict[str, Lines]]:
    memo = MemoFile(path, 512 << 20)
    reader = load_reader(given.threads, given.runtime, store=lambda _: memo)

    def read(image: bytes) -> Lines:
        result = reader.read(image)
        assert isinstance(result, ReadText)
        return [{"text": line.text, "bbox": list(line.bbox)} for line in result.lines]

    measured, lines = _measured(frames, read, reader.spent)
    memo.close()
    size = sum(file.stat().st_size for file in path.parent.iterdir())
    return {"engine": reader.identity.provider_id} | measured | {"memo_bytes": size}, lines


def _whole(frames: list[Frame], threads: int, runtime: str) -> tuple[dict[str, Any], dict[str, Lines]]:
    model = WholeFrames(threads, runtime)

    def read(image: bytes) -> Lines:
        return [{"text": text, "bbox": list(box)} for text, box in model.read(image)]

    read(frames[0][1].read_bytes())  # so that getting ready for these sizes does not count
    model.spent.clear()
    measured, lines = _measured(frames, read, model.spent)
    return {"engine": model.provider_id} | measured, lines


def _measured(frames: list[Frame], read: Read, spent: Counter[str]) -> tuple[dict[str, Any], dict[str, Lines]]:
    lines, number = {}, len(frames)
    started, cpu = time.perf_counter(), time.process_time()
    for name, path in frames:
        lines[name] = read(path.read_bytes())
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    per_frame = {kind: round(spent[f"{kind}_ns"] / 1e9 / number, 5) for kind in MODEL + OTHER}
    return {
        "frames": number,
        "wall_s": round(wall, 2),
        "frames_per_s": round(number / wall, 2),
        "cpu_s_per_frame": round(cpu / number, 5),
        "model_s_per_frame": round(sum(per_frame[kind] for kind in MODEL), 5),
        "cpu_s_per_frame_by_work": per_frame,
        "inferences": {kind: spent[kind] for kind in MODEL},
    }, lines


def _times(slow: dict[str, Any], quick: dict[str, Any], what: str) -> float | None:
    return round(slow[what] / quick[what], 1) if quick[what] else None


if __name__ == "__main__":
    main()
