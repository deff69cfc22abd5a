"""An OCR server that knows what stands on the bundled screens: by the hash of the picture.

python tests/engines/truth_server.py --fixtures dataroot_fixtures/desk --run-file DATA_ROOT/derived/workers/ocr.json
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from schemas.canonical import sha256_hex
from schemas.serving import ModelIdentity, ReadFailed, ReadText, TextLine
from workers.server import options, serve
from workers.text_service import TextService


class TruthEngine:
    """Answers from the truth; takes `delay_s` for a picture, and dies with one when it was told to."""

    identity = ModelIdentity(provider_id="truth", model_id="truth", model_digest=sha256_hex(b"truth"))

    def __init__(self, fixtures: Path, delay_s: float, die_at: int) -> None:
        self._known = dict(_known(fixtures))
        self._delay_s = delay_s
        self._left = die_at

    def read(self, image: bytes) -> ReadText | ReadFailed:
        """Look a picture up."""
        time.sleep(self._delay_s)
        self._left -= 1
        if self._left == 0:
            os._exit(1)
        return self._known[sha256_hex(image)]

    def interrupt(self) -> None:
        """A picture is never looked at for long."""

    def rearm(self) -> None:
        """Nothing was interrupted."""


def _known(fixtures: Path) -> Iterator[tuple[str, ReadText]]:
    truth = {item["record_id"]: item for item in map(json.loads, (fixtures / "truth.jsonl").read_text().splitlines())}
    for handoff in (fixtures / "spool").iterdir():
        database = sqlite3.connect(f"file:{handoff / 'metadata.db'}?mode=ro&immutable=1", uri=True)
        for record_id, payload in database.execute("SELECT id, payload FROM metadata"):
            if record_id in truth:
                frame = json.loads(payload)
                shown = [line for line in truth[record_id]["lines"] if "bbox" in line]
                lines = [TextLine(text=line["text"], bbox=tuple(line["bbox"]), score=10_000) for line in shown]
                reply = ReadText(width=frame["width"], height=frame["height"], lines=lines, elapsed_us=0)
                yield frame["content_hash"], reply
        database.close()


def main() -> int:
    """Serve until told to end."""
    parser = options("ocr")
    parser.add_argument("--fixtures", type=Path, required=True)
    parser.add_argument("--delay-s", type=float, default=0.0)
    parser.add_argument("--die-at", type=int, default=0, help="end the process at this picture")
    given = parser.parse_args()
    return serve("ocr", given, lambda: TextService(TruthEngine(given.fixtures, given.delay_s, given.die_at)))


if __name__ == "__main__":
    sys.exit(main())
