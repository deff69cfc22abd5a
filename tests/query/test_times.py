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
        ("on 14/3 and 15/3 (both days together)", "2026-03-14T00:00", "2026-03-16T00:00"),
        ("from 3/2 to 15/3", "2026-02-03T00:00", "2026-03-16T00:00"),
        ("on 3/15", "2026-03-15T00:00", "2026-03-16T00:00"),
        ("yesterday and today", "2026-03-15T00:00", "2026-03-17T00:00"),
        ("on Monday 2 March", "2026-03-02T00:00", "2026-03-03T00:00"),
        ("Tuesday, March 10th, 2026 at 3:30 pm", "2026-03-10T15:30", "2026-03-10T15:31"),
        ("between 9 and 11 on the 12th", "2026-03-12T09:00", "2026-03-12T11:00"),
        ("on the 20th", "2026-02-20T00:00", "2026-02-21T00:00"),
        ("between the 9th and the 11th", "2026-03-09T00:00", "2026-03-12T00:00"),
        ("in the week from 9 to 15 March", "2026-03-09T00:00", "2026-03-16T00:00"),
        ("9-11 March", "2026-03-09T00:00", "2026-03-12T00:00"),
        ("March 9 - 11", "2026-03-09T00:00", "2026-03-12T00:00"),
        ("between 08:00 and 15:30 on Mar 10th", "2026-03-10T08:00", "2026-03-10T15:30"),
        ("from 1-3pm on Mar 10", "2026-03-10T13:00", "2026-03-10T15:00"),
        ("9-11am yesterday", "2026-03-15T09:00", "2026-03-15T11:00"),
        ("from 9 to 5 on Friday", "2026-03-13T09:00", "2026-03-13T17:00"),
        ("yesterday 9:30-10:30", "2026-03-15T09:30", "2026-03-15T10:30"),
        ("at 9 on Friday", "2026-03-13T09:00", "2026-03-13T09:01"),
        ("at 9 o'clock yesterday", "2026-03-15T09:00", "2026-03-15T09:01"),
        ("today at 8:28", "2026-03-16T08:28", "2026-03-16T08:29"),
        ("this morning between 9 and 10", "2026-03-16T09:00", "2026-03-16T10:00"),
        ("in the afternoon of 10 March", "2026-03-10T12:00", "2026-03-10T18:00"),
        ("Friday afternoon", "2026-03-13T12:00", "2026-03-13T18:00"),
        ("in the morning", "2026-03-16T05:00", "2026-03-16T12:00"),
        ("after 3pm yesterday", "2026-03-15T15:01", "2026-03-16T00:00"),
        ("before noon on Friday", "2026-03-13T00:00", "2026-03-13T12:00"),
        ("last seen before 14:00 on 10 March", "2026-03-01T00:00", "2026-03-10T14:00"),
        ("since this morning", "2026-03-16T05:00", "2026-03-16T18:30"),
        ("since last week", "2026-03-09T00:00", "2026-03-16T18:30"),
        ("since 10 March until 12 March", "2026-03-10T00:00", "2026-03-13T00:00"),
        ("last 24h", "2026-03-15T18:30", "2026-03-16T18:30"),
        ("past week", "2026-03-09T18:30", "2026-03-16T18:30"),
        ("Tuesday last week", "2026-03-10T00:00", "2026-03-11T00:00"),
        ("last week on Tuesday", "2026-03-10T00:00", "2026-03-11T00:00"),
        ("from Friday to Sunday", "2026-03-13T00:00", "2026-03-16T00:00"),
        ("from Saturday to Monday", "2026-03-14T00:00", "2026-03-17T00:00"),
        ("in week 10", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("2026-W10", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("in the first week of March", "2026-03-01T00:00", "2026-03-02T00:00"),
        ("in the second week of March", "2026-03-02T00:00", "2026-03-09T00:00"),
        ("in the first half of February", "2026-02-01T00:00", "2026-02-16T00:00"),
        ("on the first Monday of March", "2026-03-02T00:00", "2026-03-03T00:00"),
        ("the last 3 days of last week", "2026-03-13T00:00", "2026-03-16T00:00"),
        ("in 2025", "2025-01-01T00:00", "2026-01-01T00:00"),
        ("on 20 March", "2026-03-20T00:00", "2026-03-21T00:00"),
        ("in the morning on Oct 24 (2026-03-10)", "2026-03-10T05:00", "2026-03-10T12:00"),
    ],
)
def test_time_is_read_as_people_mean_it(question: str, start: str, end: str) -> None:
    stretch = READER.read(question).stretch
    assert stretch is not None
    assert (stretch.start, stretch.end) == (_utc(start), _utc(end))


@pytest.mark.parametrize(
    "question",
    [
        "When was INC-204 first and last seen?", "line 1 column 22 (char 21)", "version 4.2.7", "May I ask?",
        "report-2026-03-10.pdf", "upload of 2026-03.zip", "on the 2nd page", "24/7 support", "3/4 of it",
        "stopped at 12 %",
        "error E4033 UTC-8 encoded", "What did the second error say?",
    ],
)  # fmt: skip
def test_what_is_no_time_is_left_alone(question: str) -> None:
    assert READER.read(question)[:2] == (None, question)


@pytest.mark.parametrize(
    "question",
    [
        "on Monday and Wednesday", "on 9 and 12 March", "between 9 and 11 last week", "every Monday", "pages per day",
        "in the mornings", "in the last 5 working days", "in late February", "on Mondays", "this quarter",
    ],
)  # fmt: skip
def test_what_is_no_one_stretch_of_time_is_unclear(question: str) -> None:
    assert READER.read(question).unclear


@pytest.mark.parametrize(
    ("question", "start"),
    [
        ("at 10:52 Berlin time on 10 March", "2026-03-10T09:52"),
        ("at 10:52 on 10 March (Europe/Berlin)", "2026-03-10T09:52"),
        ("at 10:52 CET on 10 March", "2026-03-10T09:52"),
        ("at 10:52 UTC+1 on 10 March", "2026-03-10T09:52"),
        ("at 9:15 am New York time on 10 March", "2026-03-10T13:15"),
        ("on 10 March in UTC", "2026-03-10T00:00"),
    ],
)
def test_a_zone_that_the_question_names_is_taken(question: str, start: str) -> None:
    reading = TimeReader(NOW, ZoneInfo("Asia/Tokyo"), datetime(2026, 3, 1, 10, tzinfo=UTC)).read(question)
    assert reading.stretch is not None
    assert reading.zone is not None
    assert reading.stretch.start.astimezone(UTC) == _utc(start)


def test_hours_back_are_counted_as_they_pass_where_the_clock_was_put_back() -> None:
    reader = TimeReader(datetime(2025, 10, 26, 12, tzinfo=UTC), ZoneInfo("Europe/Berlin"))
    stretch = reader.read("in the last 24 hours").stretch
    assert stretch is not None
    assert stretch.start.astimezone(UTC) == _utc("2025-10-25T12:00")


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
