"""The office desk agrees with its own questions, and its handoffs with the contract; no question is asked here."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from office_memory import LINES, NOW, build_spool
from office_questions import JSON, rendered
from office_screens import FRAMES, HEIGHT, SCREENS, WIDTH, Screen
from office_truth import at, frames, holds, longest_silence, stays

from schemas.canonical import payload_hash, sha256_hex

QUESTIONS: list[dict[str, Any]] = json.loads(JSON.read_text(encoding="utf-8"))
BY_ID = {frame.frame_id: frame for frame in FRAMES}
SHOWN_AS_IT_STANDS = {
    "line",
    "error_message",
    "dialog_text",
    "dialog_duration",
    "last_search",
    "screen_at",
    "pages_opened",
    "identifiers_recent",
    "unique_windows",
    "unique_domains",
    "most_visited_site",
    "top_domains",
}
DECLINED = [question for question in QUESTIONS if question["kind"] == "abstain"]
LONG_SILENCE_S = 45 * 60


def payloads(spool: Path) -> dict[str, dict[str, Any]]:
    """Every record of the handoffs by its id."""
    found: dict[str, dict[str, Any]] = {}
    for day in sorted(spool.iterdir()):
        with closing(sqlite3.connect(day / "metadata.db")) as connection:
            found |= {row[0]: json.loads(row[1]) for row in connection.execute("SELECT id, payload FROM metadata")}
    return found


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("office") / "spool"
    build_spool(path)
    return path


def named(question: dict[str, Any]) -> str:
    return str(question["id"])


def test_the_questions_are_those_that_the_truth_gives() -> None:
    assert JSON.read_text(encoding="utf-8") == rendered(), f"run {Path(__file__).with_name('office_questions.py').name}"


def test_there_are_enough_questions_and_enough_to_decline() -> None:
    assert len(QUESTIONS) >= 90
    assert len(DECLINED) >= 25
    assert len({question["question"] for question in QUESTIONS}) == len(QUESTIONS)


@pytest.mark.parametrize("question", QUESTIONS, ids=named)
def test_evidence_exists_and_was_taken_before_the_question(question: dict[str, Any]) -> None:
    assert set(question["evidence"]) <= set(BY_ID)
    assert all(BY_ID[frame_id].taken < NOW for frame_id in question["evidence"])
    assert bool(question["evidence"]) == (question["kind"] not in ("abstain", "top_programs"))


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q["kind"] in SHOWN_AS_IT_STANDS], ids=named)
def test_an_expected_text_stands_on_the_evidence(question: dict[str, Any]) -> None:
    shown = [BY_ID[frame_id] for frame_id in question["evidence"]]
    for text in question["expected"]["must_include"]:
        assert any(holds(frame, text) for frame in shown), text


@pytest.mark.parametrize("question", [q for q in QUESTIONS if "about" in q], ids=named)
def test_a_sighting_is_on_the_first_and_last_frame_only(question: dict[str, Any]) -> None:
    about, value = question["about"], question["expected"]["value"]
    assert all(holds(BY_ID[frame_id], about) for frame_id in question["evidence"])
    moments = [frame.taken.isoformat(timespec="milliseconds")[:23] + "Z" for frame in FRAMES if holds(frame, about)]
    assert value == {name: moment for name, moment in (("first", moments[0]), ("last", moments[-1])) if name in value}


@pytest.mark.parametrize("question", DECLINED, ids=named)
def test_what_must_be_declined_is_nowhere_on_the_screen(question: dict[str, Any]) -> None:
    absent = question["absent"]
    assert absent["texts"]
    taken = frames(absent.get("since", "01"), absent.get("until", "31 23:59"))
    shown = [frame for frame in taken if holds(frame, absent.get("with", ""))]
    assert bool(shown) == (absent["texts"] != [""])
    found = [(frame.frame_id, text) for frame in shown for text in absent["texts"] if holds(frame, text)]
    assert found == []


def test_a_ranking_holds_also_if_long_silences_do_not_count() -> None:
    """The same programs lead when a time without any record over 45 minutes is taken as absence."""
    for question in (q for q in QUESTIONS if q["kind"] == "top_programs"):
        value = question["expected"]["value"]
        lead = [row["program"] for row in value[: len(question["expected"]["must_include"])]]
        assert lead == question["expected"]["must_include"]
        assert counted_without_silences(question["question"])[: len(lead)] == lead


def counted_without_silences(question: str) -> list[str]:
    """Programs by active minutes, long silences left out."""
    days = {"2025-10-27 to 2025-10-31": (27, 31), "last week": (20, 26), "22 October": (22, 22), "27 October": (27, 27)}
    ((first, last),) = (span for name, span in days.items() if name in question)
    total: dict[str, float] = {}
    for stay in (
        s for day in sorted({x.day for x in SCREENS}) if first <= int(day[-2:]) <= last for s in stays(day[-2:])
    ):
        silence = longest_silence(stay.start, stay.end).total_seconds()
        lost = silence if silence > LONG_SILENCE_S else 0
        total[stay.program] = total.get(stay.program, 0) + (stay.end - stay.start).total_seconds() - lost
    return sorted(total, key=lambda program: -total[program])


def test_no_page_stays_open_over_the_end_of_a_day() -> None:
    """Else it would be open to argument whether the next day begins with a visit."""
    browsing: dict[str, list[Screen]] = {}
    for frame in (frame for frame in FRAMES if frame.window.browser):
        browsing.setdefault(frame.key, []).append(frame)
    borders = [(a, b) for shown in browsing.values() for a, b in pairwise(shown) if a.day != b.day]
    assert borders
    assert [(a.frame_id, b.frame_id) for a, b in borders if a.address == b.address] == []


def test_moments_are_in_order_and_lines_lie_in_the_frame() -> None:
    assert all(a.taken < b.at for a, b in pairwise(SCREENS))
    assert SCREENS[0].day == "2025-10-20"
    assert at("20") < SCREENS[0].at < SCREENS[-1].at < NOW
    for lines in LINES.values():
        assert all(0 <= x.bbox[0] < x.bbox[2] <= WIDTH and 0 <= x.bbox[1] < x.bbox[3] <= HEIGHT for x in lines)


def test_every_frame_of_the_handoffs_has_its_lines_its_blob_and_its_references(spool: Path) -> None:
    records = payloads(spool)
    kept = {record_id: body for record_id, body in records.items() if body["record_type"] == "evidence.capture.frame"}
    assert set(kept) == set(LINES)
    for body in kept.values():
        day = spool / body["ts_utc"][:10]
        assert sha256_hex((day / body["blob_path"]).read_bytes()) == body["content_hash"]
        references = [body[key]["record_id"] for key in ("window_ref", "input_ref", "uia_ref") if key in body]
        assert set(references) <= set(records)
    assert len({body["content_hash"] for body in kept.values()}) == len(kept)


def test_every_record_has_the_hash_of_its_own_content(spool: Path) -> None:
    for body in payloads(spool).values():
        assert body["payload_hash"] == payload_hash(
            {key: value for key, value in body.items() if key != "payload_hash"}
        )


def test_browsers_tell_their_address_and_dialogs_their_text(spool: Path) -> None:
    records = payloads(spool)
    for frame in FRAMES:
        reference = records[frame.frame_id].get("uia_ref")
        assert bool(reference) == (frame.window.browser or frame.window.dialog)
        if reference:
            text = json.dumps(records[reference["record_id"]], ensure_ascii=False)
            assert (frame.address if frame.window.browser else json.dumps(frame.own[0].split(" || ")[0])[1:-1]) in text


def test_the_same_spool_is_built_again(spool: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    build_spool(again)
    assert payloads(again) == payloads(spool)
