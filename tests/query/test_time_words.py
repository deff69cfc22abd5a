"""A pattern that waits for its sign is never late."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.query import time_words

LATE = {name: value for name, value in vars(time_words).items() if isinstance(value, time_words.Late)}


@pytest.mark.parametrize("name", sorted(LATE))
@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_whatever_a_pattern_finds_holds_its_sign(name: str, data: st.DataObject) -> None:
    late = LATE[name]
    text = data.draw(st.from_regex(late.pattern))
    assert re.search(late.pattern, text)
    found = late.search(text)
    assert found is not None
    assert next(late.finditer(text))[0] == found[0]


def test_a_text_without_the_sign_is_left_as_it_is() -> None:
    late = time_words.Late("a+", "a")
    assert late.search("xyz") is None
    assert list(late.finditer("xyz")) == []
    assert late.sub(lambda _: "b", "xyz") == "xyz"
    assert late.sub(lambda _: "b", "xaayaz") == "xbybz"
