"""Questions about the bundled desk, in several wordings; and questions that have no answer there."""

from __future__ import annotations

import hashlib

import pytest
from processed_desk import answer_of, texts_of

from pipeline.dataroot import DataRoot, rid
from pipeline.stores.evidence import EvidenceStore

MARCH_4 = "on 2026-03-04"


@pytest.mark.parametrize(
    ("says", "questions"),
    [
        (["tracker.example.org", "2 page loads"], [
            f"How many pages were loaded on tracker.example.org {MARCH_4}?",
            "How often did I open tracker.example.org on March 4?",
            "Number of page visits to tracker.example.org on 4 March 2026?",
        ]),
        (["1. mail.example.com: 3 page loads", "2. tracker.example.org: 3 page loads"], [
            "Which two sites were visited most from 2026-03-01 to 2026-03-09?",
            "Top 2 domains by page loads between March 1 and March 9",
            "What two websites did I go to the most during the 16 days?",
        ]),
        (["mail.example.com: first seen 2026-03-04 08:20:24 UTC", "search.example.net", "tracker.example.org"], [
            f"Which websites did I visit {MARCH_4}?",
            "List the domains that were open in the browser on March 4, with first and last time.",
            f"What sites were open in the active browser window {MARCH_4}, and when was each first and last seen?",
        ]),
        (["Chromium was active for 80 minutes", "XTerm was active for 45 minutes"], [
            f"Rank the two programs with the most active time {MARCH_4}.",
            "Which two apps did I use the most on March 4?",
            "Top 2 applications by time on 4 March",
        ]),
        (["Mousepad was active for 35 minutes"], [
            f"For how many minutes was Mousepad active {MARCH_4}?", "How long did I use mousepad on March 4?",
            "How much time was spent in Mousepad on 4 March?",
        ]),
        (["Chromium was active longest without a break: from 2026-03-04 08:20:21 UTC", "80 minutes"], [
            f"{MARCH_4}, which program had the longest uninterrupted time as the active program, and how many minutes?",
            "On March 4, what was the longest single session of one program?",
            f"Which application stayed in front for the longest stretch without interruption {MARCH_4}?",
        ]),
        (["between 2026-03-04 09:00:00 UTC and 2026-03-04 10:00:00 UTC: 3 times"], [
            f"{MARCH_4}, in which full hour did the active window change most often, and how many times?",
            "In which hour of 2026-03-04 did I switch windows most often?",
            "During what hour on March 4 was there the highest number of window switches?",
        ]),
        (["XTerm", "Console", "since 2026-03-15 11:00:13 UTC"], [
            "What was active at 11:10 on 2026-03-15?", "Which window was in the foreground on March 15 at 11:10 am?",
            "Which program was I using on 2026-03-15 at 11:10?",
        ]),
        (["\"Lighting - Office Supply Shop - Chromium\"", "first seen 2026-03-01 10:24:43 UTC", "4 windows"], [
            "Which windows (program and title) were active on 2026-03-01, and when was each first and last seen?",
            "List all windows I had open on March 1", "Which window titles were in focus on 1 March?",
        ]),
        (["OPS-117 was first seen 2026-03-04 08:31:51 UTC", "OPS-117 was last seen 2026-03-04 10:15:41 UTC"], [
            "When was the identifier OPS-117 first and last seen on screen?",
            "When did OPS-117 appear for the first and the last time?", "First and last time that OPS-117 was visible?",
        ]),
        (["OPS-117: first seen"], [
            f"Which identifiers of the form ABC-123 were seen {MARCH_4}?",
            f"List all ticket numbers that appeared {MARCH_4}",
            f"What issue keys were visible {MARCH_4}?",
        ]),
        (["\"clear stuck print spooler\""], [
            "What was the last search term typed into the search site?", "What did I search for on March 4?",
            "Which phrase did I google last?",
        ]),
        (["Sync error", "2026-03-08", "Backup failed", "2026-03-16", "2 error or warning dialogs"], [
            "Which error or warning dialogs were shown during the 16 days? Give title and date of each.",
            "Did any warning popups appear since March 1?",
            "List the error dialogs that I saw between March 1 and today",
        ]),
        (["Could not upload 14 labels to 192.0.2.15. Error 0x80070035.", "96 seconds"], [
            "What did the dialog titled 'Sync error' on 2026-03-08 say, and for how many seconds was it open?",
            "How long was the \"Sync error\" popup visible?", "What was the text of the message box 'Sync error'?",
        ]),
        (["\"python3 check2.py\" ended with: 1 of 6 checks failed"], [
            "With which error did the command \"python3 check2.py\" end?", "What error did python3 check2.py give?",
            "How did running python3 check2.py fail?",
        ]),
        (["Opened at: 2026-03-04 07:42:10"], [
            "When was OPS-117 opened?", "At what time was OPS-117 opened?", "On what date did they open OPS-117?",
        ]),
        (["Assigned to: warehouse support"], [
            "Who is OPS-117 assigned to?", "To whom was OPS-117 assigned?", "Who got OPS-117 assigned?",
        ]),
    ],
)  # fmt: skip
def test_the_same_is_answered_in_any_wording(processed_desk: DataRoot, says: list[str], questions: list[str]) -> None:
    for question in questions:
        answer = answer_of(processed_desk, question)
        assert answer.state == "ok", (question, answer.summary)
        assert [part for part in says if part not in texts_of(answer)] == [], (question, texts_of(answer))
        assert answer.dropped == []


