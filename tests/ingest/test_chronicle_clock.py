"""Ticks to UTC: anchors, drift, clocks that were set, and what lies too far away."""

from __future__ import annotations

import pytest

from pipeline.errors import ContractInvalid
from pipeline.ingest.chronicle_clock import Anchor, SessionClock, moment_text

HZ = 10_000_000
T0 = 1_772_359_200_000_000_000  # 2026-03-01T10:00:00Z
US = T0 // 1000


def test_one_anchor_and_the_frequency_tell_the_time_before_and_after() -> None:
    clock = SessionClock([Anchor(500, T0)], HZ)
    assert clock.utc_microseconds(500) == US
    assert clock.utc_microseconds(500 + 15 * HZ) == US + 15_000_000
    assert clock.utc_microseconds(500 - HZ // 2) == US - 500_000


def test_drift_between_anchors_is_spread_evenly() -> None:
    clock = SessionClock([Anchor(0, T0), Anchor(1000 * HZ, T0 + 1_000_100_000_000)], HZ)
    assert clock.utc_microseconds(500 * HZ) == US + 500_050_000
    assert clock.utc_microseconds(1000 * HZ) == US + 1_000_100_000
    assert clock.utc_microseconds(1001 * HZ) == US + 1_001_100_000
    assert not clock.was_set


def test_anchors_may_come_in_any_order() -> None:
    anchors = [Anchor(2 * HZ, T0 + 2_000_000_100), Anchor(0, T0), Anchor(HZ, T0 + 1_000_000_000)]
    clock = SessionClock(anchors, HZ)
    assert [clock.utc_microseconds(ticks) for ticks in (0, HZ // 2, HZ, 2 * HZ)] == [
        US,
        US + 500_000,
        US + 1_000_000,
        US + 2_000_000,
    ]


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_was_set_is_followed_from_its_next_anchor_on(jump_s: int) -> None:
    clock = SessionClock([Anchor(0, T0), Anchor(60 * HZ, T0 + (60 + jump_s) * 1_000_000_000)], HZ)
    assert clock.was_set
    assert clock.utc_microseconds(59 * HZ) == US + 59_000_000
    assert clock.utc_microseconds(60 * HZ) == US + (60 + jump_s) * 1_000_000


def test_ticks_more_than_a_day_from_every_anchor_have_no_time() -> None:
    day = 24 * 3600 * HZ
    clock = SessionClock([Anchor(0, T0)], HZ)
    assert clock.utc_microseconds(day) == US + 86_400_000_000
    assert clock.utc_microseconds(day + 1) is None
    assert clock.utc_microseconds(-day - 1) is None


def test_days_between_two_anchors_that_agree_are_no_matter() -> None:
    week = 7 * 24 * 3600
    clock = SessionClock([Anchor(0, T0), Anchor(week * HZ, T0 + week * 1_000_000_000)], HZ)
    assert clock.utc_microseconds(week * HZ // 2) == US + week * 500_000


def test_days_between_two_anchors_that_disagree_have_no_time() -> None:
    clock = SessionClock([Anchor(0, T0), Anchor(2**62, T0 + 1)], HZ)
    assert clock.utc_microseconds(2**61) is None


@pytest.mark.parametrize(
    ("anchors", "frequency", "sentence"),
    [
        ([], HZ, "ties the counter to no UTC time"),
        ([Anchor(0, T0)], 0, "qpc_frequency_hz is no frequency"),
        ([Anchor(0, T0)], -HZ, "qpc_frequency_hz is no frequency"),
        ([Anchor(0, T0)], 2**62, "qpc_frequency_hz is no frequency"),
        ([Anchor(7, T0), Anchor(7, T0 + 1)], HZ, "the same ticks"),
        ([Anchor(0, 0)], HZ, "outside the years 2000 to 2100"),
        ([Anchor(0, -(2**63))], HZ, "outside the years 2000 to 2100"),
    ],
)
def test_clocks_that_tell_no_time_are_refused(anchors: list[Anchor], frequency: int, sentence: str) -> None:
    with pytest.raises(ContractInvalid, match=sentence):
        SessionClock(anchors, frequency)


def test_moments_are_written_with_microseconds() -> None:
    assert moment_text(US) == "2026-03-01T10:00:00.000000Z"
    assert moment_text(US + 1) == "2026-03-01T10:00:00.000001Z"
