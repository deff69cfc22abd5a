"""Whatever is asked, there is an answer object: nothing in a question can break it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processed_desk import answer_of

from pipeline.dataroot import DataRoot

_WORDS = """
which site most visited when was first last seen program window active how long many 'Sync error' "OPS-117" ` ' ( ) * --
; OR NEAR 日本 ABC-123 of the form 2026-03-04 2026-99-99 9999-12-31 0001-01-01 25:61 between and from to since yesterday
last 99999 years ago week command error search for dialog mail.example.com OPS-117 %s {} \\ [a-z]+ \ue000 İ \x00
"""
_PIECES = st.sampled_from(_WORDS.split())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_PIECES | st.text(max_size=8), min_size=1, max_size=14))
def test_no_question_breaks_it(processed_desk: DataRoot, pieces: list[str]) -> None:
    question = f"x {' '.join(pieces)}"
    answer = answer_of(processed_desk, question)
    assert answer.query == question
    assert (answer.state == "ok") == bool(answer.claims)
    for claim in answer.claims:
        assert claim.citations


@pytest.mark.parametrize(
    "question",
    ["last 9999 years", "9000 months ago", "since 0001-01-01", "from 9999-12-31 to 9999-12-31", "at 25:61", "in may"],
)
def test_odd_times_are_read_or_left(processed_desk: DataRoot, question: str) -> None:
    assert answer_of(processed_desk, f"Which sites were visited {question}?").state in ("ok", "no_evidence")
