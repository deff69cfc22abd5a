"""The journal: what happened to the evidence, append-only, one canonical JSON object a line `[hash-4]`."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import orjson

from pipeline.stores.atomic import fsync_directory, make_directories, replace_bytes, replace_file
from schemas.canonical import canonical_json, sha256_hex
from schemas.fields import utc_text

_TAIL_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be added; its sequence number is the journal's."""

    event_id: str
    event_type: str
    run_id: str
    moment: datetime
    payload: dict[str, Any]


class Journal:
    """Appends events with rising `sequence`; nothing is touched before the first use. One writer at a time."""

    def __init__(self, path: Path, quarantine: Path) -> None:
        self.path = path
        self.quarantine = quarantine
        self._next: int | None = None

    def has(self, event_id: str) -> bool:
        """Tell whether an event is already in the journal. Raises OSError."""
        self._open()
        if self.path.stat().st_size == 0:
            return False
        needle = b'"event_id":' + canonical_json(event_id) + b","
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(needle) >= 0

    def append(self, event_id: str, event_type: str, run_id: str, moment: datetime, payload: dict[str, Any]) -> None:
        """Add one event; it is durable on return. Raises OSError, and then nothing was added."""
        self.append_all([NewEvent(event_id, event_type, run_id, moment, payload)])

    def append_all(self, events: Sequence[NewEvent]) -> None:
        """Add events with one sync; all are durable on return. Raises OSError, and then none was added."""
        from schemas.handoff import JournalEvent  # late: who looks at runs reads none of these models

        sequence = self._open()
        lines = []
        for number, event in enumerate(events, start=sequence):
            line = JournalEvent(
                event_id=event.event_id,
                sequence=number,
                ts_utc=utc_text(event.moment),
                tzid="UTC",
                offset_minutes=0,
                event_type=event.event_type,
                payload=event.payload,
                run_id=event.run_id,
            )
            lines.append(canonical_json(line.model_dump()) + b"\n")
        self._next = None  # known again only when the lines are durable
        self._write(b"".join(lines))
        self._next = sequence + len(lines)

    def make_durable(self) -> None:
        """Sync events that an earlier process may have written and not synced. Raises OSError."""
        self._open()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())

    def _open(self) -> int:
        """Mend the end of the file if a crash tore it; returns the next sequence number."""
        if self._next is None:
            if not self.path.exists():
                self.path.touch(mode=0o600)
            fsync_directory(self.path.parent)
            self._set_torn_lines_aside()
            self._next = self._last_sequence() + 1
        return self._next

    def _write(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        size = os.fstat(descriptor).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(descriptor, line[written:])
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)

    def _set_torn_lines_aside(self) -> None:
        """Save to quarantine what a crash tore, then take it out: what follows the last newline, and lines with holes.

        A power cut may keep the end of a write and lose its beginning: zeros stand there then, which no JSON holds.
        """
        size = self.path.stat().st_size
        tail = self._tail(_TAIL_BYTES)
        if b"\n" not in tail:
            tail = self._tail(size)
        lines = BytesIO(tail).readlines()
        torn = [line for line in lines if not line.endswith(b"\n") or b"\0" in line]
        if not torn:
            return
        whole = b"".join(line for line in lines if line not in torn)
        make_directories(self.quarantine)
        lost = b"".join(torn)
        replace_bytes(self.quarantine / f"journal-{sha256_hex(lost)[:16]}.torn", lost)

        def write(temporary: Path) -> None:
            shutil.copyfile(self.path, temporary)
            with temporary.open("r+b") as file:
                file.truncate(size - len(tail))
                file.seek(0, os.SEEK_END)
                file.write(whole)

        replace_file(self.path, write)

    def _last_sequence(self) -> int:
        for limit in (_TAIL_BYTES, self.path.stat().st_size):
            for line in reversed(self._tail(limit).splitlines()):
                sequence = _sequence_of(line)
                if sequence is not None:
                    return sequence
        return -1

    def _tail(self, limit: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - limit))
            return file.read()


def _sequence_of(line: bytes) -> int | None:
    try:
        sequence = orjson.loads(line)["sequence"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return sequence if isinstance(sequence, int) else None
