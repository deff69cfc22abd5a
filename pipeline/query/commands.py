"""Answers about the error that a command in a terminal ended with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.query.check import Claim
from pipeline.query.findings import Desk, Found
from pipeline.query.layout import in_window, lines_on
from pipeline.query.mentions import Mention, of_track
from pipeline.query.plan import Plan
from pipeline.query.words import contains_term, variants
from pipeline.stores.index_rows import FrameRow
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
_BEFORE = (
    r"command|running|executing|executed|ran|run of|run|script|invocation of|did|does|calling|pushing|"
    r"went wrong (?:with|in)|"
    r"errors? (?:message )?(?:of|from|in|by|with|when)|(?:raised|thrown|printed|reported|given|returned|shown) by|of"
)
_AFTER = (
    r"end(?:s|ed)?|fail(?:s|ed)?|give|gives|gave|print(?:ed)?|raise[ds]?|exit(?:ed)?|crash(?:ed)?|produced?|"
    r"report(?:ed)?|"
    r"throw|threw|stop(?:ped)?|abort(?:ed)?|finish(?:ed)?|show(?:ed)?|died?|complain(?:ed)?|have|had|result(?:ed)?|"
    r"terminated?|with|in|on|at|go|went|yesterday|today|last|this|since|between|during|before|after"
)
_SPELLED = re.compile(rf"\b(?:{_BEFORE})\s+(?P<c>\S.*?)(?:\s+(?:command\s+)?(?:{_AFTER})\b|[?.]?\s*$)", re.IGNORECASE)
_FILLER = re.compile(
    r"^(?:the|a|an|my|our|command|running|executing|script|it|i ran|last|first|latest)\s+"
    r"|\s+(?:script|command|call|run|program|tool|process)$",
    re.IGNORECASE,
)
_SUMMARY = re.compile(
    r"^\W*(?:\d+ (?:failed|passed|errors?|warnings?)\b|found \d+ errors?|npm err!|.*\bcomplete log\b|"
    r"error: process completed)"
    r"|\bexit(?:ed)? (?:with )?(?:code|status)\b",
    re.IGNORECASE,
)
"""Lines that sum up what went wrong, or say where to read on: the error itself stands before them."""
_MOST_TEXTS, _MOST_PLACES = 1_000, 40
NOTHING = "no error of that command was seen"


def command_error(plan: Plan, desk: Desk) -> Found:
    """The last line that a command printed before the next prompt, when it tells of an error."""
    command = plan.phrases[0] if plan.phrases else _spelled(plan.question)
    if not command:
        return Found(nothing="the question names no command", leans_on="line_tracks")
    start, end = plan.stretch.start_us, plan.stretch.end_us
    groups = [variants(word)[:1] for word in command.split() if whole_token(word)]
    texts = desk.index.search(match_all(groups), _MOST_TEXTS) if groups else []
    texts = [item for item in texts if _PROMPT.match(item[1])]
    spelled_so = [item for item in texts if contains_term(item[1], command)] or [
        item for item in texts if all(contains_term(item[1], word) for word in command.split())
    ]
    tracks = [
        track for number, _ in spelled_so
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
    """The last error below a command in its window; a window in front of it says nothing about it."""
    lines = in_window(lines_on(desk, frame), frame)
    if all(line.row_id != command.row_id for line in lines):
        return None
    printed = _printed(lines, command)
    errors = [line for line in printed if _ERROR.search(line.text)]
    plain = [line for line in errors if not _SUMMARY.search(line.text)]
    return next(reversed(plain or errors), None)


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


def _spelled(question: str) -> str:
    """The command that stands in a question without quotes."""
    found = _SPELLED.search(question)
    command = found["c"] if found else ""
    while (shorter := _FILLER.sub("", command)) != command:
        command = shorter
    return command.strip("?.,\"'` ")
