"""Items out of `meta/*.pb.zst`, one by one, whatever the file holds: limited in size, memory and time `[handoff-9]`.

A batch has one repeated field, so its bytes are items, each after a tag and its length; batches that follow one another
are one batch to protobuf, and so are several zstd frames. A whole batch need never be in memory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from pipeline.errors import ContractInvalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

WINDOW_LOG_MAX = 23
"""8 MiB: what every zstd level up to 19 stays below, and what RFC 8878 asks a decoder to support."""

MAX_INFLATED_BYTES = 1 << 30
MAX_ITEM_BYTES = 1 << 20
REMEDY = "have the recorder write the session again (docs/chronicle.md); it was left as it is"

_BUDGET_S = 8.0
_BYTES_PER_BUDGET_S = 1 << 17
_ITEMS_PER_CHECK = 1_000
_READ_BYTES = 1 << 16
_INFLATE_BYTES = 1 << 18
_ITEM_TAG = 0x0A  # field 1, with a length
_LONGEST_VARINT = 10
_FIXED_SIZES = {1: 8, 5: 4}

Item = TypeVar("Item", bound=Message)


class Budget:
    """How long a session may be read: 8 s of CPU time, and a second for each 128 KiB of its streams.

    A mouse that moves at 1,000 Hz all day stays far below that.
    """

    def __init__(self, paths: Iterable[Path], cpu_time: Callable[[], float] = time.thread_time) -> None:
        size = sum(path.stat().st_size for path in paths if path.exists())
        self._cpu_time = cpu_time
        self._deadline = cpu_time() + _BUDGET_S + size / _BYTES_PER_BUDGET_S

    def check(self, name: str) -> None:
        """Raises ContractInvalid, naming what is being read, once the time is over."""
        if self._cpu_time() > self._deadline:
            raise _rejected(name, "takes too long to read: it was given up")


def read_items(path: Path, name: str, kind: type[Item], budget: Budget) -> Iterator[Item]:
    """Read the items of a batch file in order. `name` is what messages call the file.

    Raises ContractInvalid: no zstd, cut off, a window over 8 MiB, more than 1 GiB inflated, an item over 1 MiB, no
    protobuf, text that is not UTF-8, the budget spent.
    """
    for number, data in enumerate(_split(_inflate(path, name, budget), name)):
        if number % _ITEMS_PER_CHECK == 0:
            budget.check(name)
        try:
            yield kind.FromString(data)
        except (DecodeError, ValueError) as error:
            raise _rejected(name, f"item {number} is no valid {kind.DESCRIPTOR.name}") from error


def _inflate(path: Path, name: str, budget: Budget) -> Iterator[bytes]:
    """Inflate all zstd frames of a file, 256 KiB at a time."""
    total = 0
    decompressor: zstd.ZstdDecompressor | None = None
    with path.open("rb") as file:
        pending = file.read(_READ_BYTES)
        if not pending:
            raise _rejected(name, "is empty; expected a zstd stream")
        while pending or (decompressor is not None and not decompressor.eof):
            budget.check(name)
            decompressor = decompressor or _decompressor()
            try:
                data = decompressor.decompress(pending, max_length=_INFLATE_BYTES)
            except zstd.ZstdError as error:
                raise _rejected(name, "is damaged, no zstd, or has a window over 8 MiB") from error
            total += len(data)
            if total > MAX_INFLATED_BYTES:
                raise _rejected(name, f"inflates to more than {MAX_INFLATED_BYTES >> 20} MiB")
            if data:
                yield data
            pending = b""
            if decompressor.eof:
                pending, decompressor = decompressor.unused_data or file.read(_READ_BYTES), None
            elif decompressor.needs_input:
                pending = file.read(_READ_BYTES)
                if not pending:
                    raise _rejected(name, "is cut off: its zstd stream does not end")


def _decompressor() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})


def _split(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Cut an inflated batch into its items' bytes; fields that this version does not know are passed over."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        position = 0
        while (field := _next_field(buffer, position, name)) is not None:
            is_item, start, position = field
            if is_item:
                yield bytes(buffer[start:position])
        del buffer[:position]
    if buffer:
        raise _rejected(name, "is cut off in the middle of an item")


def _next_field(buffer: bytearray, position: int, name: str) -> tuple[bool, int, int] | None:
    """Find the field at a position: is it an item, where its content starts and ends. None when more is needed."""
    tag = _varint(buffer, position, name)
    if tag is None:
        return None
    number, wire_type = tag[0] >> 3, tag[0] & 7
    if number == 0 or (number == 1 and tag[0] != _ITEM_TAG):
        raise _rejected(name, "is no protobuf batch")
    start = end = tag[1]
    if wire_type == 0 or wire_type == 2:
        value = _varint(buffer, start, name)
        if value is None:
            return None
        start = end = value[1]
        if wire_type == 2:
            if value[0] > MAX_ITEM_BYTES:
                raise _rejected(name, f"holds an item over {MAX_ITEM_BYTES >> 10} KiB")
            end += value[0]
    elif wire_type in _FIXED_SIZES:
        end += _FIXED_SIZES[wire_type]
    else:
        raise _rejected(name, "is no protobuf batch")
    return (tag[0] == _ITEM_TAG, start, end) if end <= len(buffer) else None


def _varint(buffer: bytearray, position: int, name: str) -> tuple[int, int] | None:
    """Read a varint: its value and where it ends. None when it goes on beyond the buffer."""
    if position < len(buffer) and buffer[position] < 0x80:
        return buffer[position], position + 1
    value = 0
    for index, byte in enumerate(buffer[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    if len(buffer) - position >= _LONGEST_VARINT:
        raise _rejected(name, "is no protobuf batch")
    return None


def _rejected(name: str, what: str) -> ContractInvalid:
    return ContractInvalid(f"{name} {what}", remedy=REMEDY)
