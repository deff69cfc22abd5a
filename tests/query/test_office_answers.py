"""The questions about the office memory, judged by `scripts/score_answers`: none wrong, and those right stay so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from office_memory import NOW
from office_questions import JSON
from processed_office import process_office

from pipeline.dataroot import DataRoot
from pipeline.query import seen
from pipeline.query.ask import Asking, ask
from schemas.answer import Answer

REPOSITORY = Path(__file__).resolve().parents[2]
LEAST_RIGHT = {
    "abstain": 36, "dialog_duration": 4, "dialog_text": 4, "error_message": 5, "error_messages": 5,
    "identifier_seen": 7, "identifiers_recent": 3, "last_search": 5, "line": 8, "longest_session": 3,
    "most_switches": 3, "most_visited_site": 5, "pages_opened": 4, "phrase_first": 1, "phrase_last": 4,
    "programs_used": 3, "screen_at": 7, "time_in_program": 3, "top_domains": 4, "top_programs": 4,
    "unique_domains": 5, "unique_windows": 4, "visit_count": 6,
}  # fmt: skip
"""How many of each kind were answered rightly when this was written: fewer is a step back."""


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """The office memory, processed; to be read only."""
    return process_office(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def scores(office: DataRoot) -> dict[str, Any]:
    """All questions asked and judged by the script, in a process of its own."""
    command = [sys.executable, str(REPOSITORY / "scripts" / "score_answers.py"), str(office.path), str(JSON)]
    done = subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answer(office: DataRoot, question: str) -> Answer:
    return ask(office, question, Asking(NOW, NOW.tzinfo))[0]  # type: ignore[arg-type]


def test_all_questions_that_cannot_be_answered_are_declined(scores: dict[str, Any]) -> None:
    assert scores["declined"] == scores["to_decline"] == 36


def test_no_question_is_answered_wrongly(scores: dict[str, Any]) -> None:
    assert {name: scores["problems"][name] for name in scores["wrong_ids"]} == {}


def test_what_was_answered_rightly_still_is(scores: dict[str, Any]) -> None:
    right = {kind: counts["right"] for kind, counts in scores["by_kind"].items()}
    assert {kind: number for kind, number in LEAST_RIGHT.items() if right.get(kind, 0) < number} == {}


@pytest.mark.parametrize(
    "question",
    [
        "Which program was used least last week?",
        "On which day did I visit the most pages?",
        "Which sites did I visit on Monday and Wednesday?",
        "Which windows did I use between 9 and 11 last week?",
        "Which programs did I use in the mornings?",
        "Which programs did I use in the last 5 working days?",
        "Which apps did I use yesterday but not today?",
        "How many pages do I load per day?",
    ],
)
def test_what_is_not_understood_is_said_and_not_left_out(office: DataRoot, question: str) -> None:
    given = answer(office, question)
    assert (given.state, given.topic, given.claims) == ("no_evidence", "not_understood", [])
    assert "not understood" in given.summary


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("Which error dialogs did LedgerSync show in October?", "2 error or warning dialogs"),
        ("How long was the last dialog open?", "200 seconds"),
        ("When was Kestrel last seen in Excel?", "2025-10-21 15:40"),
        ("When was ticket 'OPS-1874' first visible?", "2025-10-20 08:05"),
        ("What was the last program I used yesterday?", "Firefox was last seen 2025-10-30 20:22"),
        ("On which day last week did I switch windows most?", "2025-10-23"),
        ("Which OPS tickets did I see since Wednesday?", "2 identifiers"),
        ("what was shown at 10:52 Berlin time on 28 October", "Ledger dashboard"),
        ("why did ledgersync push fail?", "push failed with exit code 12"),
        ("Which error did pytest end with on 21 October?", "AssertionError"),
        ("Did I visit rail.example.com on 24 October?", "2 page loads"),
        ("total time in VS Code on 22 October", "200 minutes"),
    ],
)
def test_a_filter_that_a_question_names_is_heeded(office: DataRoot, question: str, says: str) -> None:
    assert says in answer(office, question).summary


def test_no_error_is_taken_from_another_window_in_front(office: DataRoot) -> None:
    assert answer(office, "Which error did git pull --rebase show?").state == "no_evidence"


@pytest.mark.parametrize("word", ["Kestrel", "OPS-1874", "Moorland", "PowerShell window", "invoice", "Firefox", "the"])
def test_walking_through_time_finds_the_same_ends(office: DataRoot, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [
        f'When was "{word}" first and last seen{when}?' for when in ("", " last week", " on 23 October at 15:00")
    ]
    searched = [answer(office, question).summary for question in questions]
    monkeypatch.setattr(seen, "_COMMON", 1)
    assert [answer(office, question).summary for question in questions] == searched
    monkeypatch.setattr(seen, "_FARTHEST", 40)  # then it searches after all
    assert [answer(office, question).summary for question in questions] == searched
