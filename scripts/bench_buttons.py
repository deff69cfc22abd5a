"""How many buttons are found without a model, and how many of what is found are buttons: against UIA snapshots.

    scripts/bench_buttons DATA_ROOT

DATA_ROOT has to be processed. Of each frame with a snapshot the OCR record and the picture are taken, as the stage
`find_ui_elements` takes them where there is no snapshot. A button is found when a box shares half of their union with
its own. A snapshot tells of the active window only: buttons of windows behind it count as wrong here.
"""

from __future__ import annotations

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
from pipeline.stages.find_buttons import Box, find_buttons  # noqa: E402
from pipeline.stores.evidence import EvidenceStore  # noqa: E402
from pipeline.stores.facts import read_file  # noqa: E402

Row = dict[str, Any]


def rows(root: DataRoot, table: str, producer: str, columns: list[str]) -> Iterator[Row]:
    """All rows of a producer."""
    for path in sorted(root.fact_files(table, producer)):
        yield from read_file(path, table, columns).to_pylist()


def true_buttons(payload: str) -> list[Box]:
    """The buttons that a snapshot tells of."""
    nodes = orjson.loads(payload)["operables"]
    return [tuple(node["rect"]) for node in nodes if node["role"] == "Button" and not node["offscreen"]]


def shared_percent(a: Box, b: Box) -> int:
    """How much of their union two boxes share."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    shared = width * height
    return 100 * shared // ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def main() -> int:
    root, counts, spent_ns = DataRoot(Path(sys.argv[1])), Counter[str](), 0
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
        started = time.process_time_ns()
        found = find_buttons(picture, orjson.loads(read[frame["frame_id"]]["output_json"])["lines"])
        spent_ns += time.process_time_ns() - started
        left = true_buttons(snapshots[frame["uia_record_id"]].payload)
        counts["true"] += len(left)
        counts["found"] += len(found)
        for button in found:
            match = next((box for box in left if shared_percent(box, button.box) >= 50), None)
            if match is not None:
                left.remove(match)
                counts["right"] += 1
    print(json.dumps({
        "frames": len(seen), **counts,
        "recall_permille": 1000 * counts["right"] // max(1, counts["true"]),
        "precision_permille": 1000 * counts["right"] // max(1, counts["found"]),
        "cpu_ms_per_frame": round(spent_ns / 1e6 / max(1, len(seen)), 2),
        "machine": describe_machine(),
    }, indent=2))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
