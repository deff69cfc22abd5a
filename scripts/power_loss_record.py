"""What an ingest told the file system, in order and with all bytes: recorded with strace, read from its log.

The recording is complete or refused: replayed from what was there before, it must give exactly what is there after.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fault_process import CHANGING, run_traced
from ingest_scenarios import Workplace

_LINE = re.compile(r"^(\d+) +(?:(\w+)\((.*?)|<\.\.\. (\w+) resumed>(.*?))(?: <unfinished \.\.\.>|\) += (-?\d+|\?).*)$")
_OPENED = re.compile(r"^(AT_FDCWD|\d+)(?:<([^>]*)>(\(deleted\))?)?$")
_NO_EFFECT = {"utimensat", "fchmod", "fchmodat", "chmod", "fchown"}
"""They change what no evidence lies in: times, modes, owners."""


@dataclass(frozen=True, slots=True)
class Name:
    """A directory's entry is set to a file or directory, or with None taken away."""

    directory: int
    name: str
    node: int | None


@dataclass(frozen=True, slots=True)
class Move:
    """A rename: one entry is taken away, another set."""

    taken: Name
    given: Name


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes of a file."""

    node: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Resize:
    """The length of a file."""

    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file or directory was made durable: all that was done to it before operation number `upto`."""

    node: int
    upto: int


Operation = Name | Move | Write | Resize | Sync


@dataclass
class Files:
    """Files and directories by number, as a file system keeps them; `top` is where all begins."""

    top: int = 0
    content: dict[int, bytearray] = field(default_factory=dict)
    entries: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})

    @classmethod
    def read(cls, folder: Path) -> Files:
        """Read what lies in a folder; files with several names are one file."""
        files = cls()
        numbers: dict[int, int] = {}

        def walk(place: Path, node: int) -> None:
            for path in sorted(place.iterdir()):
                inode = path.lstat().st_ino
                is_new = inode not in numbers
                child = numbers.setdefault(inode, len(numbers) + 1)
                files.entries[node][path.name] = child
                if path.is_dir():
                    files.entries[child] = {}
                    walk(path, child)
                elif is_new:
                    files.content[child] = bytearray(path.read_bytes())

        walk(folder, files.top)
        return files

    def copy(self) -> Files:
        """Copy all of it."""
        return Files(
            self.top,
            {node: bytearray(data) for node, data in self.content.items()},
            {node: dict(names) for node, names in self.entries.items()},
        )

    def tree(self) -> dict[str, bytes]:
        """Every file that can be reached, by its path."""
        return {path: bytes(self.content[node]) for path, node in self.walk() if node in self.content}

    def walk(self) -> Iterator[tuple[str, int]]:
        """Every path that can be reached, directories before what lies in them."""
        waiting = [("", self.top)]
        while waiting:
            prefix, directory = waiting.pop()
            for name, node in sorted(self.entries[directory].items()):
                yield prefix + name, node
                if node in self.entries:
                    waiting.append((f"{prefix}{name}/", node))

    def find(self, path: str) -> int | None:
        """Look up a path; None when nothing is there."""
        node: int | None = self.top
        for part in path.split("/") if path else ():
            node = self.entries.get(node, {}).get(part) if node is not None else None
        return node

    def new(self, is_directory: bool) -> int:
        """Make a file or directory that has no name yet."""
        node = 1 + max([*self.content, *self.entries])
        if is_directory:
            self.entries[node] = {}
        else:
            self.content[node] = bytearray()
        return node

    def apply(self, operation: Operation) -> None:
        """Do an operation, whole."""
        match operation:
            case Name(directory, name, node):
                self._set(directory, name, node)
            case Move(taken, given):
                self._set(taken.directory, taken.name, taken.node)
                self._set(given.directory, given.name, given.node)
            case Write(node, offset, data):
                self.resize(node, max(len(self.content[node]), offset + len(data)))
                self.content[node][offset : offset + len(data)] = data
            case Resize(node, size):
                self.resize(node, size)

    def resize(self, node: int, size: int) -> None:
        """Cut a file off, or lengthen it by zeros."""
        content = self.content[node]
        del content[size:]
        content.extend(bytes(size - len(content)))

    def _set(self, directory: int, name: str, node: int | None) -> None:
        if node is None:
            self.entries[directory].pop(name, None)
        else:
            self.entries[directory][name] = node


@dataclass(frozen=True)
class Recording:
    """What was there before, and all that was done."""

    before: Files
    """With everything that any operation names, also what has no entry yet."""
    operations: list[Operation]


def record(workplace: Workplace, prepare: Callable[[], object] = lambda: None) -> Recording:
    """Run the command over what lies in `base`, with `prepare` before it in its process, and take down what it does."""
    log = workplace.base.with_name("record.log")
    before = Files.read(workplace.base)
    calls = [*CHANGING, "open", "openat", "creat", "lseek"]
    code = run_traced(workplace, calls, ["-xx", "-s", "100000000"], log, prepare)
    if code not in (0, 2):
        raise AssertionError(f"the recorded ingest ended with {code}")
    reader = _LogReader(workplace.base, before)
    for line in log.read_text().splitlines():
        reader.read(line)
    if reader.files.tree() != Files.read(workplace.base).tree():
        raise AssertionError("the recording is not complete: replayed, it gives something else than what is there")
    for node in reader.files.content:
        before.content.setdefault(node, bytearray())
    for node in reader.files.entries:
        before.entries.setdefault(node, {})
    return Recording(before, reader.operations)


