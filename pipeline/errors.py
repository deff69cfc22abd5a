"""One error tree, one exit code each.

PipelineError                1  a bug, when nothing more precise is raised
├── NothingToDo              2  all was done before
├── Blocked                  3  the user is active, or the signal cannot be trusted
├── ContractInvalid          4  input or DataRoot rejected; what was rejected changed nothing
│   ├── DamagedFactFile          its hour is made again by a run
│   ├── DataRootMissing
│   ├── DataRootReadOnly
│   └── DiskRefused             it is full, or broken; what was finished is kept
├── Unavailable              5  a required model or dependency; says the one command that mends it
│   └── NotInstalled            an optional one that this installation was made without
├── Busy                     6  another process holds the lock
├── NotAvailableYet          7  what was asked for has not been processed
└── UsageError              64
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType


class ExitCode(IntEnum):
    """What a command tells the one who called it."""

    OK = 0
    BUG = 1
    NOTHING_TO_DO = 2
    BLOCKED = 3
    CONTRACT_INVALID = 4
    UNAVAILABLE = 5
    BUSY = 6
    NOT_AVAILABLE_YET = 7
    USAGE = 64


_PRECEDENCE = (
    ExitCode.USAGE,
    ExitCode.CONTRACT_INVALID,
    ExitCode.BLOCKED,
    ExitCode.BUSY,
    ExitCode.UNAVAILABLE,
    ExitCode.NOT_AVAILABLE_YET,
)


class PipelineError(Exception):
    """What went wrong, and in `remedy` the command or the step that mends it."""

    exit_code = ExitCode.BUG

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


class Terminated(BaseException):
    """A signal asked the process to end, and what it started ends first: no error, so no handler of errors sees it."""

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        self.signal = signal


class NothingToDo(PipelineError):
    exit_code = ExitCode.NOTHING_TO_DO


class Blocked(PipelineError):
    exit_code = ExitCode.BLOCKED

    done: Mapping[str, Mapping[str, int]] = MappingProxyType({})
    """What was done before: counts by stage; empty when that was nothing."""


class ContractInvalid(PipelineError):
    exit_code = ExitCode.CONTRACT_INVALID


class DamagedFactFile(ContractInvalid):
    """A fact file does not hold what was written into it; `path` says which."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(
            f"the fact file {path} cannot be read: {found}",
            remedy="move it out of derived/facts, then: pipeline run --until-done (it makes that hour again)",
        )
        self.path = path


class DataRootMissing(ContractInvalid):
    """The DataRoot does not exist, or is no directory."""


class DataRootReadOnly(ContractInvalid):
    """The DataRoot cannot be written."""


class DiskRefused(ContractInvalid):
    """The disk takes no more, or fails."""


class Unavailable(PipelineError):
    exit_code = ExitCode.UNAVAILABLE


class NotInstalled(Unavailable):
    """An optional model or dependency that this installation was made without."""


class Busy(PipelineError):
    exit_code = ExitCode.BUSY


class NotAvailableYet(PipelineError):
    exit_code = ExitCode.NOT_AVAILABLE_YET


class UsageError(PipelineError):
    exit_code = ExitCode.USAGE


class SampleError(Exception):
    """One sample failed; the rest of its shard goes on. Carries why, for the catalog."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        from schemas.serving import SampleFailure  # late: most of what raises errors never meets a sample

        super().__init__(f"{code}: {message}")
        self.failure = SampleFailure(code, message, retryable)


def disk_refused(error: OSError) -> DiskRefused | None:
    """The error for a disk that is full or fails; None when it is about something else."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS):
        return None
    return DiskRefused(
        f"the disk refused what was to be written or read: {error.strerror}",
        remedy="make room on it (df -h), then run it again; what was finished is kept",
    )


def combine_exit_codes(codes: Iterable[ExitCode]) -> ExitCode:
    """Choose the one code for several results: the gravest; 2 only when nothing else applies.

    An unexpected error (1) outweighs all.
    """
    seen = set(codes)
    if ExitCode.BUG in seen:
        return ExitCode.BUG
    for code in _PRECEDENCE:
        if code in seen:
            return code
    return ExitCode.OK if ExitCode.OK in seen or not seen else ExitCode.NOTHING_TO_DO
