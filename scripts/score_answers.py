"""Score answers against what is true: `scripts/score_answers DATA_ROOT QUESTIONS.json [--verbose]`.

A question is right when all of `must_include` stands in the answer (summary, bullets, claims), nothing of
`must_not_include` does, every citation resolves, and, where the right answer is that there is none, no claim is made.
Prints one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from datetime import UTC
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from pipeline.dataroot import DataRoot  # noqa: E402
from pipeline.query.ask import Asking, ask  # noqa: E402
from pipeline.stores.text_index import TextIndex  # noqa: E402
from schemas.answer import Answer  # noqa: E402
from schemas.fields import parse_utc  # noqa: E402


def main() -> int:
    """Ask every question and print how many were answered rightly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("questions", type=Path, help="a list of questions with id, question, now_utc and expected")
    parser.add_argument("--verbose", action="store_true", help="show what was wrong with each, on stderr")
    arguments = parser.parse_args()
    root = DataRoot(arguments.data_root)
    results = {item["id"]: _score(root, item) for item in json.loads(arguments.questions.read_text())}
    right = [name for name, (problem, _) in results.items() if not problem]
    if arguments.verbose:
        for name, (problem, answer) in results.items():
            print(f"{name} {answer.state} {answer.topic}: {answer.summary}\n    {problem or 'right'}", file=sys.stderr)
    report = {
        "questions": len(results),
        "right": len(right),
        "right_ids": right,
        "wrong": {name: problem for name, (problem, _) in results.items() if problem},
        "answered_wrongly": [name for name, (problem, answer) in results.items() if problem and answer.state == "ok"],
        "latency_ms_max": max((answer.latency_ms_total for _, answer in results.values()), default=None),
    }
    print(json.dumps(report, indent=2))
    return 0


def _score(root: DataRoot, item: dict[str, Any]) -> tuple[str, Answer]:
    answer, _ = ask(root, item["question"], Asking(parse_utc(item["now_utc"]), UTC))
    expected = item["expected"]
    text = "\n".join([answer.summary, *answer.bullets, *(claim.text for claim in answer.claims)])
    if expected.get("abstain"):
        return ("" if answer.state != "ok" and not answer.claims else "it should have abstained"), answer
    lacking = [part for part in expected["must_include"] if part not in text]
    unwanted = [part for part in expected["must_not_include"] if part in text]
    if answer.state != "ok" or lacking or unwanted:
        return f"state {answer.state}, lacks {lacking}, says {unwanted}", answer
    return _unresolved(root, answer), answer


def _unresolved(root: DataRoot, answer: Answer) -> str:
    """Resolve every citation anew: its frame's picture, and the box within it."""
    if not answer.citations or any(not claim.citations for claim in answer.claims):
        return "a claim without a citation"
    with TextIndex(root.text_index) as index:
        for citation in answer.citations:
            frame = index.frame_named(citation.frame_id)
            if frame is None:
                return f"no frame {citation.frame_id}"
            left, top, right, bottom = citation.bbox
            blob = (root.path / frame.blob_path).read_bytes()
            if hashlib.sha256(blob).hexdigest() != citation.content_hash:
                return f"another picture for {citation.frame_id}"
            if not (0 <= left < right <= frame.width and 0 <= top < bottom <= frame.height):
                return f"a box outside {citation.frame_id}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
