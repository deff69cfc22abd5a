"""Does a handoff's producer mean what we read? Its `contract.json` says so `[handoff-10]`."""

from __future__ import annotations

import os

from pipeline.errors import ContractInvalid
from pipeline.ingest.chronicle import is_session
from pipeline.ingest.handoff_directory import HandoffDirectory, Look
from schemas.contract import CONTRACT_FILE, MAX_CONTRACT_BYTES, shake_hands


def shake_hands_with_producer(directory: HandoffDirectory, look: Look) -> str:
    """Refuse a handoff of a contract that is not ours; returns what is to be warned of, or nothing.

    A chronicle session need not carry the file: its manifest names the version of its own format.
    Raises ContractInvalid, StillBeingWritten, OSError.
    """
    entry = look.files.get(CONTRACT_FILE)
    if entry is None and is_session(look):
        return ""
    content = None
    if entry is not None:
        with directory.opened(entry) as descriptor:
            content = os.read(descriptor, MAX_CONTRACT_BYTES)
    handshake = shake_hands(content)
    if handshake.refused:
        raise ContractInvalid(
            handshake.refused,
            remedy="update the older of pipeline and producer (docs/compatibility.md); it was left as it is",
        )
    return handshake.warning