class _LogReader:
    """Turns strace's log, line by line, into operations on files below a folder."""

    def __init__(self, folder: Path, before: Files) -> None:
        self.files = before.copy()
        self.operations: list[Operation] = []
        self._folder = f"{folder}/"
        self._offsets: dict[tuple[str, str], int] = {}
        """Where the next write to an open file goes, by descriptor and path; -1: to its end."""
        self._waiting: dict[str, tuple[str, int]] = {}

    def read(self, line: str) -> None:
        """Read a line; a call that another thread's came between is read when it ends, and syncs what was before it."""
        match = _LINE.match(line)
        if match is None:
            return
        process, call, arguments, resumed, rest, result = match.groups()
        if resumed is not None:
            earlier, upto = self._waiting.pop(process, ("", 0))
            call, arguments = resumed, earlier + rest
        else:
            upto = len(self.operations)
        if result is None:
            self._waiting[process] = (arguments, upto)
        elif int(result.replace("?", "-1")) >= 0 and call not in _NO_EFFECT:
            self._do(call, arguments.split(", "), int(result), upto)

    def _do(self, call: str, arguments: list[str], result: int, upto: int) -> None:
        if call in ("open", "openat"):
            self._open(arguments if call == "openat" else ["AT_FDCWD", *arguments], result)
        elif call in ("write", "pwrite64"):
            self._write(arguments, result)
        elif call in ("fsync", "fdatasync"):
            if (node := self._node(arguments[0])) is not None:
                self.operations.append(Sync(node, upto))
        elif call == "lseek":
            descriptor, path = self._opened(arguments[0])
            if (descriptor, path) in self._offsets:
                self._offsets[descriptor, path] = result
        elif call == "ftruncate":
            if (node := self._node(arguments[0])) is not None:
                self._note(Resize(node, int(arguments[1])))
        else:
            self._rename_or_remove(call, arguments)

    def _rename_or_remove(self, call: str, arguments: list[str]) -> None:
        if call in ("rename", "link", "unlink", "rmdir", "mkdir"):
            at = ["AT_FDCWD", arguments[0]] + (["AT_FDCWD", arguments[1]] if call in ("rename", "link") else [])
        else:
            call, at = call.removesuffix("2").removesuffix("at"), arguments
        source = self._path(at[0], at[1])
        if call in ("rename", "link"):
            target = self._place(self._path(at[2], at[3]))
            node = self.files.find(source) if source is not None else None
            if target is None and source is None:
                return
            if target is None or node is None:
                raise AssertionError(f"{call} across the border of the folder is not modelled")
            given = Name(*target, node)
            self._note(given if call == "link" else Move(Name(*self._place_of(source), None), given))
        elif (place := self._place(source)) is not None:
            if call not in ("unlink", "rmdir", "mkdir"):
                raise AssertionError(f"the call {call} is not modelled")
            self._note(Name(*place, self.files.new(is_directory=True) if call == "mkdir" else None))
        elif call not in ("unlink", "rmdir", "mkdir") and any(self._folder in _text(item) for item in arguments):
            raise AssertionError(f"the call {call} is not modelled")

    def _open(self, arguments: list[str], descriptor: int) -> None:
        path, flags = self._path(arguments[0], arguments[1]), arguments[2]
        place = self._place(path)
        if path is None or place is None:
            return
        node = self.files.find(path)
        if node is None and "O_CREAT" in flags:
            node = self.files.new(is_directory=False)
            self._note(Name(*place, node))
        elif node is not None and "O_TRUNC" in flags and self.files.content[node]:
            self._note(Resize(node, 0))
        self._offsets[str(descriptor), self._folder + path] = -1 if "O_APPEND" in flags else 0

    def _write(self, arguments: list[str], written: int) -> None:
        node = self._node(arguments[0])
        if node is None or not written:
            return
        data = _raw(arguments[1])[:written]
        opened = self._opened(arguments[0])
        if len(arguments) > 3:
            offset = int(arguments[3])
        else:
            offset = self._offsets[opened]
            offset = len(self.files.content[node]) if offset < 0 else offset
            if self._offsets[opened] >= 0:
                self._offsets[opened] += len(data)
        self._note(Write(node, offset, data))

    def _note(self, operation: Operation) -> None:
        self.files.apply(operation)
        self.operations.append(operation)

    def _opened(self, text: str) -> tuple[str, str]:
        match = _OPENED.match(text)
        if match is None:
            raise AssertionError(f"a descriptor that is not understood: {text[:80]}")
        descriptor, path, deleted = match.groups()
        return descriptor, "" if deleted or path is None else _text(path)

    def _node(self, text: str) -> int | None:
        """The file that a descriptor stands for; None for one elsewhere, or without a name any more."""
        _, path = self._opened(text)
        if f"{path}/" == self._folder:
            return self.files.top
        return self.files.find(path.removeprefix(self._folder)) if path.startswith(self._folder) else None

    def _path(self, directory: str, quoted: str) -> str | None:
        """A path in the folder, relative to it; None for one elsewhere."""
        text = _text(quoted.strip('"'))
        descriptor, place = self._opened(directory)
        if text == f"/proc/self/fd/{descriptor}":
            text = place
        whole = os.path.normpath(text if text.startswith("/") else f"{place}/{text}")
        return whole.removeprefix(self._folder) if whole.startswith(self._folder) else None

    def _place(self, path: str | None) -> tuple[int, str] | None:
        return None if path is None else self._place_of(path)

    def _place_of(self, path: str | None) -> tuple[int, str]:
        parent, _, name = (path or "").rpartition("/")
        node = self.files.find(parent)
        if node is None:
            raise AssertionError(f"nothing is known of the directory of {path}")
        return node, name


def _raw(quoted: str) -> bytes:
    return bytes.fromhex(quoted.strip('"').replace("\\x", ""))


def _text(quoted: str) -> str:
    return os.fsdecode(_raw(quoted)) if quoted.startswith(("\\x", '"')) else quoted
