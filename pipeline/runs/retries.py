"""What happens to a sample that failed, by the code of its error `docs/operating.md`.

| kind | codes | what happens |
|---|---|---|
| late | evidence or a blob that is not there (yet) | tried again, with five times the backoff |
| server | a reply that did not come, or made no sense | tried again |
| deadly | the server died each time it had the sample alone | tried again |
| input | what was captured cannot be used | parked at once |
| reply | a model without chance would say the same again | parked at once, its reply kept |

A server that dies, hangs or goes away is no failure of what it had not answered: that stays pending, and the run waits
(`outages.py`). Only a sample that a server died of twice while others were answered is blamed for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.serving import SampleFailure

_LATE_BACKOFF = 5


@dataclass(frozen=True, slots=True)
class Rule:
    """Whether a sample is tried again, and how many times the usual backoff it waits before that."""

    kind: str
    retried: bool
    backoff: int = 1


_LATE = Rule("late", True, _LATE_BACKOFF)
_SERVER, _DEADLY = Rule("server", True), Rule("deadly", True)
_INPUT, _REPLY = Rule("input", False), Rule("reply", False)

RULES: dict[str, Rule] = {
    "blob_missing": _LATE,
    "evidence_missing": _LATE,
    "span_missing": _LATE,
    "request_timeout": _SERVER,
    "model_failed": _SERVER,
    "server_gone": _DEADLY,
    "blob_hash_differs": _INPUT,
    "blob_too_large": _INPUT,
    "blob_unreadable": _INPUT,
    "row_incomplete": _INPUT,
    "image_unreadable": _INPUT,
    "image_too_large": _INPUT,
    "image_size_differs": _INPUT,
    "box_outside_frame": _REPLY,
    "reply_cut_off": _REPLY,
}
"""`request_refused` and `reply_invalid` are not here: whether they come again depends on who said so and how."""


def rule_of(failure: SampleFailure) -> Rule:
    """What happens to a sample that failed so; for a code without a rule, what the one who found it says."""
    return RULES.get(failure.code) or (_SERVER if failure.retryable else _REPLY)


def wait_us(failure: SampleFailure, attempts: int, backoff_s: float) -> int:
    """How long after so many tries the next one comes: twice as long each time, in microseconds."""
    return int(backoff_s * rule_of(failure).backoff * 1_000_000) << (attempts - 1)
