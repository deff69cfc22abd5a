"""Score answers against what is true: `scripts/score_answers DATA_ROOT QUESTIONS.json [--half seen] [--verbose]`.

A question is right when the answer says all of `must_include` and nothing of `must_not_include`, its numbers, times and
order are those of `value` (see judge_answers), and every citation resolves from the outside (see resolve_citations);
or, where there is no answer, when no claim is made. An answer that is not right counts as wrong, which is far worse
than a question that is left without one. Prints one JSON object, and a table by kind on stderr.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from judge_answers import fault  # noqa: E402
from resolve_citations import Evidence  # noqa: E402

from pipeline.dataroot import DataRoot  # noqa: E402
from pipeline.query.ask import Asking, ask  # noqa: E402
from schemas.answer import Answer  # noqa: E402
from schemas.fields import parse_utc  # noqa: E402

VERDICTS = ("right", "wrong", "unanswered")
HALVES = ("seen", "unseen")


@dataclass(frozen=True)
class Score:
    """How a question was answered, and what is not right about it."""

    item: dict[str, Any]
    answer: Answer
    verdict: str
    problem: str = ""

    @property
    def to_decline(self) -> bool:
        return bool(self.item["expected"].get("abstain"))


def main() -> int:
    """Ask every question and print how many were answered rightly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("questions", type=Path, help="a list of questions with id, question, now_utc, kind, expected")
    parser.add_argument("--half", choices=HALVES, help="only one half of the questions, parted by a hash of the id")
    parser.add_argument("--verbose", action="store_true", help="show every answer that is not right, on stderr")
    arguments = parser.parse_args()
    root, evidence = DataRoot(arguments.data_root), Evidence(arguments.data_root)
    items = [item for item in json.loads(arguments.questions.read_text()) if arguments.half in (None, half_of(item))]
    scores = [score(root, evidence, item) for item in items]
    if arguments.verbose:
        print("\n".join(_shown(one) for one in scores if one.verdict != "right"), file=sys.stderr)
    print(_table(scores), file=sys.stderr)
    print(json.dumps(report(scores), indent=2, ensure_ascii=False))
    return 0


def half_of(item: dict[str, Any]) -> str:
    """Which half a question belongs to: the one that may be looked at while answers are mended, or the other."""
    return HALVES[hashlib.sha256(item["id"].encode()).digest()[0] % 2]


def score(root: DataRoot, evidence: Evidence, item: dict[str, Any]) -> Score:
    """Ask one question, in its own zone if it has one, and judge the answer."""
    asking = Asking(parse_utc(item["now_utc"]), ZoneInfo(item.get("tz") or "UTC"))
    answer, _ = ask(root, item["question"], asking)
    answered = answer.state == "ok" or bool(answer.claims)
    if item["expected"].get("abstain"):
        return Score(item, answer, "wrong", "should be declined") if answered else Score(item, answer, "right")
    if not answered:
        return Score(item, answer, "unanswered", answer.state)
    problem = fault(item, answer) or evidence.unresolved(answer)
    return Score(item, answer, "wrong" if problem else "right", problem)


def report(scores: list[Score]) -> dict[str, Any]:
    """All that was counted."""
    declined = [one for one in scores if one.to_decline]
    return {
        "questions": len(scores),
        **{verdict: sum(one.verdict == verdict for one in scores) for verdict in VERDICTS},
        "to_decline": len(declined),
        "declined": sum(one.verdict == "right" for one in declined),
        "by_kind": {kind: dict(counts) for kind, counts in _by_kind(scores).items()},
        **{f"{verdict}_ids": [one.item["id"] for one in scores if one.verdict == verdict] for verdict in VERDICTS},
        "problems": {one.item["id"]: one.problem for one in scores if one.problem},
        "latency_ms_max": max((one.answer.latency_ms_total for one in scores), default=None),
    }


def _by_kind(scores: list[Score]) -> dict[str, Counter[str]]:
    kinds: dict[str, Counter[str]] = {}
    for one in scores:
        kinds.setdefault(one.item["kind"], Counter(dict.fromkeys(VERDICTS, 0)))[one.verdict] += 1
    return kinds


def _table(scores: list[Score]) -> str:
    rows = [*sorted(_by_kind(scores).items()), ("all", Counter(one.verdict for one in scores))]
    lines = [f"{'kind':22}" + "".join(f"{verdict:>12}" for verdict in VERDICTS)]
    lines += [f"{kind:22}" + "".join(f"{counts[verdict]:12}" for verdict in VERDICTS) for kind, counts in rows]
    return "\n".join(lines)


def _shown(one: Score) -> str:
    head = f"{one.item['id']} {one.verdict} {one.item['kind']}: {one.item['question']}"
    read = f"[{one.answer.coverage.read_as}]" if one.answer.coverage else ""
    return f"{head}\n    {one.answer.topic} {read} {one.answer.summary[:300]}\n    {one.problem}"


if __name__ == "__main__":
    sys.exit(main())
