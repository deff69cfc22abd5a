"""What lies beside the evidence: the activity signal, the fallback UIA snapshot, the contract."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from pipeline.dataroot import DataRoot
from pipeline.gate import MAX_FUTURE_S
from pipeline.reports.deep.findings import Findings
from schemas.activity import ActivitySignal
from schemas.canonical import sha256_hex
from schemas.contract import MAX_CONTRACT_BYTES, shake_hands
from schemas.evidence import UiaSnapshot
from schemas.fields import parse_utc

_MAX_SIGNAL_BYTES = 65_536
_MAX_SNAPSHOT_BYTES = 64 << 20
_LOOKS = 10
_LOOK_EVERY_S = 0.1
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def check_signal(
    root: DataRoot, max_age_s: float, findings: Findings, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Look at the activity signal ten times in a second, or once when it is not of now `[gate-1]`, `[gate-2]`.

    A signal that is replaced leaves the file that was opened as it was: one that changes was written in place.
    """
    path = root.activity_signal()
    file = _open(path)
    if file is None:
        findings.add("signal_missing")
        findings.seen("activity signal", "none")
        return
    with file:
        content = _content(file, _MAX_SIGNAL_BYTES)
    signal = _judge(content, max_age_s, findings)
    if signal is None:
        findings.seen("activity signal", str(path.relative_to(root.path)))
        return
    looks = _watch(path, signal, findings, sleep) if findings.count("signal_stale") == 0 else 1
    findings.seen("activity signal", f"{path.relative_to(root.path)}, {_age(signal)}, {looks} seen")


def _watch(path: Path, signal: ActivitySignal, findings: Findings, sleep: Callable[[float], None]) -> int:
    """Follow a living signal; returns how many different ones were seen."""
    seen, last_seq, last_text = 1, signal.seq, signal.ts_utc
    for _ in range(_LOOKS):
        file = _open(path)
        if file is None:
            sleep(_LOOK_EVERY_S)
            continue
        with file:
            content = _content(file, _MAX_SIGNAL_BYTES)
            sleep(_LOOK_EVERY_S)
            is_steady = _content(file, _MAX_SIGNAL_BYTES) == content
        now = _parse(content)
        if not is_steady or now is None:
            findings.add("signal_malformed" if is_steady else "signal_in_place")
            break
        if now.seq is not None and last_seq is not None and now.seq < last_seq:
            findings.add("signal_seq")
        seen += now.ts_utc != last_text
        last_seq, last_text = now.seq if now.seq is not None else last_seq, now.ts_utc
    return seen


def check_uia(root: DataRoot, findings: Findings) -> None:
    """Check the fallback UIA snapshot against its digest `[uia-2]`."""
    snapshot, digest = _read_uia(root)
    if snapshot is None:
        findings.seen("uia snapshot", "none")
        return
    findings.seen("uia snapshot", f"{len(snapshot)} bytes")
    if digest is None:
        findings.add("uia_digest_missing")
    elif not _matches(digest, snapshot):
        findings.add("uia_digest_differs")
    try:
        UiaSnapshot.model_validate_json(snapshot)
    except ValidationError:
        findings.add("uia_damaged")


def _read_uia(root: DataRoot) -> tuple[bytes | None, bytes | None]:
    """Snapshot and digest; a producer replaces one after the other, so what does not match is read again."""
    for attempt in range(3):
        time.sleep(_LOOK_EVERY_S if attempt else 0)
        snapshot, digest = _read(root.uia_snapshot, _MAX_SNAPSHOT_BYTES), _read(root.uia_digest, 1024)
        if snapshot is None or digest is None or _matches(digest, snapshot):
            break
    return snapshot, digest


def check_contract(root: DataRoot, is_ours: bool, findings: Findings) -> None:
    """Shake hands with the producer `[handoff-10]`; a DataRoot that Stage 1 made need not say what it is."""
    found = _read(root.contract, MAX_CONTRACT_BYTES)
    if found is None and is_ours:
        findings.seen("contract", "made by pipeline ingest")
        return
    shaken = shake_hands(found)
    findings.seen("contract", shaken.refused or shaken.warning or "understood")
    if shaken.refused:
        findings.add("contract_refused")
    elif shaken.warning:
        findings.add("contract_unclear")


def _judge(content: bytes, max_age_s: float, findings: Findings) -> ActivitySignal | None:
    signal = _parse(content)
    if signal is None:
        findings.add("signal_malformed")
        return None
    age_s = (datetime.now(UTC) - parse_utc(signal.ts_utc)).total_seconds()
    if age_s > max_age_s or age_s < -MAX_FUTURE_S:
        findings.add("signal_stale")
    return signal


def _parse(content: bytes) -> ActivitySignal | None:
    try:
        signal = ActivitySignal.model_validate_json(content)
        parse_utc(signal.ts_utc)
    except ValueError:
        return None
    return signal


def _age(signal: ActivitySignal) -> str:
    age_s = (datetime.now(UTC) - parse_utc(signal.ts_utc)).total_seconds()
    return f"{age_s:.1f} s old" if age_s >= 0 else f"{-age_s:.1f} s in the future"


def _open(path: Path) -> BinaryIO | None:
    """A regular file, open to be read; None where there is none that can be."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    file = os.fdopen(descriptor, "rb", buffering=0)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return file
    file.close()
    return None


def _content(file: BinaryIO, limit: int) -> bytes:
    file.seek(0)
    parts = []
    while limit > 0 and (part := file.read(limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _read(path: Path, limit: int) -> bytes | None:
    file = _open(path)
    if file is None:
        return None
    with file:
        return _content(file, limit)


def _matches(digest: bytes, content: bytes) -> bool:
    words = digest.decode(errors="replace").split()
    return bool(words) and words[0].lower() == sha256_hex(content)
