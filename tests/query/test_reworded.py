"""Other words for a question's: which may stand for which, and which never."""

from __future__ import annotations

import pytest

from pipeline.query.reworded import are_opposites, negates, stand_ins, wording


def test_one_word_is_replaced_where_it_stands() -> None:
    assert wording("Where is it kept, and who kept it?", "kept", "stored") == "Where is it stored, and who kept it?"
    assert wording("Who keeps the keepsakes?", "keep", "holds") == "Who keeps the keepsakes?"
    assert wording("Who kept it?", "kept", r"\1") == r"Who \1 it?"


def test_plain_words_of_a_line_may_stand_in_but_not_those_of_the_question() -> None:
    assert stand_ins("Spare rolls are kept on shelf 14", ["rolls", "shelf", "stored"]) == ["spare", "kept"]


@pytest.mark.parametrize("line", ["INC-204 P3", "at 09:20 on dock-3", "is it the", "at Cedar", "parse.py"])
def test_names_numbers_and_words_of_asking_never_stand_in(line: str) -> None:
    assert [word for word in stand_ins(line, []) if word != "dock"] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("opened", "closed"), ("first", "last"), ("maximum", "minimum"), ("received", "sent"), ("started", "stopped"),
        ("failed", "passed"), ("mean", "median"), ("locked", "unlocked"), ("visible", "invisible"),
        ("opened", "reopened"), ("full", "incremental"), ("increase", "decrease"), ("before", "after"),
    ],
)  # fmt: skip
def test_opposites_are_no_other_words(one: str, other: str) -> None:
    assert are_opposites(one, other)
    assert are_opposites(other, one)


@pytest.mark.parametrize(
    ("one", "other"), [("kept", "stored"), ("closed", "shut"), ("start", "begin"), ("retain", "keeps"), ("", "kept")]
)
def test_synonyms_are_no_opposites(one: str, other: str) -> None:
    assert not are_opposites(one, other)


def test_a_line_that_says_not_is_another_statement() -> None:
    assert negates("Could not upload 14 labels", "How many labels were uploaded?")
    assert negates("It doesn’t charge", "Does it charge?")
    assert not negates("Could not upload 14 labels", "How many labels could not be uploaded?")
    assert not negates("Notes on shelf 14", "Which notes are there?")
