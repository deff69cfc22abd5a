"""The Arrow schemas of fact tables as text: what fingerprints cover, for who does without Arrow."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

_FILE = Path(__file__).parent / "generated" / "tables.json"


def table_text(table: str) -> str:
    """The Arrow schema of a fact table as Arrow writes it, by the table's name. Raises KeyError.

    From a file that `scripts/generate` writes: to make the schema takes Arrow and all models, a fifth of a second.
    """
    return _texts()[table]


@cache
def _texts() -> dict[str, str]:
    texts: dict[str, str] = json.loads(_FILE.read_text(encoding="utf-8"))
    return texts
