"""How many buttons, inputs and labels are found without a model, and how many of what is found are right.

    scripts/bench_buttons DATA_ROOT [--labels "Summary,Asset number"]

DATA_ROOT has to be processed. Of each frame with a snapshot the OCR record and the picture are taken, as the stage
`find_ui_elements` takes them where there is no snapshot. A button or input is found when a box shares half of their
union with its own. A snapshot tells of the active window only: what is in windows behind it counts as wrong here. Of
inputs a browser's address bar, which is in every frame, is counted apart. Snapshots do not tell labels: true are the
lines with the words of `--labels`, in frames with inputs; that these are labels, whoever made the pages knows.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import orjson  # noqa: E402
from bench_machine import describe_machine  # noqa: E402

from pipeline.dataroot import DataRoot  # noqa: E402
from pipeline.engines.pictures import grey_levels  # noqa: E402
from pipeline.stages.find_buttons import find_buttons  # noqa: E402
from pipeline.stages.find_inputs import find_inputs  # noqa: E402
from pipeline.stages.plain_boxes import Box, Pixels  # noqa: E402
from pipeline.stores.evidence import EvidenceStore  # noqa: E402
from pipeline.stores.facts import read_file  # noqa: E402

Row = dict[str, Any]
ADDRESS_BAR = "OmniboxViewViews"


def rows(root: DataRoot, table: str, producer: str, columns: list[str]) -> Iterator[Row]:
    """All rows of a producer."""
    for path in sorted(root.fact_files(table, producer)):
        yield from read_file(path, table, columns).to_pylist()


def shared_percent(a: Box, b: Box) -> int:
    """How much of their union two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    shared = width * height
    return 100 * shared // ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def true_boxes(payload: str) -> dict[str, list[Box]]:
    """The buttons, inputs and address bars that a snapshot tells of."""
    found: dict[str, list[Box]] = {"button": [], "input": [], "address_bar": []}
    for node in orjson.loads(payload)["operables"]:
        if node["offscreen"]:
            continue
        if node["role"] == "Button":
            found["button"].append(tuple(node["rect"]))
        elif node["role"] in ("Edit", "ComboBox"):
            found["address_bar" if node["class"] == ADDRESS_BAR else "input"].append(tuple(node["rect"]))
    return found


def count_boxes(counts: Counter[str], truth: list[Box], found: list[Box]) -> None:
    """Add how many are true, found and both; each true one counts once."""
    left = list(truth)
    counts.update(true=len(truth), found=len(found))
    for box in found:
        match = next((other for other in left if shared_percent(other, box) >= 50), None)
        if match is not None:
            left.remove(match)
            counts["right"] += 1


def count_frame(
    counts: dict[str, Counter[str]], picture: Pixels, lines: list[Row], payload: str, names: set[str]
) -> None:
    """Look for everything in a frame, and count it."""
    truth, inputs = true_boxes(payload), find_inputs(picture, lines)
    count_boxes(counts["button"], truth["button"], [item.box for item in find_buttons(picture, lines)])
    count_boxes(counts["input"], truth["input"], [item.box for item in inputs])
    count_boxes(counts["address_bar"], truth["address_bar"], [])
    labels = {item.label for item in inputs if item.label is not None}
    true = {n for n, line in enumerate(lines) if truth["input"] and line["text"] in names}
    counts["label"].update(true=len(true), found=len(labels), right=len(true & labels))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_root", type=Path)
    parser.add_argument("--labels", default="", help="words that are labels of inputs there, comma-separated")
    given = parser.parse_args()
    root, names, spent_ns = DataRoot(given.data_root), set(given.labels.split(",")), 0
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("button", "input", "address_bar", "label")}
    read = {row["sample_id"]: row for row in rows(root, "records", "find_text_lines", ["sample_id", "output_json"])}
    columns = ["frame_id", "content_hash", "blob_path", "width", "height", "uia_record_id"]
    frames = [row for row in rows(root, "frames", "list_frames", columns) if row["uia_record_id"] and
              row["frame_id"] in read]  # fmt: skip
    pixels, seen = grey_levels(root), set[str]()
    with EvidenceStore(root) as evidence:
        snapshots = evidence.rows(row["uia_record_id"] for row in frames)
    for frame in frames:
        picture = pixels(frame)
        if picture is None or frame["content_hash"] in seen or frame["uia_record_id"] not in snapshots:
            continue
        seen.add(frame["content_hash"])
        lines = orjson.loads(read[frame["frame_id"]]["output_json"])["lines"]
        started = time.process_time_ns()
        count_frame(counts, picture, lines, snapshots[frame["uia_record_id"]].payload, names)
        spent_ns += time.process_time_ns() - started
    print(json.dumps({
        "frames": len(seen), **{name: figures(found) for name, found in counts.items()},
        "cpu_ms_per_frame": round(spent_ns / 1e6 / max(1, len(seen)), 2), "machine": describe_machine(),
    }, indent=2))  # fmt: skip
    return 0


def figures(counts: Counter[str]) -> dict[str, int]:
    """Counts, recall and precision."""
    true, found, right = (counts[name] for name in ("true", "found", "right"))
    shares = {"recall_permille": 1000 * right // max(1, true), "precision_permille": 1000 * right // max(1, found)}
    return {"true": true, "found": found, "right": right, **shares}


if __name__ == "__main__":
    sys.exit(main())
