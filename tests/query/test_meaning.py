"""Search by meaning: it finds the place, and words decide; without it every answer is what it was."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from meaning_memory import embedding_server, process_with_meaning, titled_frame
from screen_memory import Memory

from pipeline.dataroot import DataRoot
from pipeline.query.ask import Asking, Reading, ask
from pipeline.runs.servers import find_server, start_server, stop_server
from pipeline.stores.landscape_build import build_landscape
from schemas.answer import Answer

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

NOW = datetime(2026, 3, 10, 18, tzinfo=UTC)
STORED = "On which shelf are the spare rolls for printers stored?"
"""The line says 'kept'."""
_OTHER = [" ".join(f"{row}{a}{b}" for a in "aeiou" for b in "klmn") for row in "bcdfghjpqrst"]
"""Twelve lines of twenty words that say nothing."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> DataRoot:
    """Six windows with a few lines each; read only."""
    memory = Memory(tmp_path_factory.mktemp("meaning") / "root")
    shown = {
        titled_frame(memory, 0, "2026-03-01T10:00:00.000Z", "Shift notes"):
            ["Spare rolls for printers are kept on shelf 14", "Ask the vendor desk about order 7731",
             "The cooling pump could not be held at 30 degrees"],
        titled_frame(memory, 1, "2026-03-02T10:00:00.000Z", "Freeze plan"):
            ["The window starts on 17 March at 12:00", "Tickets opened by the night crew: 12"],
        titled_frame(memory, 2, "2026-03-03T10:00:00.000Z", "Garden journal", "browser"):
            ["Tulips are kept in the shed", "The roses bloom in June"],
        titled_frame(memory, 3, "2026-03-04T10:00:00.000Z", "INC-204 Slow queue"):
            ["Messages are held for 9 minutes by the broker", "Opened by the dock crew on 3 March"],
        titled_frame(memory, 4, "2026-03-05T10:00:00.000Z", "Stops of the printer"):
            ["Seen at the dock on 4 March", "Labels are kept"],
        titled_frame(memory, 5, "2026-03-06T10:00:00.000Z", "Reader"):
            [*_OTHER, "Candles are kept in box 7"],
    }  # fmt: skip
    process_with_meaning(memory, shown)
    build_landscape(memory.root)
    return memory.root


@pytest.fixture
def served(desk: DataRoot) -> Iterator[DataRoot]:
    with embedding_server(desk):
        yield desk


def asked(root: DataRoot, question: str, within_s: float = 60, **options: str) -> tuple[Answer, Reading]:
    """Ask, and wait for a server on a busy machine."""
    answer, reading = ask(root, question, Asking(NOW, UTC, embedded_within_s=within_s, **options))  # type: ignore[arg-type]
    assert reading is not None
    return answer, reading


def test_a_word_is_read_as_another_and_the_claim_says_so(served: DataRoot) -> None:
    answer, reading = asked(served, STORED)
    assert answer.summary == (
        "Spare rolls for printers are kept on shelf 14"
        " (2026-03-01 10:00:00 UTC; found by meaning: “stored” read as “kept”)"
    )
    [citation] = answer.citations
    assert (citation.text, citation.line, citation.bbox) == (
        "Spare rolls for printers are kept on shelf 14", 0, (10, 0, 300, 18)
    )  # fmt: skip
    assert citation.model_id == "a"
    assert answer.parts_used == ["text_index", "landscape"]
    assert answer.confidence_pct < 90
    assert reading.meaning.startswith("joined in: 6 spans")


def test_a_plain_word_may_be_any_word_of_the_question(served: DataRoot) -> None:
    answer, _ = asked(served, "On which rack are the spare rolls for printers kept?")
    assert "found by meaning: “rack” read as “shelf”" in answer.summary


def test_without_a_server_nothing_is_found_by_meaning(desk: DataRoot) -> None:
    answer, reading = asked(desk, STORED)
    assert (answer.state, answer.parts_used, answer.missing) == ("no_evidence", ["text_index"], [])
    assert reading.meaning == "did not join in: no embedding server runs"


def test_what_is_written_needs_no_server(desk: DataRoot) -> None:
    question = "On which shelf are the spare rolls kept?"
    alone, _ = asked(desk, question)
    with embedding_server(desk) as texts:
        served, reading = asked(desk, question)
    assert texts == []
    assert reading.meaning == "not asked: what the question names was found as it is written"
    assert without_run(served) == without_run(alone)
    assert (alone.state, alone.parts_used) == ("ok", ["text_index"])


