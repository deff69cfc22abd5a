"""Who is to blame when a server dies: nobody, until it is shown."""

from __future__ import annotations

import pytest

from pipeline.runs.outages import RESTART_WAIT, Outages, wait_s
from pipeline.stores.catalog import Sample

A, B, C, D = (Sample(name, "frame", "run", 0, "2026-03-01", "10") for name in "abcd")


def names(samples: list[Sample]) -> str:
    return "".join(sample.sample_id for sample in samples)


def test_what_was_with_a_server_that_died_is_read_alone_before_the_rest() -> None:
    outages = Outages()
    assert outages.died("ocr", ["b", "c"], alone=False) == []
    assert [names(part) for part in outages.order("ocr", [A, B, C, D])] == ["bc", ""]
    assert outages.suspects("ocr") == {"b", "c"}
    assert [names(part) for part in outages.order("embed", [A, B, C, D])] == ["", ""]


def test_what_was_answered_is_no_longer_suspected() -> None:
    outages = Outages()
    outages.died("ocr", ["a", "b"], alone=False)
    outages.answered("ocr", ["a"])
    assert [names(part) for part in outages.order("ocr", [A, B])] == ["b", ""]
    assert outages.in_a_row == 0


def test_a_sample_that_a_server_dies_of_each_time_while_it_answers_others_is_blamed() -> None:
    outages = Outages()
    outages.died("ocr", ["a", "b"], alone=False)
    assert outages.died("ocr", ["a"], alone=True) == []
    assert [names(part) for part in outages.order("ocr", [A, B, C])] == ["b", "a"]
    outages.answered("ocr", ["b"])
    assert outages.died("ocr", ["a"], alone=True) == ["a"]
    assert outages.in_a_row == 0
    assert outages.died("ocr", ["a"], alone=True) == ["a"]


def test_a_server_that_dies_of_everything_puts_the_blame_on_no_sample() -> None:
    outages = Outages()
    outages.answered("ocr", ["d"])
    outages.died("ocr", ["a", "b", "c"], alone=False)
    blamed = [outages.died("ocr", [name], alone=True) for name in "abcab"]
    assert blamed == [[]] * 5
    assert outages.in_a_row == 6


def test_answers_of_another_models_server_prove_nothing() -> None:
    outages = Outages()
    outages.died("ocr", ["a"], alone=True)
    outages.answered("embed", ["s"])
    assert outages.died("ocr", ["a"], alone=True) == []


@pytest.mark.parametrize(("deaths", "seconds"), [(1, 0.25), (2, 0.5), (4, 2.0), (12, 8.0)])
def test_the_wait_doubles_up_to_a_limit(deaths: int, seconds: float) -> None:
    assert wait_s(deaths, RESTART_WAIT) == seconds