@pytest.mark.parametrize(
    "question",
    [
        "At what time was OPS-117 closed?",
        "What is the telephone number of the warehouse team?",
        "Which search term was typed into the search site on 2026-03-01?",
        "What was the total of the order that was paid in the shop?",
        "Which password was used to sign in to mail.example.com?",
        "Which commit subjects were pushed to the remote repository on 2026-03-09?",
        "Which page buttons were clicked on 2026-03-04?",
        "What is the background colour of the page at mail.example.com?",
        "Which two windows stood side by side on 2026-03-04?",
        "How many messages did I send?",
        "When was ZZZ-999 first seen?",
        "Which sites were visited on 2026-03-02?",
        "Who won the football match?",
        "What did the dialog titled 'Low toner' say?",
        'With which error did the command "make install" end?',
        "What is in front of the house?",
    ],
)
def test_what_no_evidence_states_is_not_answered(processed_desk: DataRoot, question: str) -> None:
    answer = answer_of(processed_desk, question)
    assert (answer.state, answer.claims, answer.citations) == ("no_evidence", [], [])
    assert not answer.needs_processing


def test_every_citation_resolves_to_a_frame_that_shows_it(processed_desk: DataRoot) -> None:
    answer = answer_of(processed_desk, "Which sites were visited during the 16 days?")
    assert len(answer.citations) >= 10
    with EvidenceStore(processed_desk) as evidence:
        rows = evidence.rows(
            {item.frame_id for item in answer.citations} | {item.record_id for item in answer.citations}
        )
    for item in answer.citations:
        blob = next(processed_desk.media.rglob(f"{rid(item.frame_id)}.blob"))
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == item.content_hash
        assert item.text in rows[item.record_id].payload
        assert item.offset_end - item.offset_start == len(item.text)
        assert item.claim_text == answer.claims[item.claim_index].text
        assert item.citation_index in answer.claims[item.claim_index].citations


def test_a_line_is_cited_with_its_place_and_model(processed_desk: DataRoot) -> None:
    answer = answer_of(processed_desk, "When was 'Nightly build 418 passed' last seen?")
    (citation,) = answer.citations
    assert (citation.source, citation.text, citation.model_id) == ("ocr", "Nightly build 418 passed", "truth")
    assert citation.bbox == (581, 334, 767, 352)
    assert citation.line is not None


def test_filters_narrow_what_is_looked_at(processed_desk: DataRoot) -> None:
    question = "When was OPS-117 first and last seen?"
    assert "10:15:41" in texts_of(answer_of(processed_desk, question))
    assert "08:35:14" in texts_of(answer_of(processed_desk, question, app="Chromium"))
    assert answer_of(processed_desk, question, since="2026-03-05").state == "no_evidence"
    assert "08:31:51" in texts_of(answer_of(processed_desk, question, until="2026-03-04"))


def test_citations_are_limited_and_the_rest_is_named(processed_desk: DataRoot) -> None:
    question = "Which site was visited most from 2026-03-01 to 2026-03-01?"
    (whole,) = answer_of(processed_desk, question, max_citations=100).claims[:1]
    limited = answer_of(processed_desk, question, max_citations=1)
    assert len(limited.citations) == 1
    assert limited.summary == whole.text
    assert len(limited.claims[0].rows) == len(whole.rows) + len(whole.citations) - 1


def test_the_reading_of_time_is_shown(processed_desk: DataRoot) -> None:
    answer = answer_of(processed_desk, "Which sites did I visit last week?")
    assert answer.coverage.read_as == "last week"
    assert (answer.coverage.from_utc, answer.coverage.to_utc) == (
        "2026-03-09T00:00:00.000Z",
        "2026-03-16T00:00:00.000Z",
    )
    assert (answer.coverage.frames_captured, answer.coverage.frames_processed) == (4, 4)


def test_the_same_question_gets_the_same_answer(processed_desk: DataRoot) -> None:
    def content() -> dict[str, object]:
        return answer_of(processed_desk, "Which sites did I visit?").model_dump(
            exclude={"query_run_id", "latency_ms_total"}
        )

    assert content() == content()
