"""What a member of a bundle may be called, and which part of a DataRoot it is.

A name is the file's path relative to the DataRoot, each part percent-encoded (`handoffs/a%3Ab-0123/we%5Cird`). So every
path that Linux can hold has one name, in plain ASCII, and no program that unzips it can read a name in another way.
"""

from __future__ import annotations

import os
from enum import StrEnum
from urllib.parse import quote, unquote_to_bytes

from pipeline.errors import ContractInvalid
from pipeline.stores.atomic import TEMPORARY_PREFIX

_LONGEST_PART = 255
_LONGEST_PATH = 3072
_DEEPEST = 80
_SHOWN = 120
REMEDY = "restore another backup; nothing in the DataRoot was changed"


class Part(StrEnum):
    """The parts of a DataRoot that a bundle holds, by the first name in their path."""

    database = "metadata.db"
    media = "media"
    handoffs = "handoffs"
    journal = "journal.ndjson"
    ledger = "ledger.ndjson"
    settings = "pipeline.toml"
    contract = "contract.json"
    uia = "uia"
    activity = "activity"
    activity_signal = "activity_signal.json"


FOLDERS = frozenset({Part.media, Part.handoffs, Part.uia, Part.activity})
LINES = frozenset({Part.journal, Part.ledger})
"""Append-only files: of one that is being written, what ends with a whole line is what counts."""


def member_name(path: str) -> str:
    """Name a file by its path relative to the DataRoot."""
    return "/".join(quote(os.fsencode(part), safe="") for part in path.split("/"))


def member_path(name: str) -> tuple[Part, str]:
    """Read a member's name: its part of the DataRoot and its path. Raises ContractInvalid for any that is not ours."""
    parts = [os.fsdecode(unquote_to_bytes(part)) for part in name.split("/")]
    path = "/".join(parts)
    if member_name(path) != name or not all(map(_is_plain, parts)):
        raise _refused(name, "that no file of a DataRoot has")
    if len(os.fsencode(path)) > _LONGEST_PATH or len(parts) > _DEEPEST:
        raise _refused(name, "that is too long")
    try:
        part = Part(parts[0])
    except ValueError as error:
        raise _refused(name, "that is no part of a backup") from error
    if (len(parts) > 1) is not (part in FOLDERS):
        raise _refused(name, "that is no part of a backup")
    if part in FOLDERS and parts[1].startswith(TEMPORARY_PREFIX):
        raise _refused(name, "of unfinished work")
    return part, path


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and "/" not in part and "\0" not in part and len(part) <= _LONGEST_PART


def _refused(name: str, why: str) -> ContractInvalid:
    return ContractInvalid(f"the bundle has a member with a name {why}: {name[:_SHOWN]!r}", remedy=REMEDY)
