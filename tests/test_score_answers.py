"""What the script that scores answers takes as right: values with tolerances, citations that resolve from outside."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from processed_desk import answer_of

from pipeline.dataroot import DataRoot
from schemas.answer import Answer, AnswerClaim

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


judge: Any = _load("judge_answers")
citations: Any = _load("resolve_citations")


def fault(kind: str, expected: dict[str, Any], *texts: str, **item: Any) -> str:
    claims = [AnswerClaim(text=text, citations=[]) for text in texts]
    given = Answer.model_construct(summary=texts[0], bullets=[], claims=claims)
    plain: dict[str, Any] = {"must_include": [], "must_not_include": []}
    return str(judge.fault({"kind": kind, "expected": {**plain, **expected}, **item}, given))


@pytest.mark.parametrize(
    ("kind", "expected", "right", "wrong"),
    [
        ("visit_count", {"value": 3}, "3 page loads on a.example", "13 page loads on a.example"),
        ("visit_count", {"value": 3, "must_include": ["3"]}, "3 page loads", "30 page loads, at 03:03"),
        ("time_in_program", {"value": {"minutes": 75}, "tolerance_min": 2}, "1 h 15 min", "Excel for 79 minutes"),
        ("longest_session", {"value": {"program": "Excel", "start": "2026-03-01T09:00:00Z",
                                       "end": "2026-03-01T10:00:00Z", "minutes": 60}, "tolerance_min": 1},
         "excel: 2026-03-01 09:00:20 UTC to 2026-03-01 10:00:00 UTC, 60 minutes",
         "excel: 2026-03-01 09:00:20 UTC to 2026-03-01 10:05:00 UTC, 65 minutes"),
        ("identifier_seen", {"value": {"first": "2026-03-01T09:00:00Z"}, "tolerance_s": 60},
         "A-1 was first seen 2026-03-01 09:00:30 UTC", "A-1 was first seen 2026-03-01 09:02:00 UTC"),
        ("most_switches", {"value": {"start": "2026-03-01T09:00:00Z", "switches": 12}},
         "most between 2026-03-01 09:00:00 UTC and 2026-03-01 10:00:00 UTC: 12 times",
         "most between 2026-03-01 09:00:00 UTC and 2026-03-01 10:00:00 UTC: 11 times"),
        ("line", {"value": "ME-55", "must_include": ["ME-55"]}, "Contract  me-55", "Contract ME-56"),
        ("line", {"value": "A", "must_not_include": ["b-114"]}, "room A", "room A, not B-114"),
    ],
)  # fmt: skip
def test_a_value_counts_within_its_tolerance(kind: str, expected: dict[str, Any], right: str, wrong: str) -> None:
    assert fault(kind, expected, right) == ""
    assert fault(kind, expected, wrong) != ""


def test_a_list_is_wrong_when_it_has_more_or_less_than_it_should() -> None:
    rows = [{"domain": "a.example", "first": "2026-03-01T09:00:00Z", "last": "2026-03-01T09:00:00Z"}]
    own = "a.example: first seen 2026-03-01 09:00:00 UTC, last seen 2026-03-01 09:00:00 UTC"
    assert fault("unique_domains", {"value": rows}, "1 site", own) == ""
    assert "more than" in fault("unique_domains", {"value": rows}, "2 sites", own, own.replace("a.", "b."))
    assert "no statement" in fault("unique_domains", {"value": [*rows, {**rows[0], "domain": "c.example"}]}, own)


def test_a_ranking_is_wrong_in_another_order() -> None:
    rows = [{"domain": "a.example", "visits": 5}, {"domain": "b.example", "visits": 3}]
    first, second = "1. a.example: 5 page loads", "2. b.example: 3 page loads"
    assert fault("top_domains", {"value": rows}, first, second) == ""
    assert fault("top_domains", {"value": rows}, second, first) == "another order"


def test_times_are_read_in_the_zone_of_the_question() -> None:
    value = {"first": "2026-03-01T08:00:00Z"}
    said = "A-1 was first seen 2026-03-01 09:00:00 CET"
    assert fault("identifier_seen", {"value": value, "tolerance_s": 1}, said, tz="Europe/Berlin") == ""
    assert fault("identifier_seen", {"value": value, "tolerance_s": 1}, said) != ""


def test_citations_are_resolved_with_the_files_alone(processed_desk: DataRoot) -> None:
    outside = citations.Evidence(processed_desk.path)
    for question in ("When was OPS-117 last seen?", "Which websites did I visit on March 4?"):
        given = answer_of(processed_desk, question)
        assert given.state == "ok"
        assert outside.unresolved(given) == ""
        for change in ({"text": "no such words"}, {"content_hash": "0" * 64}, {"bbox": (0, 0, 9_999, 9)},
                       {"frame_id": "nowhere"}):  # fmt: skip
            changed = given.model_copy(update={"citations": [given.citations[0].model_copy(update=change)]})
            assert outside.unresolved(changed) != ""


def test_the_questions_of_the_office_have_a_kind_that_is_judged() -> None:
    questions = json.loads((SCRIPTS.parent / "tests" / "query" / "office_questions.json").read_text())
    assert {item["kind"] for item in questions} - set(judge._JUDGES) == {"abstain"}
