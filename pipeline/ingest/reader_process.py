"""The process that reads foreign bytes for ingest: SQLite, zstd and protobuf meet them here, under the kernel's limits.

Takes requests on stdin, answers on stdout (`reader_frames`). Ends when stdin does, or when nobody waits any more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pipeline
import schemas
from pipeline.confinement import Limits, confine
from pipeline.errors import ContractInvalid
from pipeline.ingest.foreign_rows import ForeignDatabase
from pipeline.ingest.reader_frames import BadFrame, Kind, pack, read_frame, unpack
from pipeline.ingest.session_pictures import read_pictures
from pipeline.stores.metadata import MetadataRow, Value
from pipeline.stores.variants import Backend

_FINDINGS_A_FRAME = 5_000
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")


def main(folder: str, memory: str, cpu_s: str, file_size: str) -> None:
    """Serve requests over files in one folder until there are no more."""
    with os.fdopen(0, "rb") as requests, FileIO(1, "wb") as replies:
        _Reader(requests, replies).serve(Limits(int(memory), int(cpu_s), int(file_size)), folder)


class _Reader:
    """Answers one request after the other."""

    def __init__(self, requests: BinaryIO, replies: FileIO) -> None:
        self._requests = requests
        self._replies = replies
        self._parent = os.getppid()
        self._database: ForeignDatabase | None = None

    def serve(self, limits: Limits, folder: str) -> None:
        """Confine this process, then do what is asked for."""
        confined = confine(limits, folder, _code_folders())
        self._send(Kind.ready, "landlock" if confined else "")
        while (request := self._receive()) is not None:
            kind, values = request
            try:
                self._do(kind, values)
            except ContractInvalid as error:
                self._send(Kind.rejected, _text(error.message), _text(error.remedy))
            except MemoryError:
                self._send(Kind.rejected, "it takes too much memory to read: it was given up", "")
            except BrokenPipeError:
                return
            except Exception as error:  # noqa: BLE001 whoever asked is to hear that nothing more comes
                self._send(Kind.failed, type(error).__name__)
                return

    def _do(self, kind: Kind, values: list[Value]) -> None:
        if kind is Kind.database:
            self._open(_path(values[0]), Backend(str(values[1])))
        elif kind is Kind.walk and self._database is not None:
            for chunk in self._database.chunks():
                self._send(Kind.rows, *(value for row in chunk for value in _columns(row)))
            self._send(Kind.done)
        elif kind is Kind.session:
            self._read_session(values)
        else:
            raise BadFrame("no request")

    def _open(self, path: Path, backend: Backend) -> None:
        self._close()
        self._database = ForeignDatabase(path, backend, lambda: os.getppid() != self._parent)
        choice = self._database.choice
        holds_more, repeated = int(self._database.holds_more), self._database.repeated
        self._send(Kind.opened, choice.backend.value, _text(choice.why), holds_more, repeated)

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _read_session(self, values: list[Value]) -> None:
        from pipeline.ingest.chronicle_session import read_session

        folder, name, pictures, database = (_path(value) for value in values)
        findings = read_session(folder, str(name), read_pictures(pictures), database)
        self._send_findings("warnings", ([_text(warning)] for warning in findings.warnings))
        self._send_findings("faults", ([_text(part) for part in item] for item in findings.faults.items()))
        self._send_findings("sealed", ([_text(part) for part in item] for item in findings.sealed.items()))
        self._send(Kind.done)

    def _send_findings(self, name: str, items: Iterable[list[str]]) -> None:
        remaining = iter(items)
        while chunk := list(islice(remaining, _FINDINGS_A_FRAME)):
            self._send(Kind.findings, name, *(part for item in chunk for part in item))

    def _send(self, kind: Kind, *values: Value) -> None:
        frame = memoryview(pack(kind, values))
        while frame:
            frame = frame[self._replies.write(frame) :]

    def _receive(self) -> tuple[Kind, list[Value]] | None:
        frame = read_frame(self._requests)
        return frame and (frame[0], unpack(frame[1]))


def _code_folders() -> list[str]:
    """Where what is imported late lies: Python, packages, our own two, and the system's shared libraries."""
    own = [str(Path(module.__file__ or "").parent) for module in (os, pipeline, schemas)]
    packages = [path for path in sys.path if path.endswith("-packages")]
    return [folder for folder in (*own, *packages, f"{sys.base_prefix}/lib", *_LIBRARIES) if Path(folder).is_dir()]


def _columns(row: MetadataRow) -> tuple[Value, ...]:
    return (row.record_id, row.payload, row.record_type, row.ts_utc, row.run_id)


def _path(value: Value) -> Path:
    """A path as it was sent: its bytes, since not each is text."""
    if not isinstance(value, bytes):
        raise BadFrame("no path")
    return Path(os.fsdecode(value))


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


if __name__ == "__main__":
    main(*sys.argv[1:])
