"""What a VLM said, held against the truth."""

from __future__ import annotations

from typing import Any

from pipeline.stages.score_screens import TrueElement, TrueScreen, score_screens
from schemas.screen import Screen, UiElement


def true(frame: str, *elements: tuple[Any, str, tuple[int, int, int, int]], kind: Any = "browser") -> TrueScreen:
    parts = [TrueElement(role=role, label=label, bbox=box) for role, label, box in elements]
    return TrueScreen(frame_id=frame, app_kind=kind, elements=parts)


def said(*elements: tuple[Any, str, tuple[int, int, int, int]], kind: Any = "browser") -> Screen:
    parts = [UiElement(role=role, label=label, bbox=box, state="normal") for role, label, box in elements]
    return Screen(width=800, height=600, app_kind=kind, summary="", elements=parts, dialogs=[], dropped=0)


SAVE = ("button", "Save", (10, 10, 110, 40))
OPEN = ("button", "Open", (200, 10, 300, 40))
NAME = ("input", "Name", (10, 100, 300, 130))


def test_a_reply_that_is_the_truth_has_full_marks() -> None:
    scores = score_screens([true("a", SAVE, OPEN, NAME)], {"a": said(SAVE, OPEN, NAME)})
    assert scores == {
        "frames": 1, "answered": 1, "true_elements": 3, "said_elements": 3, "found": 3, "same_label": 3,
        "true_kinds": 1, "same_kind": 1,
        "recall_permille": 1000, "precision_permille": 1000, "label_permille": 1000, "kind_permille": 1000,
    }  # fmt: skip


def test_role_box_and_label_each_count() -> None:
    another_role = ("link", "Save", SAVE[2])
    elsewhere = ("button", "Open", (250, 30, 350, 60))
    another_label = ("input", "Nane", (12, 101, 300, 131))
    scores = score_screens([true("a", SAVE, OPEN, NAME)], {"a": said(another_role, elsewhere, another_label)})
    assert (scores["found"], scores["same_label"]) == (1, 0)
    assert (scores["recall_permille"], scores["precision_permille"], scores["label_permille"]) == (333, 333, 0)


def test_an_element_said_twice_is_found_once() -> None:
    twice = ("button", "save", (10, 10, 108, 40))
    scores = score_screens([true("a", SAVE)], {"a": said(twice, SAVE)})
    assert (scores["found"], scores["same_label"], scores["precision_permille"]) == (1, 1, 500)


def test_a_frame_without_a_reply_has_found_nothing_and_other_frames_do_not_count() -> None:
    scores = score_screens([true("a", SAVE), true("b", OPEN, kind=None)], {"b": said(OPEN), "c": said(SAVE)})
    assert (scores["frames"], scores["answered"], scores["found"], scores["recall_permille"]) == (2, 1, 1, 500)
    assert (scores["true_kinds"], scores["kind_permille"]) == (1, 0)


def test_no_truth_at_all_divides_nothing_by_nothing() -> None:
    assert score_screens([], {})["recall_permille"] == 0
