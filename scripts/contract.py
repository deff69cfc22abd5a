"""Tells whether the committed contract and the models part; `--accept "WHAT CHANGED"` gives them a new version.

The version follows from the difference: what an old reader or producer would trip over makes a new major version, what
is only added a new minor one. So nobody changes the contract without noticing, and nobody chooses the number.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from pydantic import BaseModel

from schemas import chronicle_pb2
from schemas.canonical import canonical_sha256
from schemas.contract import READS, WRITES
from schemas.contract_version import CONTRACT_VERSION, SCHEMA_HASH

REPOSITORY = Path(__file__).resolve().parent.parent
COMMITTED = Path("schemas", "contract.json")
VERSION = Path("schemas", "contract_version.py")
TABLE = Path("docs", "compatibility.md")
_ROW = "| {version} | `{digest}` | {changed} |"
_TABLE_END = "<!-- versions end -->"
_FREE_TEXT = {"title", "description", "examples", "$schema"}
_VERSION_MODULE = '''\
"""The version of our contract and the hash of its schemas. Written by `scripts/contract --accept`."""

from __future__ import annotations

CONTRACT_VERSION = "{version}"
SCHEMA_HASH = "{digest}"
'''


def contract_schemas() -> dict[str, Any]:
    """The JSON Schemas of what crosses the border, without prose: `{"reads": {name: schema}, "writes": …}`."""
    return {"reads": {**_schemas(READS), "chronicle.proto": _messages()}, "writes": _schemas(WRITES)}


def schema_hash(schemas: dict[str, Any]) -> str:
    """The sha256 over the canonical JSON of the schemas `[hash-1]`."""
    return canonical_sha256(schemas)


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Tell what breaks and what is added, each by its place in the schemas.

    A field that becomes required breaks what we read and adds to what we write; anything removed or changed breaks.
    """
    breaking: list[str] = []
    added: list[str] = []
    for side in ("reads", "writes"):
        for place, is_breaking in _walk(before[side], after[side], side):
            (breaking if is_breaking else added).append(place)
    return breaking, added


def next_version(version: str, breaking: list[str], added: list[str]) -> str:
    """The version that such differences ask for."""
    major, minor = (int(number) for number in version.split("."))
    if breaking:
        return f"{major + 1}.0"
    return f"{major}.{minor + 1}" if added else version


def check() -> int:
    """Tell what parts; 1 if anything does."""
    problems = _problems()
    for line in problems:
        print(line)
    if problems:
        print('  → scripts/contract --accept "WHAT CHANGED, AS A PRODUCER OR A READER NEEDS TO KNOW IT"')
    return 1 if problems else 0


def accept(changed: str) -> int:
    """Give what the models say now the version that it asks for, and note it in the table of versions."""
    now = contract_schemas()
    digest = schema_hash(now)
    version = CONTRACT_VERSION
    if SCHEMA_HASH:
        version = next_version(CONTRACT_VERSION, *differences(_committed(), now))
    if digest == SCHEMA_HASH:
        print(f"nothing changed since contract {version}")
        return 0
    (REPOSITORY / COMMITTED).write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (REPOSITORY / VERSION).write_text(_VERSION_MODULE.format(version=version, digest=digest), encoding="utf-8")
    table = (REPOSITORY / TABLE).read_text(encoding="utf-8")
    row = _ROW.format(version=version, digest=digest[:16], changed=changed)
    (REPOSITORY / TABLE).write_text(table.replace(_TABLE_END, f"{row}\n{_TABLE_END}"), encoding="utf-8")
    print(f"contract {version}, schema_hash {digest}")
    return 0


def _problems() -> list[str]:
    now = contract_schemas()
    breaking, added = differences(_committed(), now)
    lines = [f"breaks contract {CONTRACT_VERSION}: {place}" for place in breaking]
    lines += [f"not in contract {CONTRACT_VERSION}: {place}" for place in added]
    for what, schemas in (("the models hash", now), (f"{COMMITTED} hashes", _committed())):
        if (found := schema_hash(schemas)) != SCHEMA_HASH:
            lines.append(f"{what} to {found}; {VERSION} says {SCHEMA_HASH}")
    if f"| {CONTRACT_VERSION} | `{SCHEMA_HASH[:16]}` |" not in (REPOSITORY / TABLE).read_text(encoding="utf-8"):
        lines.append(f"{TABLE} has no row for contract {CONTRACT_VERSION} with its hash")
    return lines


def _committed() -> dict[str, Any]:
    committed: dict[str, Any] = json.loads((REPOSITORY / COMMITTED).read_text(encoding="utf-8"))
    return committed


def _schemas(models: dict[str, type[BaseModel]]) -> dict[str, Any]:
    return {name: _bare(model.model_json_schema(mode="serialization")) for name, model in models.items()}


def _messages() -> dict[str, Any]:
    """The messages and enums of a chronicle session, each field with its number and type, in the form of `_schemas`."""
    file = chronicle_pb2.DESCRIPTOR
    names = {
        **{name: _fields(message) for name, message in file.message_types_by_name.items()},
        **{name: {item.name: item.number for item in kind.values} for name, kind in file.enum_types_by_name.items()},
    }
    return {"properties": {name: {"properties": fields} for name, fields in sorted(names.items())}}


def _fields(message: Descriptor) -> dict[str, Any]:
    found = {}
    for field in message.fields:
        named = field.message_type or field.enum_type
        kind = named.name if named else FieldDescriptorProto.Type.DESCRIPTOR.values_by_number[field.type].name
        found[field.name] = {"number": field.number, "type": kind, "is_repeated": field.is_repeated}
    return found


def _bare(node: Any, *, names: bool = False) -> Any:
    """Leave prose out, so that a better sentence is no other contract; numbers become integers, to be hashed.

    `names`: the keys of this node are names of fields, which may be called `title` or `description` too.
    """
    if isinstance(node, dict):
        kept = {key: item for key, item in node.items() if names or key not in _FREE_TEXT}
        return {key: _bare(item, names=not names and key in ("properties", "$defs")) for key, item in kept.items()}
    if isinstance(node, list):
        return [_bare(item) for item in node]
    return int(node) if isinstance(node, float) and node.is_integer() else node


def _walk(before: Any, after: Any, place: str) -> Iterator[tuple[str, bool]]:
    """Every difference: its place, and whether it breaks."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from ((f"{place}.{key} is gone", True) for key in sorted(before.keys() - after.keys()))
        yield from ((f"{place}.{key} is new", not _may_be_added(place)) for key in sorted(after.keys() - before.keys()))
        for key in sorted(before.keys() & after.keys()):
            yield from _walk(before[key], after[key], f"{place}.{key}")
    elif place.endswith(".required") and isinstance(before, list) and isinstance(after, list):
        yield from ((f"{place}: {name} need not be there any more", True) for name in before if name not in after)
        is_read = place.startswith("reads.")
        yield from ((f"{place}: {name} must be there", is_read) for name in after if name not in before)
    elif before != after:
        yield f"{place} is another", True


def _may_be_added(place: str) -> bool:
    """New models, definitions and fields add; a new keyword (a limit, a pattern) narrows what was allowed."""
    return place in ("reads", "writes") or place.endswith((".properties", ".$defs"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--accept"] and len(sys.argv) == 3:
        raise SystemExit(accept(sys.argv[2]))
    if sys.argv[1:]:
        raise SystemExit('usage: scripts/contract [--accept "WHAT CHANGED"]')
    raise SystemExit(check())
