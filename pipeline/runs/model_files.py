"""The digest of a model that lies in a folder: its weights, its tokenizer and its configuration."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import orjson

from pipeline.dataroot import DataRoot
from pipeline.stores.atomic import make_directories, replace_bytes
from schemas.canonical import canonical_sha256

_SUFFIXES = frozenset({".safetensors", ".bin", ".json", ".txt", ".jinja", ".model", ".tiktoken"})
WEIGHTS = (".safetensors", ".bin")

Known = dict[str, list[int | str]]


def model_files(folder: Path) -> list[Path]:
    """The files of a folder that decide what the model says, by name; a link counts as what it points at."""
    return sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())


def folder_digest(root: DataRoot, folder: Path) -> str:
    """Hash a model's files by name and content. Raises OSError.

    A file is hashed once: gigabytes take seconds. Size, time and inode tell in `derived/cache` whether it is still the
    same; without that memo it only takes longer.
    """
    known = _read(root.model_files)
    hashes = {path.name: _file_digest(path, known) for path in model_files(folder)}
    _write(root.model_files, known)
    return canonical_sha256(hashes)


def _file_digest(path: Path, known: Known) -> str:
    stat = path.stat()
    now: list[int | str] = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    name = str(path.absolute())
    remembered = known.get(name, [])
    if remembered[:-1] != now:
        with path.open("rb") as stream:
            known[name] = [*now, hashlib.file_digest(stream, "sha256").hexdigest()]
    return str(known[name][-1])


def _read(memo: Path) -> Known:
    with suppress(OSError, orjson.JSONDecodeError):
        found = orjson.loads(memo.read_bytes())
        if isinstance(found, dict):
            return {name: entry for name, entry in found.items() if isinstance(entry, list) and len(entry) == 4}
    return {}


def _write(memo: Path, known: Known) -> None:
    data = orjson.dumps(known, option=orjson.OPT_SORT_KEYS)
    with suppress(FileNotFoundError):
        if memo.read_bytes() == data:
            return
    make_directories(memo.parent)
    replace_bytes(memo, data)
