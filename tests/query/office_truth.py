"""What is true of the office desk, counted from its literal screens alone.

Rules, as in the bundled desk: a visit is a page load, that is a browser window whose address is another one than before
on that day (coming back to a window whose page stayed is no load); a program is active from the moment it becomes
active until another program does, within a day, until the day's last record, and idle time counts; a switch is a change
of window handle between following window records; a dialog is open from its window record to the next one of another
window; text is seen when it stands in a line of a frame, also in a window behind, or in the active window's title.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from office_screens import DAYS, FRAMES, SCREENS, Screen

HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    """A moment of October 2025: `22`, `22 09:00` or `22 09:00:30`, in UTC."""
    day, _, clock = text.partition(" ")
    return datetime.fromisoformat(f"2025-10-{day}T{clock or '00:00'}").replace(tzinfo=UTC)


def frames(since: str, until: str) -> list[Screen]:
    """Frames taken in a range."""
    return [frame for frame in FRAMES if at(since) <= frame.taken < at(until)]


def showing(text: str, since: str = "20", until: str = "31 23:59") -> list[Screen]:
    """Frames of a range that show the text."""
    return [frame for frame in frames(since, until) if frame.shows(text)]


def on_screen(moment: str) -> Screen:
    """The newest frame at a moment."""
    return [frame for frame in FRAMES if frame.taken <= at(moment) + timedelta(seconds=59)][-1]


def host_of(address: str) -> str:
    """The domain of an address with or without a scheme; no port."""
    return urlsplit(address if "://" in address else "//" + address).hostname or ""


def loads(since: str, until: str) -> list[Screen]:
    """Page loads of a range, one frame each."""
    found: list[Screen] = []
    before: dict[tuple[str, str], str] = {}
    for frame in FRAMES:
        place = (frame.day, frame.key)
        if frame.window.browser and before.get(place) != frame.address:
            found.append(frame)
            before[place] = frame.address
    return [frame for frame in found if at(since) <= frame.taken < at(until)]


def visits(since: str, until: str) -> Counter[str]:
    """Page loads of a range by domain."""
    return Counter(host_of(frame.address) for frame in loads(since, until))


def searches(since: str, until: str, host: str = "find.example.org") -> list[tuple[str, Screen]]:
    """Terms that were sent to a search site, in order."""
    found = [frame for frame in loads(since, until) if host_of(frame.address) == host]
    asked = [(parse_qs(urlsplit("//" + frame.address).query).get("q", []), frame) for frame in found]
    return [(term, frame) for terms, frame in asked for term in terms]


def holds(frame: Screen, text: str) -> bool:
    """Whether a frame shows the text, in any case of letters."""
    return any(text.casefold() in shown.casefold() for shown in (frame.title, *(line.text for line in frame.lines)))


@dataclass(frozen=True)
class Stay:
    """A time without interruption in one program."""

    program: str
    start: datetime
    end: datetime

    @property
    def minutes(self) -> int:
        return round((self.end - self.start).total_seconds() / 60)


def stays(day: str) -> list[Stay]:
    """Every uninterrupted time in one program on a day (of the month)."""
    screens = [screen for screen in SCREENS if screen.day == f"2025-10-{day}"]
    last = screens[-1].taken if screens[-1].frame_id else screens[-1].at
    starts = [screens[0]]
    for screen in screens:
        if screen.window.program != starts[-1].window.program:
            starts.append(screen)
    ends = [*(screen.at for screen in starts[1:]), last]
    return [Stay(screen.window.program, screen.at, end) for screen, end in zip(starts, ends, strict=True)]


def minutes_in(since: int, until: int) -> Counter[str]:
    """Active minutes by program from one day to another, both included."""
    days = [f"{day:02d}" for day in range(since, until + 1) if f"2025-10-{day:02d}" in DAYS]
    total: Counter[str] = Counter()
    for stay in (stay for day in days for stay in stays(day)):
        total[stay.program] += stay.minutes
    return total


def longest_silence(since: datetime, until: datetime) -> timedelta:
    """The longest time without a record in a range."""
    moments = [since, *(s.at for s in SCREENS if since < s.at < until), until]
    return max(later - earlier for earlier, later in pairwise(moments))


def switches(day: str) -> Counter[int]:
    """Changes of the window handle on a day by hour."""
    screens = [screen for screen in SCREENS if screen.day == f"2025-10-{day}"]
    changed = [b for a, b in pairwise(screens) if a.window.hwnd != b.window.hwnd]
    return Counter(screen.at.hour for screen in changed)


@dataclass(frozen=True)
class Dialog:
    """A dialog from opening to closing."""

    screen: Screen
    closed: datetime

    @property
    def seconds(self) -> int:
        return round((self.closed - self.screen.at).total_seconds())

    @property
    def frames(self) -> list[Screen]:
        return [f for f in FRAMES if self.screen.at <= f.taken < self.closed and f.key == self.screen.key]


def dialogs() -> Iterator[Dialog]:
    """Every dialog in order."""
    opened: Screen | None = None
    for screen in SCREENS:
        if opened is not None and screen.key != opened.key:
            yield Dialog(opened, screen.at)
            opened = None
        if screen.window.dialog and opened is None:
            opened = screen


def dialog(title: str, day: str) -> Dialog:
    """The one dialog of that title on that day (of the month)."""
    (found,) = (x for x in dialogs() if x.screen.title == title and x.screen.day == f"2025-10-{day}")
    return found


def errors(since: str, until: str) -> list[Dialog]:
    """Error and warning dialogs of a range."""
    return [x for x in dialogs() if x.screen.window.error and at(since) <= x.screen.at < at(until)]


def identifiers(pattern: str, since: str, until: str) -> dict[str, list[Screen]]:
    """Identifiers of a form with the frames that show them, first to last, in the order of first sight."""
    found: dict[str, list[Screen]] = {}
    for frame in frames(since, until):
        text = "\n".join([frame.title, *(line.text for line in frame.lines)])
        for name in dict.fromkeys(re.findall(pattern, text)):
            found.setdefault(name, []).append(frame)
    return found


def windows(since: str, until: str) -> dict[tuple[str, str], list[Screen]]:
    """Active windows by program and title, with their frames."""
    found: dict[tuple[str, str], list[Screen]] = {}
    for frame in frames(since, until):
        found.setdefault((frame.window.program, frame.title), []).append(frame)
    return found
