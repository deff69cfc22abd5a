"""What was found: counted by code, a few examples of each; memory does not grow with what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.reports.deep.codes import CODES, FAILURE, OK, WARNING

MOST_EXAMPLES = 5
_LONGEST_EXAMPLE = 200
_LONGEST_MESSAGE = 600


@dataclass
class Reason:
    """Why something is not in order: `code` is stable and for programs."""

    code: str
    count: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def level(self) -> str:
        """`warning` or `failure`."""
        return CODES[self.code].level

    def as_dict(self) -> dict[str, Any]:
        """The reason as JSON can hold it."""
        told = CODES[self.code]
        return {"code": self.code, "check": told.check, "message": told.message, "remedy": told.remedy,
                "count": self.count, "examples": self.examples}  # fmt: skip


class Findings:
    """Counts what is wrong, and keeps what was seen of each thing that was looked at."""

    def __init__(self, most_examples: int = MOST_EXAMPLES) -> None:
        self._most_examples = most_examples
        self._reasons: dict[str, Reason] = {}
        self._seen: dict[str, str] = {}

    def seen(self, check: str, message: str) -> None:
        """Say what was looked at, and how much of it."""
        self._seen[check] = shown(message, _LONGEST_MESSAGE)

    def add(self, code: str, example: str = "", count: int = 1) -> None:
        """Count one finding; `example` is an id, a path or a line number, never what was on the screen."""
        reason = self._reasons.setdefault(code, Reason(code))
        reason.count += count
        if example and len(reason.examples) < self._most_examples:
            reason.examples.append(shown(example))

    def count(self, code: str) -> int:
        """How often a code was found."""
        return self._reasons[code].count if code in self._reasons else 0

    def reasons(self, level: str) -> list[Reason]:
        """The reasons of a level, in the order in which the codes are listed."""
        return [self._reasons[code] for code in CODES if code in self._reasons and CODES[code].level == level]

    def checks(self) -> Iterator[tuple[str, str, str, list[Reason]]]:
        """Each thing that was looked at: its name, level, what was seen, and the reasons against it."""
        names = dict.fromkeys([*self._seen, *(CODES[code].check for code in CODES if code in self._reasons)])
        for name in names:
            reasons = [item for level in (FAILURE, WARNING) for item in self.reasons(level)
                       if CODES[item.code].check == name]  # fmt: skip
            level = reasons[0].level if reasons else OK
            yield name, level, self._seen.get(name, ""), reasons

    @property
    def ok(self) -> bool:
        """Whether there is no failure."""
        return not self.reasons(FAILURE)

    def as_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        return {
            "ok": self.ok,
            "reasons": [reason.as_dict() for reason in self.reasons(FAILURE)],
            "warnings": [reason.as_dict() for reason in self.reasons(WARNING)],
            "checks": [
                {"check": name, "level": level, "message": message} for name, level, message, _ in self.checks()
            ],
        }


def shown(text: str, longest: int = _LONGEST_EXAMPLE) -> str:
    """Text from outside as one short printable line."""
    line = text.encode(errors="backslashreplace").decode()
    line = line if line.isprintable() else repr(line)
    return line if len(line) <= longest else f"{line[:longest]}…"
