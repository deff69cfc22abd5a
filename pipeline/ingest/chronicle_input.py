"""Mouse events of a chronicle session as input summaries, one for each minute of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.ingest.chronicle_clock import moment_text
from schemas import chronicle_pb2 as pb

Summary = tuple[int, dict[str, Any]]
"""When the last of its events was, in µs since 1970, and the fields of `derived.input.summary`."""

_MINUTE_US = 60_000_000
_TENTH_US = 100_000
_MOST_KEPT = 5_000
_MOST_BYTES = 1 << 20
_MOST_DEVICES = 1_000
_BUTTONS = ("left", "right", "middle", "x1", "x2")


def summarize_input(events: Iterable[tuple[int, pb.InputEvent]]) -> Iterator[Summary]:
    """Sum up events, given with their time in µs, in the order they were recorded.

        ── 10:00 ─────────────────────── 10:01 ──────────
        move move move click  scroll  │  move …
        └────┬───────┘
        one is kept for each tenth of a second

    A summary ends with the minute, or before it gets too large for a row. Clicks (a button that was up before) and
    scrolls are all kept; `event_count` counts every event; the recorder's file is kept whole beside.
    """
    stretch = _Stretch()
    held: dict[str, int] = {}
    for microseconds, event in events:
        if stretch.count and (stretch.minute != microseconds // _MINUTE_US or stretch.is_full):
            yield stretch.close()
            stretch = _Stretch()
        stretch.add(microseconds, event, _pressed(event, held))
    if stretch.count:
        yield stretch.close()


def _pressed(event: pb.InputEvent, held: dict[str, int]) -> list[str]:
    """Name the buttons that went down with this event, and remember what is held."""
    if not event.HasField("mouse") or (not event.mouse.buttons and not held.get(event.device_id)):
        return []
    if event.device_id not in held and len(held) >= _MOST_DEVICES:
        held.clear()  # no desk has so many: whatever they are, they are not to fill the memory
    new = event.mouse.buttons & ~held.get(event.device_id, 0)
    held[event.device_id] = event.mouse.buttons
    return [
        _BUTTONS[bit] if bit < len(_BUTTONS) else f"button_{bit + 1}"
        for bit in range(new.bit_length())
        if new >> bit & 1
    ]


class _Stretch:
    """The events of one summary so far."""

    def __init__(self) -> None:
        self.minute = self.first = self.last = self.count = self._bytes = 0
        self._kept: list[tuple[int, dict[str, Any]]] = []

    @property
    def is_full(self) -> bool:
        return len(self._kept) >= _MOST_KEPT or self._bytes >= _MOST_BYTES

    def add(self, microseconds: int, event: pb.InputEvent, pressed: list[str]) -> None:
        if not self.count:
            self.minute, self.first, self.last = microseconds // _MINUTE_US, microseconds, microseconds
        self.count += 1
        self.first, self.last = min(self.first, microseconds), max(self.last, microseconds)
        if event.HasField("control"):
            self._bytes += len(event.control.action)
            self._kept.append((microseconds, {"kind": "control", "action": event.control.action}))
        elif event.HasField("mouse"):
            self._add_mouse(microseconds, event.mouse, pressed)

    def close(self) -> Summary:
        """The summary; its events in the order of their time."""
        events = [
            {"t_utc": moment_text(moment), **event} for moment, event in sorted(self._kept, key=lambda kept: kept[0])
        ]
        fields = {
            "start_ts_utc": moment_text(self.first),
            "end_ts_utc": moment_text(self.last),
            "event_count": self.count,
            "events": events,
        }
        return self.last, fields

    def _add_mouse(self, microseconds: int, mouse: pb.MouseEvent, pressed: list[str]) -> None:
        place = {"x": mouse.x, "y": mouse.y}
        for button in pressed:
            self._kept.append((microseconds, {"kind": "click", **place, "button": button}))
        if mouse.wheel_delta:
            self._kept.append((microseconds, {"kind": "scroll", **place, "delta": mouse.wheel_delta}))
        if pressed or mouse.wheel_delta:
            return
        if (
            self._kept
            and self._kept[-1][1]["kind"] == "move"
            and self._kept[-1][0] // _TENTH_US == microseconds // _TENTH_US
        ):
            self._kept.pop()
        self._kept.append((microseconds, {"kind": "move", **place}))
