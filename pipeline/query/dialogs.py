"""Answers about message dialogs: small windows that say one thing and offer to be closed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.query.activity import sightings
from pipeline.query.check import Claim
from pipeline.query.findings import Desk, Found, plural
from pipeline.query.layout import in_window, lines_on
from pipeline.query.mentions import Mention, of_frame
from pipeline.query.pages import spans
from pipeline.query.plan import Plan
from pipeline.query.timeline import follow
from pipeline.query.words import contains_term, covers
from pipeline.stores.text_index import FrameRow

SMALL_PERCENT = 30
"""A window that covers more of the screen than this is no message dialog."""
MOST_LINES = 10
DIALOG_PROGRAMS = frozenset({
    "consent", "gmessage", "gxmessage", "kdialog", "msg", "notify-send", "qarma", "werfault", "wermgr", "xmessage",
    "yad", "zenity",
})  # fmt: skip
"""Programs that show nothing but dialogs."""

_BUTTONS = frozenset({
    "ok", "okay", "close", "cancel", "yes", "no", "retry", "abort", "ignore", "continue", "quit", "dismiss", "details",
    "report", "help", "send", "apply", "later", "restart", "reload", "wait", "end", "got it", "try again", "more info",
})  # fmt: skip
_TROUBLE = re.compile(
    r"error|warning|fail|could ?n.t|can ?not|can.t|unable|not (?:be |been )?(?:found|responding|respond|"
    r"available|valid|"
    r"possible|enough|saved|connected|supported)|full|denied|refused|rejected|invalid|crash|exception|"
    r"incomplete|problem|"
    r"critical|fatal|corrupt|missing|expired?|lost|unexpected|timed? ?out|low (?:on|disk|memory|battery|space)|"
    r"(?:battery|memory|space|toner|ink) (?:is )?(?:very |running )?low|stopped|unsafe|danger|attention|caution|"
    r"disconnected|interrupted|exceeded|conflict|blocked|locked out|overheat|damaged|unreachable|unavailable|"
    r"not responding|must be|required|wrong|alert|urgent|almost|running out|out of",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Dialog:
    title: str
    frames: tuple[FrameRow, ...]
    lines: tuple[Mention, ...]

    @property
    def says(self) -> list[Mention]:
        """Its lines without its buttons and its own title."""
        said = {
            line.text: line for line in self.lines
            if line.text.strip(" .&_").casefold() not in _BUTTONS and line.text.casefold() != self.title.casefold()
            and any(sign.isalpha() for sign in line.text)
        }  # fmt: skip
        return sorted(said.values(), key=lambda line: (line.box[1], line.box[0]))


def list_dialogs(plan: Plan, desk: Desk) -> Found:
    """Which error or warning dialogs were shown, and when."""
    claims, firsts = [], []
    for dialog in _dialogs(plan, desk):
        said = " ".join(line.text for line in dialog.says)
        if not _TROUBLE.search(f"{dialog.title} {said}") or not _fits(plan, f"{dialog.title} {said}"):
            continue
        title = of_frame(dialog.frames[0])
        trouble = next((line for line in dialog.says if _TROUBLE.search(line.text)), None)
        text = f'"{dialog.title}" on {desk.day(title.ts)} at {desk.clock(title.ts)}'
        text += f": {said}" if said else ""
        cited = (title, *dialog.says) if said else (title,)
        if trouble is not None or _TROUBLE.search(dialog.title):
            firsts.append(title)
            claims.append(Claim(text, cited))
    nothing = "no error or warning dialog was seen"
    if not claims:
        return Found(nothing=nothing, leans_on="line_tracks")
    head = Claim(f"{plural(len(claims), 'error or warning dialog')}", tuple(firsts), (),
                 lambda seen: len(seen) == len(claims))  # fmt: skip
    return Found([head, *claims], nothing, "line_tracks", 1, ("frames", "line_tracks"))


def dialog_text(plan: Plan, desk: Desk) -> Found:
    """What a dialog said, and for how long it was open."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    known = sightings(desk, start, end)
    claims = []
    for dialog in _dialogs(plan, desk):
        if not any(contains_term(dialog.title, phrase) for phrase in plan.phrases) or not dialog.says:
            continue
        said = " ".join(line.text for line in dialog.says)
        claims.append(Claim(f'"{dialog.title}" said: {said}', tuple(dialog.says)))
        own = dialog.frames[0]
        for item in follow(known, start, end, lambda seen: (seen.hwnd, seen.text)):
            if (item.first.hwnd, item.first.text) == (own.hwnd, own.title) and item.start <= own.ts <= item.end:
                seconds = round(item.length / 1_000_000)
                text = (
                    f'"{dialog.title}" was open for {plural(seconds, "second")}, {desk.between(item.start, item.end)}'
                )
                cited = tuple(dict.fromkeys((known[item.first], known[item.next])))
                claims.append(Claim(text, cited, (), spans(item.first.ts, item.next.ts)))
    return Found(claims, "no such dialog was seen", "line_tracks", max(1, len(claims)), ("frames", "line_tracks"))


def _dialogs(plan: Plan, desk: Desk) -> list[_Dialog]:
    """Message dialogs in order of time: one for each title, window and stay."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    groups: dict[tuple[str, int | None, str], list[FrameRow]] = {}
    for frame in desk.index.small_window_frames(start, end, SMALL_PERCENT):
        if frame.title and desk.allows(frame.app):
            groups.setdefault((frame.run_id, frame.hwnd, frame.title), []).append(frame)
    found = []
    for (_, _, title), frames in groups.items():
        lines = next((lines for frame in frames if (lines := in_window(lines_on(desk, frame), frame))), [])
        if frames[0].app in DIALOG_PROGRAMS or _offers_to_close(lines):
            found.append(_Dialog(title, tuple(frames), tuple(lines)))
    return found


def _offers_to_close(lines: list[Mention]) -> bool:
    """Whether lines are few and one of them is a button that closes; a menu or a file dialog has many."""
    return len(lines) <= MOST_LINES and any(line.text.strip(" .&_").casefold() in _BUTTONS for line in lines)


def _fits(plan: Plan, text: str) -> bool:
    return all(covers(text, word) for word in (*plan.terms, *plan.phrases))
