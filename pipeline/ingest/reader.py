"""Ingest's side of the processes that read foreign bytes: asks, waits no longer than it must, believes nothing.

ReaderPool ── borrow ── Reader ═ pipes ═ reader_process   confined to one folder, ended after any rejection
                          └─ open ── ReadRows             the rows, checked again on this side
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path

from pipeline.confinement import Limits
from pipeline.errors import ContractInvalid, Unavailable
from pipeline.ingest.foreign_rows import BUDGET_S, BYTES_PER_BUDGET_S
from pipeline.ingest.own_process import start_process
from pipeline.ingest.place_files import STAGING
from pipeline.ingest.read_rows import ReadRows
from pipeline.ingest.reader_frames import HEADER_BYTES, BadFrame, Kind, pack, unpack, unpack_header
from pipeline.ingest.session_pictures import Picture, write_pictures
from pipeline.ingest.snapshot import Findings
from pipeline.stores.metadata import Value
from pipeline.stores.variants import Backend

_GRACE_S = 1.0
"""A reader gives up by itself, with a better sentence; it is ended when it does not."""
_START_S = 60.0
_STREAM_BYTES_PER_S = 1 << 16
_MOST_FINDINGS = 1_000_000
_LONGEST_SENTENCE = 1_000
_MOST_HANDOFFS = 500
_MOST_CPU_S = 30.0
_ORDINARY_BYTES = {False: 256 << 20, True: 8 << 20}
"""What a reader that is kept may have to read of a database, and of a session; a larger one gets its own process."""
_MEMORY = 1 << 30
_FILE_SIZE = 4 << 30
_CPU_S = 120
_READER = "pipeline.ingest.reader_process"
_REMEDY = "have the producer hand it off again; it was left as it is"


class Reader:
    """One reading process, for one handoff after the other."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """Start it; `folder` is all it will see. Raises OSError."""
        self.folder = folder
        self.served = 0
        self.is_spent = False
        self._privates = cycle((folder / "a", folder / "b"))
        self._left_s = _START_S
        self._is_ready = False
        numbers = (limits.memory, limits.cpu_s, limits.file_size)
        self._process = start_process(
            _READER, str(folder), *map(str, numbers), environment={"SQLITE_TMPDIR": str(folder)}
        )
        self._poll = select.poll()
        self._poll.register(self._stdout, select.POLLIN)

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU time that it has used."""
        with suppress(OSError):
            return time.clock_gettime((~self._process.pid << 3) | 2)  # Linux: the clock of a process
        return 0.0

    @contextmanager
    def private(self) -> Iterator[Path]:
        """Lend a folder that it can see, for one handoff; what is left in it is removed. Raises OSError.

        Two take turns: until it has opened the next database it may hold the one before, and remove a log of its name.
        """
        private = next(self._privates)
        private.mkdir(exist_ok=True)
        yield private
        if not self.is_spent:  # then all of its folder goes
            _empty(private)

    @contextmanager
    def open(self, database: Path, backend: Backend) -> Iterator[ReadRows]:
        """Have it check a snapshot of a database that lies in its folder, and choose its table.

        Raises ContractInvalid, saying what was found.
        """
        with self.begin_opening(database, backend) as opening:
            yield opening.rows()

    @contextmanager
    def begin_opening(self, database: Path, backend: Backend) -> Iterator[Opening]:
        """The same, without waiting for it yet. Raises ContractInvalid, ReaderFailed, OSError."""
        with os.scandir(database.parent) as files:  # the database, its log and its journal
            size = sum(file.stat().st_size for file in files if file.name.startswith(database.name))
        self.allow(BUDGET_S + 3 * size / BYTES_PER_BUDGET_S)
        # Its rows will be wanted: what is of them is on its way when they are.
        self._send(pack(Kind.database, (os.fsencode(database), backend.value)) + pack(Kind.walk))
        opening = Opening(self, size)
        yield opening
        if not opening.has_been_read and not self.is_spent:
            self.end()

    def read_session(self, folder: Path, name: str, pictures: Mapping[str, Picture], database: Path) -> Findings:
        """Have it read a chronicle session's files in its folder into a new database there, see `read_session`.

        Raises ContractInvalid.
        """
        seen = folder / "pictures"
        write_pictures(seen, pictures)
        size = sum(file.stat().st_size for file in folder.rglob("*.zst"))
        self.allow(BUDGET_S + size / _STREAM_BYTES_PER_S)
        self.ask(Kind.session, *(os.fsencode(value) for value in (folder, name, seen, database)))
        findings = Findings()
        while (answer := self.answer(Kind.findings, Kind.done))[0] is Kind.findings:
            self._add(findings, answer[1])
        return findings

    def allow(self, seconds: float) -> None:
        """Say how long may be waited for it, all in all, from now on."""
        self._left_s = seconds + _GRACE_S + (0.0 if self._is_ready else _START_S)

    def ask(self, kind: Kind, *values: Value) -> None:
        """Send a request. Raises ContractInvalid when it has died, ReaderFailed when it never lived."""
        self._send(pack(kind, values))

    def answer(self, *expected: Kind) -> tuple[Kind, list[Value], bytes]:
        """Wait for a frame of some kind: its values, and the bytes they were taken from.

        Raises ContractInvalid, ReaderFailed when it never lived.
        """
        if not self._is_ready:
            self._begin()
        kind, size = self._header()
        body = self._receive(size)
        values = self._unpack(body)
        if kind is Kind.rejected and len(values) == 2:
            self.is_spent = True
            message, remedy = (sentence(str(value)) for value in values)
            raise ContractInvalid(message, remedy=remedy or _REMEDY)
        if kind is Kind.failed and values:
            raise self.distrust(f"its reader failed ({sentence(str(values[0]))[:40]})")
        if kind not in expected:
            raise self.distrust("its reader gave no sense")
        return kind, values, body

    def distrust(self, what: str) -> ContractInvalid:
        """End it, and return what to raise."""
        self.end()
        return ContractInvalid(f"it cannot be read: {what}", remedy=_REMEDY)

    def end(self) -> None:
        """End the process, and remove its folder."""
        self.is_spent = True
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _stdout(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _begin(self) -> None:
        self._is_ready = True
        try:
            self.answer(Kind.ready)
        except ContractInvalid as error:
            raise _did_not_start() from error

    def _send(self, frame: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(frame)  # a request is far smaller than what a pipe holds
        except BrokenPipeError as error:
            died = self.distrust(self._died())
            raise (died if self._is_ready else _did_not_start()) from error

    def _header(self) -> tuple[Kind, int]:
        try:
            return unpack_header(self._receive(HEADER_BYTES))
        except BadFrame as error:
            raise self.distrust("its reader gave no sense") from error

    def _unpack(self, body: bytes) -> list[Value]:
        try:
            return unpack(body)
        except BadFrame as error:
            raise self.distrust("its reader gave no sense") from error

    def _receive(self, size: int) -> bytes:
        assert self._process.stdout is not None
        data = bytearray()
        while len(data) < size:
            started = time.monotonic()
            is_there = self._poll.poll(max(self._left_s, 0.0) * 1000)
            self._left_s -= time.monotonic() - started
            if not is_there:
                raise self.distrust("it takes too long, and was given up")
            block = self._process.stdout.read(min(size - len(data), 1 << 20))
            if not block:
                raise self.distrust(self._died())
            data += block
        return bytes(data)

    def _died(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_GRACE_S)
            if code == -signal.SIGXCPU:
                return "it takes too long, and was given up"
            if code < 0:
                return f"the process that reads it was ended by {signal.Signals(-code).name}"
        return "the process that reads it ended before it was done"

    def _add(self, findings: Findings, values: Sequence[Value]) -> None:
        name, *parts = (str(value) for value in values)
        known = len(findings.warnings) + len(findings.faults) + len(findings.sealed)
        if known + len(parts) > _MOST_FINDINGS:
            raise self.distrust("it has more findings than are believed")
        if name == "warnings":
            findings.warnings += [sentence(part) for part in parts]
        elif name == "faults" and len(parts) % 2 == 0:
            findings.faults.update(zip(parts[0::2], map(sentence, parts[1::2]), strict=True))
        elif name == "sealed" and len(parts) % 2 == 0:
            findings.sealed.update(zip(parts[0::2], parts[1::2], strict=True))
        else:
            raise self.distrust("its reader gave no sense")


class Opening:
    """A database that a reader has been asked to open."""

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._rows: ReadRows | None = None

    def rows(self) -> ReadRows:
        """Wait until it is open; for one call. Raises ContractInvalid, saying what was found."""
        self._rows = ReadRows(self._reader, self._size, self._reader.answer(Kind.opened)[1])
        return self._rows

    @property
    def has_been_read(self) -> bool:
        """Whether nothing is on its way that nobody has taken."""
        return self._rows is not None and self._rows.has_been_walked


class ReaderFailed(Unavailable):
    """No reading process can be started here, so that nothing can be ingested."""


def _did_not_start() -> ReaderFailed:
    return ReaderFailed("the process that reads handoffs did not start", remedy="pipeline doctor says more")


def _empty(folder: Path) -> None:
    """Remove what lies in a folder of ours, and leave the folder: to make one anew costs more than all the rest."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()


class ReaderPool:
    """Reading processes, kept from one handoff to the next; for several threads. Use as a context manager."""

    def __init__(self, scratch: Path) -> None:
        """Their folders are made in `scratch`, which must exist by the first `borrow`."""
        self._scratch = scratch
        self._lock = threading.Lock()
        self._idle: list[Reader] = []

    def __enter__(self) -> ReaderPool:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            while self._idle:
                self._idle.pop().end()

    @contextmanager
    def borrow(self, size: int, *, is_session: bool) -> Iterator[Reader]:
        """Lend a reader for one handoff with so many bytes to parse; whatever is raised meanwhile is its last.

        Raises OSError.
        """
        reader = self._take(size, is_session)
        try:
            yield reader
        except BaseException:
            reader.end()
            raise
        reader.served += 1
        is_used_up = reader.served >= _MOST_HANDOFFS or reader.cpu_s > _MOST_CPU_S
        if reader.is_spent or is_used_up or size > _ORDINARY_BYTES[is_session]:
            reader.end()
        else:
            with self._lock:
                self._idle.append(reader)

    def _take(self, size: int, is_session: bool) -> Reader:
        if size <= _ORDINARY_BYTES[is_session]:
            with self._lock:
                if self._idle:
                    return self._idle.pop()
            limits = Limits(_MEMORY, _CPU_S, _FILE_SIZE)
        else:
            limits = Limits(_MEMORY, _CPU_S + size // (1 << 15), _FILE_SIZE + 4 * size)
        folder = Path(tempfile.mkdtemp(prefix=f"{STAGING}-", dir=self._scratch))
        try:
            return Reader(folder, limits)
        except BaseException:
            folder.rmdir()
            raise


def sentence(text: str) -> str:
    """A text that a reader sent, fit for a terminal: of some length, and no control characters."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text[:_LONGEST_SENTENCE])
