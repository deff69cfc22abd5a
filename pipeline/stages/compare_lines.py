"""What two models read on the same frame, place by place, and where they disagree.

model a   [File  Edit]  [Save as]   [l0]
model b   [File] [Edit] [Save  as]       [OK]
          cut           spaces      only_a only_b
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Box = tuple[int, int, int, int]
Kind = Literal["same", "cut", "spaces", "text", "only_a", "only_b"]

KINDS: tuple[Kind, ...] = ("same", "cut", "spaces", "text", "only_a", "only_b")
"""How the two can stand to each other at a place: the same text; the same cut into lines elsewhere; another but for
white space; another text; read by one model only."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place on a frame where at least one of two models read something; the box holds all lines of both."""

    kind: Kind
    box: Box
    text_a: str
    text_b: str


def compare_lines(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[Place]:
    """Compare the lines of two records of one frame; places come from top to bottom, then from left to right.

    Lines are as in a record's `output_json`: `{"bbox", "score", "text"}`. Lines of both models belong to one place
    when they share at least half of the smaller one's area, and so do all that such pairs link together.
    """
    boxes = [*(tuple(line["bbox"]) for line in a), *(tuple(line["bbox"]) for line in b)]
    texts = [*(line["text"] for line in a), *(line["text"] for line in b)]
    places = [_place(group, boxes, texts, len(a)) for group in _groups(boxes, len(a))]
    return sorted(places, key=lambda place: (place.box[1], place.box[0], place.box, place.text_a, place.text_b))


def _groups(boxes: Sequence[Box], first_b: int) -> Iterator[list[int]]:
    """Numbers of lines that belong to one place."""
    leader = list(range(len(boxes)))

    def lead(number: int) -> int:
        while leader[number] != number:
            number = leader[number]
        return number

    by_top = sorted(range(first_b, len(boxes)), key=lambda number: boxes[number][1])
    for one in range(first_b):
        for other in by_top:
            if boxes[other][1] >= boxes[one][3]:
                break
            if _share_half(boxes[one], boxes[other]):
                leader[max(lead(one), lead(other))] = min(lead(one), lead(other))
    found: dict[int, list[int]] = {}
    for number in range(len(boxes)):
        found.setdefault(lead(number), []).append(number)
    yield from found.values()


def _share_half(a: Box, b: Box) -> bool:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return False
    return 2 * width * height >= min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _place(group: Sequence[int], boxes: Sequence[Box], texts: Sequence[str], first_b: int) -> Place:
    ours, theirs = [n for n in group if n < first_b], [n for n in group if n >= first_b]
    text_a, text_b = (_joined(side, boxes, texts) for side in (ours, theirs))
    sides = list(zip(*(boxes[number] for number in group), strict=True))
    box = (min(sides[0]), min(sides[1]), max(sides[2]), max(sides[3]))
    return Place(_kind(len(ours), len(theirs), text_a, text_b), box, text_a, text_b)


def _joined(side: Sequence[int], boxes: Sequence[Box], texts: Sequence[str]) -> str:
    ordered = sorted(side, key=lambda number: (boxes[number][1], boxes[number][0], boxes[number], texts[number]))
    return " ".join(texts[number] for number in ordered)


def _kind(ours: int, theirs: int, text_a: str, text_b: str) -> Kind:
    if not theirs:
        return "only_a"
    if not ours:
        return "only_b"
    if (ours, theirs) == (1, 1) and text_a == text_b:
        return "same"
    if text_a.split() == text_b.split():
        return "cut"
    return "spaces" if "".join(text_a.split()) == "".join(text_b.split()) else "text"
