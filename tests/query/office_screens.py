"""What stood on the office desk's screen, moment by moment, read from the literal screens.

One line starts a moment, two spaces start its content:

    08:12:40 fx | window title                 a frame of window `fx` (`=` for the title and address it had last)
    - 15:04:00 fx | title                      this window becomes active; no frame is taken
      > address                                the address of a browser window
      a line || of cells                       text in the active window (`=` repeats its last lines)
      ~sl text                                 text in another window that stands at its side
      ! text                                   a notification over the active window

A dialog's last line holds its buttons, and what stood behind it stays visible at its left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from office_week_one import WEEK_ONE
from office_week_two import WEEK_TWO

WIDTH, HEIGHT = 1600, 900
DAYS = WEEK_ONE | WEEK_TWO
WHOLE, LEFT = (0, 0, 1600, 860), (0, 0, 1100, 860)
MIDDLE = (560, 360, 1180, 560)
FRAME_AFTER = timedelta(milliseconds=600)
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Window:
    """A window of the desk; `program` is the name that people give its program."""

    program: str
    hwnd: int
    pid: int
    process_path: str
    browser: bool = False
    dialog: bool = False
    error: bool = False


OFFICE = r"C:\Program Files\Microsoft Office\root\Office16"
LOCAL = r"C:\Users\analyst\AppData\Local"
FIREFOX = r"C:\Program Files\Mozilla Firefox\firefox.exe"
EDGE = r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe"
CODE = LOCAL + r"\Programs\Microsoft VS Code\Code.exe"
POWERSHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
EXPLORER = r"C:\Windows\explorer.exe"
SYNC = r"C:\Program Files\LedgerSync\LedgerSync.exe"
NOTEPAD = r"C:\Windows\System32\notepad.exe"
WINDOWS = {
    "fx": Window("Firefox", 131452, 6120, FIREFOX, browser=True),
    "fx2": Window("Firefox", 131990, 6120, FIREFOX, browser=True),
    "ed": Window("Edge", 198210, 7344, EDGE, browser=True),
    "ol": Window("Outlook", 65938, 3012, OFFICE + r"\OUTLOOK.EXE"),
    "om": Window("Outlook", 66502, 3012, OFFICE + r"\OUTLOOK.EXE"),
    "xl": Window("Excel", 328114, 9120, OFFICE + r"\EXCEL.EXE"),
    "xl2": Window("Excel", 328560, 9120, OFFICE + r"\EXCEL.EXE"),
    "vs": Window("Code", 459012, 10244, CODE),
    "ps": Window("PowerShell", 524880, 11020, POWERSHELL),
    "sl": Window("Slack", 590122, 4488, LOCAL + r"\slack\slack.exe"),
    "np": Window("Notepad", 655412, 12884, NOTEPAD),
    "ex": Window("Explorer", 720944, 5160, EXPLORER),
    "pd": Window("SumatraPDF", 786500, 13312, r"C:\Program Files\SumatraPDF\SumatraPDF.exe"),
    "dx": Window("Excel", 800101, 9120, OFFICE + r"\EXCEL.EXE", dialog=True, error=True),
    "de": Window("Explorer", 800203, 5160, EXPLORER, dialog=True, error=True),
    "dn": Window("Explorer", 800305, 5160, EXPLORER, dialog=True, error=True),
    "dd": Window("diskwatch", 800407, 2204, r"C:\Program Files\DiskWatch\diskwatch.exe", dialog=True, error=True),
    "dp": Window("splwow64", 800509, 2310, r"C:\Windows\splwow64.exe", dialog=True, error=True),
    "dl": Window("LedgerSync", 800611, 2416, SYNC, dialog=True, error=True),
    "ds": Window("Notepad", 800713, 12884, NOTEPAD, dialog=True),
    "dr": Window("Outlook", 800815, 3012, OFFICE + r"\OUTLOOK.EXE", dialog=True),
    "df": Window("Excel", 800917, 9120, OFFICE + r"\EXCEL.EXE", dialog=True),
}


@dataclass(frozen=True)
class Line:
    """Words that are wholly visible, and where."""

    text: str
    bbox: Box


@dataclass
class Screen:
    """A moment of the desk: a window record, and a frame unless `frame_id` is empty."""

    day: str
    at: datetime
    key: str
    title: str
    address: str = ""
    own: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    toasts: list[str] = field(default_factory=list)
    behind: list[Line] = field(default_factory=list)
    frame_id: str = ""

    @property
    def window(self) -> Window:
        return WINDOWS[self.key]

    @property
    def run_id(self) -> str:
        return "office-" + self.day.replace("-", "")

    @property
    def taken(self) -> datetime:
        """When the frame was taken."""
        return self.at + FRAME_AFTER

    @property
    def page(self) -> str:
        """The title without the browser's name."""
        return self.title.split(" — Mozilla")[0].split(" - Microsoft\u200b")[0]

    @property
    def rect(self) -> Box:
        return MIDDLE if self.window.dialog else LEFT if self.beside else WHOLE

    @cached_property
    def lines(self) -> list[Line]:
        """All that a reader would read, from top to bottom of each part."""
        return [*self.behind, *window_lines(self), *side_lines(self), *panel_lines(self.taken)]

    def shows(self, text: str) -> bool:
        """Whether the text stands in one line, or in the title of the active window."""
        return bool(self.frame_id) and (text in self.title or any(text in line.text for line in self.lines))


