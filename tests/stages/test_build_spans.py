"""Spans of a day: what belongs together, and the text of each."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pipeline.stages.build_spans import build_spans
from schemas.arrow import table_schema
from schemas.canonical import sha256_hex

START = datetime(2026, 3, 1, 10, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def frame(second: float, title: str | None = "notes", hwnd: int | None = 7, **fields: Any) -> dict[str, Any]:
    window = {"window_left": 0, "window_top": 0, "window_right": 100, "window_bottom": 100}
    return {"frame_id": f"r/f/{second:g}", "run_id": "r", "ts_utc": at(second), "app": "editor",
            "window_title": title, "window_hwnd": hwnd} | window | fields  # fmt: skip


def visit(first: float, last: float, url: str, host: str, hwnd: int = 7) -> dict[str, Any]:
    return {"first_seen_utc": at(first), "last_seen_utc": at(last), "window_hwnd": hwnd, "url": url, "host": host,
            "domain": host}  # fmt: skip


def track(text: str, first: float, last: float, box: tuple[int, int, int, int] = (10, 10, 20, 20)) -> dict[str, Any]:
    left, top, right, bottom = box
    return {"track_id": f"r/t/{text}/{first:g}", "text": text, "first_seen_utc": at(first), "last_seen_utc": at(last),
            "left": left, "top": top, "right": right, "bottom": bottom}  # fmt: skip


def loose(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=pa.schema([item.with_nullable(True) for item in table_schema(table)]))


def spans(
    frames: list[dict[str, Any]], visits: list[dict[str, Any]] | None = None, tracks: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    found = build_spans(loose("frames", frames), loose("url_visits", visits or []), loose("line_tracks", tracks or []))
    assert found.schema == table_schema("spans")
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def bounds(rows: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(row["first_frame_id"], row["last_frame_id"], row["frame_count"]) for row in rows]


def test_following_frames_of_one_window_are_a_span() -> None:
    [span] = spans([frame(0), frame(10), frame(20)])
    assert bounds([span]) == [("r/f/0", "r/f/20", 3)]
    assert (span["first_seen_utc"], span["last_seen_utc"]) == (at(0), at(20))
    assert (span["app"], span["window_title"], span["window_hwnd"]) == ("editor", "notes", 7)
    assert (span["url"], span["host"], span["domain"]) == (None, None, None)


@pytest.mark.parametrize("other", [{"title": "mail"}, {"hwnd": 8}, {"app": "viewer"}, {"title": None}])
def test_another_document_in_between_ends_a_span(other: dict[str, Any]) -> None:
    found = spans([frame(0), frame(10, **other), frame(20)])
    assert bounds(found) == [("r/f/0", "r/f/0", 1), ("r/f/10", "r/f/10", 1), ("r/f/20", "r/f/20", 1)]


@pytest.mark.parametrize(("gap", "expected"), [(300, 1), (300.001, 2)])
def test_a_gap_of_more_than_five_minutes_ends_a_span(gap: float, expected: int) -> None:
    assert len(spans([frame(0), frame(gap)])) == expected


def test_a_span_lasts_half_an_hour_at_most() -> None:
    found = spans([frame(second) for second in range(0, 3_900, 300)])
    assert bounds(found) == [("r/f/0", "r/f/1800", 7), ("r/f/2100", "r/f/3600", 6)]


def test_pages_of_one_host_belong_together_whatever_their_title() -> None:
    frames = [frame(0, "Inbox"), frame(10, "Inbox (1)"), frame(20, "News")]
    visits = [visit(0, 5, "mail.example/1", "mail.example"), visit(10, 10, "mail.example/2", "mail.example"),
              visit(20, 20, "news.example", "news.example")]  # fmt: skip
    found = spans(frames, visits)
    assert [(row["url"], row["frame_count"]) for row in found] == [("mail.example/1", 2), ("news.example", 1)]


def test_a_page_of_another_window_says_nothing() -> None:
    [span] = spans([frame(0)], [visit(0, 0, "mail.example", "mail.example", hwnd=8)])
    assert span["host"] is None


def test_the_text_is_the_title_and_each_line_once_in_the_order_of_coming_up_and_reading() -> None:
    tracks = [
        track("right", 0, 20, (50, 10, 60, 20)),
        track("left", 0, 20, (10, 10, 20, 20)),
        track("below", 0, 0, (10, 50, 20, 60)),
        track("later", 10, 20, (10, 0, 20, 9)),
        track("below", 20, 20, (10, 80, 20, 90)),
        track("notes", 0, 20, (10, 0, 20, 9)),
    ]
    [span] = spans([frame(0), frame(10), frame(20)], tracks=tracks)
    assert span["text"] == "notes\nleft\nright\nbelow\nlater"
    assert span["track_ids"] == ["r/t/left/0", "r/t/right/0", "r/t/below/0", "r/t/later/10"]
    assert span["text_sha256"] == sha256_hex(span["text"].encode())


def test_text_outside_the_active_window_is_left_out_unless_its_place_is_not_known() -> None:
    outside = track("behind", 0, 0, (200, 10, 220, 20))
    assert spans([frame(0, None)], tracks=[outside])[0]["text"] == ""
    unknown = dict.fromkeys(("window_left", "window_top", "window_right", "window_bottom"))
    assert spans([frame(0, None, **unknown)], tracks=[outside])[0]["text"] == "behind"


def test_a_line_that_stays_over_two_spans_is_in_both_where_its_window_is_in_front() -> None:
    right = {"window_left": 200, "window_right": 300}
    staying = track("staying", 0, 30, (210, 10, 220, 20))
    found = spans([frame(0, "a"), frame(10, "b", 8, **right), frame(20, "c", 9, **right)], tracks=[staying])
    assert [row["text"] for row in found] == ["a", "b\nstaying", "c\nstaying"]


def test_a_line_that_was_there_only_between_two_spans_is_in_neither() -> None:
    found = spans([frame(0, "a"), frame(20, "b")], tracks=[track("gone", 5, 15)])
    assert [row["text"] for row in found] == ["a", "b"]


def test_the_text_is_bounded_and_no_line_is_cut() -> None:
    tracks = [track(f"{number:03d}" + "x" * 97, 0, 0, (1, number, 2, number + 1)) for number in range(50)]
    [span] = spans([frame(0, "t" * 5_000)], tracks=tracks)
    assert span["text"] == "t" * 1_500
    [span] = spans([frame(0)], tracks=[*tracks, track("end", 0, 0, (1, 90, 2, 91))])
    assert len(span["text"]) <= 1_500
    assert span["text"].splitlines()[-2:] == ["013" + "x" * 97, "end"]


def test_rows_do_not_depend_on_the_order_of_input() -> None:
    frames = [frame(second, f"t{second // 40}") for second in range(0, 200, 10)]
    tracks = [track(f"line {n}", n, n + 25, (n % 90, n % 70, n % 90 + 5, n % 70 + 5)) for n in range(0, 190, 3)]
    visits = [visit(0, 30, "a.example", "a.example"), visit(120, 150, "b.example/x", "b.example")]
    expected = spans(frames, visits, tracks)
    for seed in range(5):
        shuffler = random.Random(seed)
        mixed = [shuffler.sample(rows, len(rows)) for rows in (frames, visits, tracks)]
        assert spans(*mixed) == expected


def test_an_id_changes_with_what_the_span_holds() -> None:
    [one], [same] = spans([frame(0)]), spans([frame(0)])
    [longer], [other] = spans([frame(0), frame(10)]), spans([frame(0)], tracks=[track("more", 0, 0)])
    assert one["span_id"] == same["span_id"]
    assert len({one["span_id"], longer["span_id"], other["span_id"]}) == 3
    assert one["span_id"].startswith("r/derived.span/")


def test_nothing_captured_gives_no_spans() -> None:
    assert spans([]) == []
