"""Score what a run read against what really stood on the screens.

    python scripts/score_ocr.py DATA_ROOT TRUTH/frames.jsonl [--model-digest SHA256]

Prints one JSON object. A word is what white space separates, compared exactly, punctuation and case included; words
count as often as they occur in a frame, wherever they stand. By the program whose window was active, and for all:

`recall`              of the truth's words, the share that was read. A truth line given twice with the same place and
                      kind counts once; the last word of a browser tab's title is left out, since it may be cut.
`recall_wordlike`     the same for words that hold a letter or a digit: no rules of tables, no lone signs.
`precision`           of the words read, the share that is in the truth. The truth leaves out text that is visible (cut
                      lines, menus, status bars), so this is a lower bound.
`precision_in_lines`  the same for those lines read that lie by 60 % or more of their area in lines of the truth that
                      state their place.

A frame that has no record counts as one in which nothing was read. `exact` tells for how many frames the facts agree
with the truth: `app`, `title` of the active window, and `url` of those with one, which is that of the page visit at
that moment, compared without the scheme `http://` and the `/` of a bare host, since address bars leave both out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from pyarrow import dataset

Truth = dict[str, Any]
Words = Counter[str]
_COVERED = 0.6


@dataclass
class Tally:
    """Counts of words over some frames."""

    frames: int = 0
    truth: int = 0
    hit: int = 0
    truth_wordlike: int = 0
    hit_wordlike: int = 0
    read: int = 0
    read_in_lines: int = 0
    hit_in_lines: int = 0

    def add(self, other: Tally) -> None:
        for item in fields(self):
            setattr(self, item.name, getattr(self, item.name) + getattr(other, item.name))

    def report(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "truth_words": self.truth,
            "recall": _share(self.hit, self.truth),
            "recall_wordlike": _share(self.hit_wordlike, self.truth_wordlike),
            "precision": _share(self.hit, self.read),
            "precision_in_lines": _share(self.hit_in_lines, self.read_in_lines),
        }


def main() -> None:
    """Score one DataRoot and print the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("truth", type=Path, help="frames.jsonl: a line for each frame")
    parser.add_argument("--model-digest", help="which model's records, when there are several")
    arguments = parser.parse_args()
    facts = arguments.data_root / "derived" / "facts"
    frames = {row["frame_id"]: row for row in _rows(facts, "frames")}
    truth = [item for item in map(json.loads, arguments.truth.read_text().splitlines()) if item["record_id"] in frames]
    records = _records(facts, arguments.model_digest)
    visits = _rows(facts, "url_visits")
    result = {
        "frames_in_truth": len(truth),
        "frames_without_record": sum(item["record_id"] not in records for item in truth),
        "words": {app: tally.report() for app, tally in sorted(_score_words(truth, records).items())},
        "exact": _score_facts(truth, frames, visits),
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _rows(facts: Path, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    files = sorted(str(path) for path in (facts / table).rglob("*.parquet"))
    if not files:
        sys.exit(f"no {table} under {facts}; run the pipeline first")
    rows: list[dict[str, Any]] = dataset.dataset(files, format="parquet").to_table(columns=columns).to_pylist()
    return rows


def _records(facts: Path, digest: str | None) -> dict[str, list[dict[str, Any]]]:
    """The lines read in each frame, by frame id. Exits when several models read them and none was chosen."""
    found = _rows(facts, "records", ["sample_id", "modality", "model_digest", "output_json"])
    rows = [row for row in found if row["modality"] == "ocr" and digest in (None, row["model_digest"])]
    digests = sorted({row["model_digest"] for row in rows})
    if len(digests) > 1:
        sys.exit(f"several models read these frames; choose one with --model-digest: {', '.join(digests)}")
    return {row["sample_id"]: json.loads(row["output_json"])["lines"] for row in rows}


def _score_words(truth: list[Truth], records: dict[str, list[dict[str, Any]]]) -> dict[str, Tally]:
    tallies: dict[str, Tally] = defaultdict(Tally)
    for item in truth:
        tally = _score_frame(item, records.get(item["record_id"], []))
        tallies[item["app"]].add(tally)
        tallies["all"].add(tally)
    return tallies


def _score_frame(item: Truth, lines: list[dict[str, Any]]) -> Tally:
    expected = Counter(_truth_words(item["lines"]))
    places = [line["bbox"] for line in item["lines"] if "bbox" in line]
    read = Counter(word for line in lines for word in line["text"].split())
    within = Counter(word for line in lines if _covered(line["bbox"], places) for word in line["text"].split())
    wordlike = Counter({word: count for word, count in expected.items() if any(mark.isalnum() for mark in word)})
    return Tally(
        frames=1,
        truth=expected.total(),
        hit=(expected & read).total(),
        truth_wordlike=wordlike.total(),
        hit_wordlike=(wordlike & read).total(),
        read=read.total(),
        read_in_lines=within.total(),
        hit_in_lines=(expected & within).total(),
    )


def _truth_words(lines: list[dict[str, Any]]) -> Iterator[str]:
    distinct = {(line["text"], tuple(line.get("bbox", ())), line.get("kind")) for line in lines}
    for text, _, kind in distinct:
        words = text.split()
        yield from words[:-1] if kind == "tab" else words


def _covered(box: list[int], places: list[list[int]]) -> bool:
    area = (box[2] - box[0]) * (box[3] - box[1])
    shared = sum(
        max(0, min(box[2], place[2]) - max(box[0], place[0])) * max(0, min(box[3], place[3]) - max(box[1], place[1]))
        for place in places
    )
    return shared >= _COVERED * area


def _score_facts(
    truth: list[Truth], frames: dict[str, dict[str, Any]], visits: list[dict[str, Any]]
) -> dict[str, dict[str, int]]:
    agreed: dict[str, Counter[bool]] = {"app": Counter(), "title": Counter(), "url": Counter()}
    for item in truth:
        row = frames[item["record_id"]]
        agreed["app"][row["app"] == item["app"]] += 1
        agreed["title"][row["window_title"] == item["title"]] += 1
        if item.get("url"):
            agreed["url"][_url_at(row, visits) == _as_shown(item["url"])] += 1
    return {name: {"frames": counts.total(), "agree": counts[True]} for name, counts in agreed.items()}


def _url_at(frame: dict[str, Any], visits: list[dict[str, Any]]) -> str | None:
    """The address of the visit in the frame's window at the frame's time; the later one where two touch."""
    same = [
        visit
        for visit in visits
        if (visit["run_id"], visit["window_hwnd"]) == (frame["run_id"], frame["window_hwnd"])
        and visit["first_seen_utc"] <= frame["ts_utc"] <= visit["last_seen_utc"]
    ]
    if not same:
        return None
    return _as_shown(max(same, key=lambda visit: visit["first_seen_utc"])["url"])


def _as_shown(url: str) -> str:
    shown = url.removeprefix("http://")
    return shown.removesuffix("/") if shown.count("/") == 1 else shown


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


if __name__ == "__main__":
    main()
