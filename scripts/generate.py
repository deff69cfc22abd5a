"""Writes what is generated from the code, or with `--check` tells what is stale.

JSON Schemas, the texts of Arrow schemas and `docs/schemas.md` come from the models, `docs/cli.md` from the commands,
`schemas/*_pb2.py` from the protobuf schemas.
"""

from __future__ import annotations

import difflib
import sys
from pathlib import Path

from generate_docs import cli_page, schemas_page
from generate_protobuf import protobuf_modules
from generate_schemas import json_schemas, table_texts

REPOSITORY = Path(__file__).resolve().parent.parent
SCHEMAS = Path("schemas", "generated")


def generated() -> dict[Path, str]:
    """Every generated file, by its path in the repository, and what belongs in it."""
    files = {SCHEMAS / f"{name}.schema.json": text for name, text in json_schemas().items()}
    files[SCHEMAS / "tables.json"] = table_texts()
    pages = {Path("docs", "schemas.md"): schemas_page(), Path("docs", "cli.md"): cli_page()}
    return {**files, **pages, **protobuf_modules(REPOSITORY)}


def write(files: dict[Path, str]) -> int:
    """Bring the repository up to date; what no model stands behind any more goes."""
    for path in _left_over(files):
        (REPOSITORY / path).unlink()
    for path, text in files.items():
        (REPOSITORY / path).parent.mkdir(parents=True, exist_ok=True)
        (REPOSITORY / path).write_text(text, encoding="utf-8")
    print(f"{len(files)} files written")
    return 0


def check(files: dict[Path, str]) -> int:
    """Tell which files are stale, and how; 1 if any is."""
    stale = [f"{path}: no model stands behind it any more" for path in _left_over(files)]
    for path, text in files.items():
        committed = REPOSITORY / path
        before = committed.read_text(encoding="utf-8") if committed.exists() else ""
        if before != text:
            stale.append(_difference(path, before, text))
    for item in stale:
        print(item)
    if stale:
        print(f"{len(stale)} generated files are stale\n  → scripts/generate")
    return 1 if stale else 0


def _left_over(files: dict[Path, str]) -> list[Path]:
    present = {path.relative_to(REPOSITORY) for path in (REPOSITORY / SCHEMAS).glob("*")}
    return sorted(present - files.keys())


def _difference(path: Path, before: str, after: str) -> str:
    lines = list(
        difflib.unified_diff(before.splitlines(), after.splitlines(), f"{path} committed", f"{path} now", "", "", 1, "")
    )
    more = [f"… and {len(lines) - 20} more lines"] if len(lines) > 20 else []
    return "\n".join([*lines[:20], *more])


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--check"]):
        raise SystemExit("usage: scripts/generate [--check]")
    raise SystemExit(check(generated()) if sys.argv[1:] else write(generated()))
