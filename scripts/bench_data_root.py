"""A DataRoot to measure with: many frames from the bundled screens, as a sidecar would leave them."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.dataroot import DataRoot
from schemas.fields import utc_text

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "dataroot_fixtures" / "desk" / "spool"
RUN_ID = "bench"


Screen = tuple[dict[str, Any], Path, list[tuple[str, str, dict[str, Any]]]]
"""A frame's payload, its blob, and what it refers to: the field, the kind, the payload."""


def build_data_root(
    root: DataRoot, frames: int, run_id: str = RUN_ID, start: datetime = datetime(2026, 1, 5, 8, tzinfo=UTC),
    given: list[Screen] | None = None,
) -> None:  # fmt: skip
    """Fill a DataRoot as a sidecar would: frames 2 s apart, with their windows and UIA; five of each screen in a row.

    They are of the bundled screens, unless others are given.
    """
    screens = given or list(bundled_screens())
    root.path.mkdir(parents=True)
    rows = []
    for index in range(frames):
        payload, blob, others = screens[index // 5 % len(screens)]
        moment = start + timedelta(seconds=2 * index)
        record_id = f"{run_id}/evidence.capture.frame/{index}"
        target = root.blob(run_id, record_id, "evidence.capture.frame", moment)
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(blob, target)
        names = {name: f"{run_id}/{kind}/{index}" for name, kind, _ in others}
        for name, kind, other in others:
            rows.append(_row(run_id, names[name], kind, other, moment, {}))
        references = {key: {**payload[key], "record_id": names[key]} for key in names}
        rows.append(_row(run_id, record_id, "evidence.capture.frame", payload, moment, references))
    with sqlite3.connect(root.metadata_db) as database:
        database.execute(
            "CREATE TABLE metadata"
            "(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT, run_id TEXT)"
        )
        database.execute("CREATE INDEX by_type ON metadata(record_type)")
        database.executemany("INSERT INTO metadata VALUES (?,?,?,?,?)", rows)
    database.close()


def bundled_screens() -> Iterator[Screen]:
    """The screens of the fixtures."""
    for handoff in sorted(FIXTURES.iterdir()):
        with sqlite3.connect(f"file:{handoff / 'metadata.db'}?mode=ro&immutable=1", uri=True) as database:
            rows = {row[0]: (row[1], json.loads(row[2])) for row in database.execute(
                "SELECT id, record_type, payload FROM metadata ORDER BY id")}  # fmt: skip
        database.close()
        for kind, payload in rows.values():
            if kind == "evidence.capture.frame":
                references = [(key, payload[key]["record_id"]) for key in ("window_ref", "uia_ref") if key in payload]
                others = [(key, *rows[name]) for key, name in references if name in rows]
                yield payload, handoff / payload["blob_path"], others


def altered_screens(folder: Path, shades: int) -> Iterator[Screen]:
    """The bundled screens in other shades: the same text, and no pixel that a cache knows. Kept in a folder."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for shade in range(1, shades + 1):
        for number, (payload, blob, others) in enumerate(bundled_screens()):
            path = folder / f"{shade}-{number}.png"
            if not path.exists():
                with Image.open(blob) as image:
                    pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
                stream = io.BytesIO()
                Image.fromarray(np.minimum(pixels, 255 - 3 * shade) + np.uint8(3 * shade)).save(stream, "PNG")
                path.write_bytes(stream.getvalue())
            content = path.read_bytes()
            told = {"content_hash": hashlib.sha256(content).hexdigest(), "content_size": len(content)}
            yield {**payload, **told, "content_type": "image/png"}, path, others


def _row(
    run_id: str, record_id: str, kind: str, payload: dict[str, Any], moment: datetime, references: dict[str, Any]
) -> tuple[str, str, str, str, str]:
    text = utc_text(moment)
    own = {**payload, "run_id": run_id, "ts_utc": text, **references}
    own.pop("payload_hash", None)
    own.pop("blob_path", None)
    return record_id, json.dumps(own), kind, text, run_id


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
