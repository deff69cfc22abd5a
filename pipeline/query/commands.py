"""Answers about the error that a command in a terminal ended with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.query.check import Claim
from pipeline.query.findings import Desk, Found
from pipeline.query.layout import inside, lines_on
from pipeline.query.mentions import Mention, of_track
from pipeline.query.plan import Plan
from pipeline.query.words import contains_term, variants
from pipeline.stores.text_index import FrameRow
from pipeline.stores.text_tokens import match_all, whole_token

_PROMPT = re.compile(
    r"^(?:\(\S+\)\s*)?(?:[\w.-]+@[\w.-]+[: ]?\S*\s?[$#%>]|\[[^\]]+@[^\]]+\][$#]|PS\s+[A-Za-z]:\\[^>]*>|"
    r"[A-Za-z]:\\[^>]*>|"
    r"[$#%>❯➜]|~\S*\s?[$#%])(?:\s|$)"
)
_ERROR = re.compile(
    r"error|exception|fail|fatal|not found|no such|denied|refused|abort|panic|cannot|could not|unable|"
    r"invalid|undefined|"
    r"unknown|unrecogni[sz]ed|traceback|segmentation|killed|timed? out|missing|usage:|unexpected|illegal|"
    r"must be|conflict",
    re.IGNORECASE,
)
_SPELLED = re.compile(
    r"\b(?:command|running|executing|executed|ran|run of|run|script|invocation of|did|does|calling|of|wrong with|"
    r"wrong in)"
    r"\s+(?P<c>\S.*?)"
    r"(?:\s+(?:command\s+)?(?:end|ends|ended|fail|fails|failed|give|gives|gave|print|printed|raise|raised|"
    r"exit|exited|crash|"
    r"crashed|produce|produced|report|reported|throw|threw|stop|stopped|abort|aborted|finish|finished|show|showed|die|"
    r"died|result|resulted|terminate|terminated|with|in|on|go|went|yesterday|today|last)\b|[?.]?\s*$)",
    re.IGNORECASE,
)
_FILLER = re.compile(r"^(?:the|a|an|my|command|running|executing|script|it)\s+", re.IGNORECASE)
_MOST_PLACES = 40
_COLUMN_SLACK = 24
NOTHING = "no error of that command was seen"


def command_error(plan: Plan, desk: Desk) -> Found:
    """The last line that a command printed before the next prompt, when it tells of an error."""
    command = plan.phrases[0] if plan.phrases else _spelled(plan.question)
    if not command:
        return Found(nothing="the question names no command", leans_on="line_tracks")
    start, end = plan.stretch.start_us, plan.stretch.end_us
    groups = [variants(word)[:1] for word in command.split() if whole_token(word)]
    texts = desk.index.search(match_all(groups), _MOST_PLACES) if groups else []
    tracks = [
        track for number, text in texts if contains_term(text, command)
        for track in desk.index.tracks_with(number, start, end, _MOST_PLACES)
    ]  # fmt: skip
    ordered = sorted(tracks, key=lambda item: (item.first_ts, item.id), reverse="first" not in plan.ends)
    for track in ordered[:_MOST_PLACES]:
        for last in (True, False):
            own = of_track(desk.index, track, last=last)
            found = _error_below(desk, own, own.frame)
            if found is not None and desk.allows(own.frame.app):
                text = f'"{command}" ended with: {found.text}'
                return Found([Claim(text, (own.narrowed(command), found))], NOTHING, "line_tracks", 1, ("text_index",))
    return Found(nothing=NOTHING, leans_on="line_tracks", parts=("text_index",))


def _error_below(desk: Desk, command: Mention, frame: FrameRow) -> Mention | None:
    if not _PROMPT.match(command.text):
        return None
    lines = inside(lines_on(desk, frame), _column(command, frame))
    printed = _printed(lines, command)
    return next((line for line in reversed(printed) if _ERROR.search(line.text)), None)


def _printed(lines: Sequence[Mention], command: Mention) -> list[Mention]:
    """Lines below a command up to the next prompt."""
    found = []
    for line in lines:
        if line.box[1] < (command.box[1] + command.box[3]) // 2:
            continue
        if _PROMPT.match(line.text):
            break
        found.append(line)
    return found


def _column(command: Mention, frame: FrameRow) -> tuple[int, int, int, int]:
    """The part of the frame that belongs to the terminal: from the prompt's left edge on, in its window if known."""
    left = max(0, command.box[0] - _COLUMN_SLACK)
    right = frame.width
    if frame.l is not None and frame.r is not None and frame.l <= command.box[0] < frame.r:
        right = min(frame.r, frame.width)
    return left, 0, right, frame.height


def _spelled(question: str) -> str:
    """The command that stands in a question without quotes."""
    found = _SPELLED.search(question)
    command = found["c"] if found else ""
    while (shorter := _FILLER.sub("", command)) != command:
        command = shorter
    return command.strip("?.,\"'` ")