def row_of(cells: str, left: int, top: int, step: int = 200) -> list[Line]:
    """Cells of a row as lines beside each other."""
    found = []
    for cell in cells.split(" || "):
        right = left + sum(18 if ord(char) > 0x2E80 else 9 for char in cell)
        found.append(Line(cell, (left, top, min(right, WIDTH - 4), top + 18)))
        left = max(left + step, right + 24)
    return found


def window_lines(screen: Screen) -> list[Line]:
    """Title bar or tab, address bar, and the text of the active window."""
    left, top = screen.rect[0] + 20, screen.rect[1] + 8
    if not screen.window.browser:
        found = row_of(screen.title, left, top)
    else:
        found = row_of(screen.page[:28].strip(), left, top) + row_of(screen.address, 120, 48)
    first = top + (34 if screen.window.dialog else 110)
    for number, cells in enumerate(screen.own):
        found += row_of(cells, left, first + 30 * number)
    return found


def side_lines(screen: Screen) -> list[Line]:
    """Text of the window at the side, and of notifications."""
    beside = [line for n, text in enumerate(screen.beside) for line in row_of(text, 1120, 120 + 30 * n)]
    return beside + [line for n, text in enumerate(screen.toasts) for line in row_of(text, 1120, 760 + 30 * n)]


def panel_lines(at: datetime) -> list[Line]:
    """The clock of the task bar, which runs in UTC."""
    return [*row_of(f"{at:%H:%M}", 1500, 862), *row_of(f"{at:%d/%m/%Y}", 1500, 881)]


class Script:
    """Reads the literal screens into moments."""

    def __init__(self) -> None:
        self.screens: list[Screen] = []
        self.last: dict[str, Screen] = {}
        self.frames_of_day = 0

    def read(self, days: dict[str, str]) -> list[Screen]:
        """All moments in order."""
        for day, text in days.items():
            self.frames_of_day = 0
            for line in text.strip("\n").splitlines():
                if line.startswith("  "):
                    self._content(line[2:])
                else:
                    self._moment(day, line)
        return self.screens

    def _moment(self, day: str, line: str) -> None:
        silent = line.startswith("- ")
        place, title = line.removeprefix("- ").split(" | ")
        clock, key = place.split(" ")
        before = self.last.get(key)
        title = before.title if title == "=" and before else title
        address = before.address if before else ""
        screen = Screen(day, datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC), key, title, address)
        if not silent:
            screen.frame_id = f"{screen.run_id}/evidence.capture.frame/{self.frames_of_day}"
            self.frames_of_day += 1
            if WINDOWS[key].dialog:
                screen.behind = self._behind()
            self.last[key] = screen
        self.screens.append(screen)

    def _behind(self) -> list[Line]:
        under = next(screen for screen in reversed(self.screens) if not screen.window.dialog and screen.frame_id)
        return [line for line in window_lines(under) if line.bbox[2] < MIDDLE[0]]

    def _content(self, text: str) -> None:
        screen = self.screens[-1]
        if text == "=":
            same = [old for old in self.screens[:-1] if old.key == screen.key and old.frame_id][-1]
            screen.own = list(same.own)
        elif text.startswith("> "):
            screen.address = text[2:]
        elif text.startswith("~"):
            screen.beside.append(text.split(" ", 1)[1])
        elif text.startswith("! "):
            screen.toasts.append(text[2:])
        else:
            screen.own.append(text)


SCREENS = Script().read(DAYS)
FRAMES = [screen for screen in SCREENS if screen.frame_id]
