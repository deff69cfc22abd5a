"""The handshake with the programs around us: `contract.json`, and who understands whom `[handoff-10]`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictBool, StrictStr, StringConstraints

from schemas.activity import ActivitySignal
from schemas.chronicle import SessionComplete
from schemas.contract_version import CONTRACT_VERSION, SCHEMA_HASH
from schemas.evidence import Frame, InputSummary, Record, UiaSnapshot, WindowMeta
from schemas.fields import Foreign
from schemas.handoff import (
    COMPLETED,
    RETENTION_ELIGIBLE,
    STAGE1_COMPLETE,
    HandoffCompleted,
    JournalEvent,
    ReapMarker,
    RetentionEligible,
    Stage1Complete,
)
from schemas.record_types import FRAME, INPUT, UIA_SNAPSHOT, WINDOW

CONTRACT_FILE = "contract.json"
MAX_CONTRACT_BYTES = 1 << 16
_NUMBERS = re.compile(r"(\d{1,6})(?:\.(\d{1,6}))?(?:\.\d{1,6})?")


class ProducerContract(Foreign):
    """`contract.json`: the contract that a producer wrote its handoff, or its DataRoot, by."""

    contract_version: Annotated[StrictStr, StringConstraints(pattern=r"^\d{1,6}\.\d{1,6}(\.\d{1,6})?$")]
    schema_hash: StrictStr | None = None
    producer: StrictStr | None = None
    producer_version: StrictStr | None = None
    sealed: StrictBool = Field(default=False, description="nothing more is written into the handoff `[handoff-11]`")


READS: dict[str, type[BaseModel]] = {
    CONTRACT_FILE: ProducerContract,
    "activity_signal.json": ActivitySignal,
    "COMPLETE.json": SessionComplete,
    "any record": Record,
    FRAME: Frame,
    WINDOW: WindowMeta,
    INPUT: InputSummary,
    UIA_SNAPSHOT: UiaSnapshot,
}
"""What producers write and we read: files and record types."""

WRITES: dict[str, type[BaseModel]] = {
    "reap_eligible.json": ReapMarker,
    COMPLETED: HandoffCompleted,
    STAGE1_COMPLETE: Stage1Complete,
    RETENTION_ELIGIBLE: RetentionEligible,
    "journal.ndjson": JournalEvent,
}
"""What we write, and the producers' reapers and auditors read."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What becomes of a handoff by its `contract.json`: `refused` says why it is not taken, `warning` why to look."""

    refused: str = ""
    warning: str = ""


def shake_hands(content: bytes | None, ours: str = CONTRACT_VERSION) -> Handshake:
    """Compare a producer's contract with ours; None stands for a missing file. Never raises `[handoff-10]`.

    The same major version is understood, whichever minor is newer; another one is refused, and so is a version that
    is none: its producer may mean anything. A file that names no version counts as a missing one.
    """
    if content is None:
        return Handshake(warning=f"no {CONTRACT_FILE}: taken as contract {ours}")
    fields = _read_object(content)
    if fields is None or fields.get("contract_version") is None:
        return Handshake(warning=f"{CONTRACT_FILE} names no contract_version: taken as contract {ours}")
    named = str(fields["contract_version"])
    theirs, known = _numbers(named), _numbers(ours)
    if theirs is None:
        return Handshake(refused=f"{CONTRACT_FILE} names a contract_version that is none; this pipeline reads {ours}")
    if known is None or theirs[0] != known[0]:
        return Handshake(refused=f"{CONTRACT_FILE} is of contract {named}; this pipeline reads {ours}")
    if theirs > known:
        return Handshake(warning=f"{CONTRACT_FILE} is of contract {named}: what {ours} does not know is kept unread")
    if theirs == known and fields.get("schema_hash") not in (None, SCHEMA_HASH):
        return Handshake(warning=f"{CONTRACT_FILE} has another schema_hash than contract {ours} has")
    return Handshake()


def _read_object(content: bytes) -> dict[str, Any] | None:
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _numbers(version: str) -> tuple[int, int] | None:
    """Major and minor; a third number says nothing about the contract."""
    found = _NUMBERS.fullmatch(version)
    return (int(found[1]), int(found[2] or 0)) if found else None
