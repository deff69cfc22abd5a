"""How time is read in a question."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from pipeline.query.times import TimeReader

NOW = datetime(2026, 3, 16, 18, 30, tzinfo=UTC)  # a Monday
READER = TimeReader(NOW, UTC, datetime(2026, 3, 1, 10, tzinfo=UTC))


@pytest.mark.parametrize(
    ("question", "start", "end"),
    [
        ("Which site about two weeks ago (from 2026-03-01 to 2026-03-04)?", "2026-03-01T00:00", "2026-03-05T00:00"),
        ("what ran yesterday (2026-03-14)?", "2026-03-14T00:00", "2026-03-15T00:00"),
        ("on 2026-03-11, in which full hour", "2026-03-11T00:00", "2026-03-12T00:00"),
        ("in the last 24 hours", "2026-03-15T18:30", "2026-03-16T18:30"),
        ("during the past three days", "2026-03-13T18:30", "2026-03-16T18:30"),
        ("shown during the 16 days", "2026-03-01T00:00", "2026-03-16T18:30"),
        ("since 2026-03-15", "2026-03-15T00:00", "2026-03-16T18:30"),
        ("since Thursday", "2026-03-12T00:00", "2026-03-16T18:30"),
        ("two weeks ago", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("three days ago", "2026-03-13T00:00", "2026-03-14T00:00"),
        ("last week", "2026-03-09T00:00", "2026-03-16T00:00"),
        ("this week", "2026-03-16T00:00", "2026-03-23T00:00"),
        ("last weekend", "2026-03-14T00:00", "2026-03-16T00:00"),
        ("in February", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("in december 2025", "2025-12-01T00:00", "2026-01-01T00:00"),
        ("last month", "2026-02-01T00:00", "2026-03-01T00:00"),
        ("between 9 and 12 on 2026-03-10", "2026-03-10T09:00", "2026-03-10T12:00"),
        ("between 09:00 and 11:30 yesterday", "2026-03-15T09:00", "2026-03-15T11:30"),
        ("from 9 am to 2 pm on Friday", "2026-03-13T09:00", "2026-03-13T14:00"),
        ("from 2026-03-10 09:00 to 10:30", "2026-03-10T09:00", "2026-03-10T10:30"),
        ("2026-03-10T14:00 to 2026-03-10T15:00", "2026-03-10T14:00", "2026-03-10T15:00"),
        ("between March 3rd and March 5", "2026-03-03T00:00", "2026-03-06T00:00"),
        ("on the 5th of March", "2026-03-05T00:00", "2026-03-06T00:00"),
        ("on 11.03.2026", "2026-03-11T00:00", "2026-03-12T00:00"),
        ("at 11:20 on 15 March 2026", "2026-03-15T11:20", "2026-03-15T11:21"),
        ("what was active at 14:05", "2026-03-16T14:05", "2026-03-16T14:06"),
        ("at 23:00", "2026-03-15T23:00", "2026-03-15T23:01"),
        ("the day before yesterday", "2026-03-14T00:00", "2026-03-15T00:00"),
        ("yesterday morning", "2026-03-15T05:00", "2026-03-15T12:00"),
        ("last night", "2026-03-15T18:00", "2026-03-16T00:00"),
        ("last Monday", "2026-03-09T00:00", "2026-03-10T00:00"),
        ("until 2026-03-05", "2026-03-01T00:00", "2026-03-06T00:00"),
        ("before 2026-03-05", "2026-03-01T00:00", "2026-03-05T00:00"),
        ("as of 2026-03-12", "2026-03-01T00:00", "2026-03-13T00:00"),
        ("after 2026-03-12", "2026-03-13T00:00", "2026-03-16T18:30"),
        ("in the week of 4 March", "2026-03-02T00:00", "2026-03-09T00:00"),
    ],
)
def test_time_is_read_as_people_mean_it(question: str, start: str, end: str) -> None:
    stretch = READER.read(question).stretch
    assert stretch is not None
    assert (stretch.start, stretch.end) == (_utc(start), _utc(end))


@pytest.mark.parametrize(
    "question", ["When was INC-204 first and last seen?", "line 1 column 22 (char 21)", "version 4.2.7", "May I ask?"]
)
def test_what_is_no_time_is_left_alone(question: str) -> None:
    assert READER.read(question)[:2] == (None, question)


def test_the_words_of_time_are_taken_out_and_kept() -> None:
    stretch, rest, _, _ = READER.read("Which site did I visit last week most?")
    assert stretch is not None
    assert stretch.words == "last week"
    assert rest.split() == ["Which", "site", "did", "I", "visit", "most?"]


def test_days_are_those_of_the_zone() -> None:
    berlin = TimeReader(NOW, ZoneInfo("Europe/Berlin"))
    stretch = berlin.read("yesterday").stretch
    assert stretch is not None
    assert stretch.start.astimezone(UTC) == _utc("2026-03-14T23:00")


def test_a_point_for_an_option_is_read_or_refused() -> None:
    assert READER.point("2026-03-05").end == _utc("2026-03-06T00:00")
    with pytest.raises(ValueError, match="not a point"):
        READER.point("soon")


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