def test_the_title_may_have_a_word_of_the_question(served: DataRoot) -> None:
    answer, _ = asked(served, "When does the freeze window start?")
    assert answer.summary.startswith("The window starts on 17 March at 12:00 — Freeze plan (")
    assert [item.source for item in answer.citations] == ["ocr", "window"]
    assert answer.parts_used == ["text_index", "landscape"]
    assert answer.confidence_pct < 95


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("On which shelf are the spare rolls for printers of dock 9 stored?", "a number that stands nowhere"),
        ("On which shelf are the spare rolls for printers stored after INC-999?", "an identifier"),
        ("On which shelf are the 'blue rolls' for printers stored?", "a quoted phrase"),
        ("On which shelf are the spare rolls for Printers of Oslo stored?", "a name"),
        ("On which Rack are the spare rolls for printers kept?", "a name, even if it means the same"),
        ("On which shelf are the spare rolls for scanners stored?", "another word that no line has"),
        ("On which shelf are rolls guarded?", "a word that means nearly the same"),
        (
            "If it is so, what is it that you can tell me about this and that and all of the other things:"
            " which rolls for printers are ruined and on which shelf are these?",
            "a word that any other could stand for, since it hardly matters",
        ),
        ("In which box are candles stored?", "a span that is not like the question"),
        ("When were the stops of the printer at the dock?", "more words in the title than in the line"),
        ("When were the spare rolls for printers on the shelf stored?", "a time that is asked for"),
        ("How many tickets were closed by the night crew?", "an opposite"),
        ("At how many degrees could the cooling pump be stored?", "a line that says not"),
        ("Where are sheds stored for dogs?", "too few words"),
    ],
)
def test_what_no_line_states_is_not_answered(served: DataRoot, question: str, why: str) -> None:
    answer, reading = asked(served, question)
    assert reading.meaning.startswith("joined in"), why
    assert (answer.state, answer.claims, answer.dropped) == ("no_evidence", [], []), why


def test_a_place_outside_of_the_time_or_the_program_is_not_looked_at(served: DataRoot) -> None:
    assert asked(served, STORED)[0].state == "ok"
    assert asked(served, STORED, since="2026-03-02")[0].state == "no_evidence"
    assert asked(served, STORED, until="2026-02-28")[0].state == "no_evidence"
    assert asked(served, STORED, app="browser")[0].state == "no_evidence"
    assert asked(served, STORED, app="editor")[0].state == "ok"


def test_other_kinds_of_question_ask_no_server(desk: DataRoot) -> None:
    with embedding_server(desk) as texts:
        answer, reading = asked(desk, "Which windows were active on 2026-03-01?")
    assert (answer.state, texts) == ("ok", [])
    assert reading.meaning.startswith("not asked")


def test_a_server_with_another_model_or_a_slow_one_is_left_aside(desk: DataRoot) -> None:
    with embedding_server(desk, name="other") as texts:
        answer, reading = asked(desk, STORED)
    assert (answer.state, texts) == ("no_evidence", [])
    assert reading.meaning == "did not join in: the embedding server has another model than the landscape"
    with embedding_server(desk, delay_s=0.2):
        answer, reading = asked(desk, STORED, within_s=0.05)
    assert answer.state == "no_evidence"
    assert reading.meaning == "did not join in: the embedding server did not answer within 50 ms"


def test_without_a_landscape_no_server_is_asked(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    process_with_meaning(memory, {titled_frame(memory, 0, "2026-03-01T10:00:00.000Z", "Notes"): ["Rolls: kept here"]})
    memory.root.landscape_manifest.unlink(missing_ok=True)
    with embedding_server(memory.root) as texts:
        answer, reading = asked(memory.root, STORED)
    assert (answer.state, texts) == ("no_evidence", [])
    assert reading.meaning.startswith("did not join in: no landscape was built")


def test_the_same_question_gets_the_same_answer(desk: DataRoot) -> None:
    answers = set()
    for _ in range(2):
        with embedding_server(desk):
            answers |= {without_run(asked(desk, STORED)[0]) for _ in range(25)}
    assert len(answers) == 1


@pytest.mark.slow
def test_a_thousand_times_the_same_answer(desk: DataRoot) -> None:
    answers = set()
    for _ in range(2):
        with embedding_server(desk):
            answers |= {without_run(asked(desk, STORED)[0]) for _ in range(500)}
    assert len(answers) == 1


@pytest.mark.slow
def test_the_real_model_reads_a_word_as_another_and_no_opposite(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    memory = Memory(tmp_path / "root")
    frame = titled_frame(memory, 0, "2026-03-01T10:00:00.000Z", "Team contacts")
    lines = ["The messaging team answers in channel #msg-help", "Port 7443 must be open for the agent"]
    server = [sys.executable, "-m", "workers.embed", "--run-file", str(memory.root.worker_file("embed"))]
    start_server(memory.root, "embed", server, timeout_s=120)
    try:
        process_with_meaning(memory, {frame: lines}, find_server(memory.root, "embed"))
        build_landscape(memory.root)
        answer, _ = asked(memory.root, "In which channel does the messaging team reply?")
        assert "found by meaning: “reply” read as “answers”" in answer.summary
        for question in ("Which port must be closed for the agent?", "Who leads the messaging team?"):
            assert asked(memory.root, question)[0].state == "no_evidence"
    finally:
        stop_server(memory.root, "embed")


def test_nothing_is_written(served: DataRoot) -> None:
    before = everything(served)
    asked(served, STORED)
    assert everything(served) == before


def without_run(answer: Answer) -> str:
    return json.dumps(answer.model_dump(by_alias=True, exclude={"query_run_id", "latency_ms_total"}))


def everything(root: DataRoot) -> dict[str, str]:
    files = sorted(path for path in root.path.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
