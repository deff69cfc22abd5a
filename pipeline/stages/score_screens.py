"""How well what a VLM said about frames agrees with the truth: whole numbers, the same for the same replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from pydantic import Field

from schemas.fields import Contract
from schemas.screen import AppKind, Role, Screen
from schemas.serving import Pixel

SAME_BOX_PERCENT = 50
"""Part of their union that two boxes must share to be those of one element."""

Box = tuple[int, int, int, int]


class TrueElement(Contract):
    """An element that is on a frame, by its box in pixels of the frame."""

    role: Role
    label: str
    bbox: tuple[Pixel, Pixel, Pixel, Pixel]


class TrueScreen(Contract):
    """A line of a file of truth: what is on a frame. `app_kind` is left out where it is not known."""

    frame_id: str = Field(min_length=1)
    app_kind: AppKind | None = None
    elements: list[TrueElement]


def score_screens(truth: Sequence[TrueScreen], said: Mapping[str, Screen]) -> dict[str, int]:
    """Count what is right in what was said about the frames of the truth, by frame id; rates are in 1/1,000.

    An element is found when one of its role is said whose box shares half of their union with its own; each said
    element counts once, the best pairs first. A frame about which nothing valid was said has found nothing.
    """
    counts: Counter[str] = Counter(frames=len(truth), answered=0, true_elements=0, said_elements=0, found=0,
                                   same_label=0, true_kinds=0, same_kind=0)  # fmt: skip
    for screen in truth:
        counts["true_elements"] += len(screen.elements)
        counts["true_kinds"] += screen.app_kind is not None
        told = said.get(screen.frame_id)
        if told is None:
            continue
        counts["answered"] += 1
        counts["said_elements"] += len(told.elements)
        counts["same_kind"] += screen.app_kind == told.app_kind
        pairs = _pairs(screen, told)
        counts["found"] += len(pairs)
        counts["same_label"] += sum(
            _words(screen.elements[one].label) == _words(told.elements[other].label) for one, other in pairs
        )
    return {
        **counts,
        "recall_permille": _rate(counts["found"], counts["true_elements"]),
        "precision_permille": _rate(counts["found"], counts["said_elements"]),
        "label_permille": _rate(counts["same_label"], counts["found"]),
        "kind_permille": _rate(counts["same_kind"], counts["true_kinds"]),
    }


def _pairs(truth: TrueScreen, said: Screen) -> list[tuple[int, int]]:
    likely = sorted(
        (-shared, one, other)
        for one, true in enumerate(truth.elements)
        for other, told in enumerate(said.elements)
        if true.role == told.role and (shared := _shared_percent(true.bbox, told.bbox)) >= SAME_BOX_PERCENT
    )
    pairs: list[tuple[int, int]] = []
    for _, one, other in likely:
        if all(one != first and other != second for first, second in pairs):
            pairs.append((one, other))
    return pairs


def _shared_percent(a: Box, b: Box) -> int:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0
    shared = width * height
    return 100 * shared // ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _words(label: str) -> list[str]:
    return label.casefold().split()


def _rate(part: int, whole: int) -> int:
    return 1000 * part // whole if whole else 0
