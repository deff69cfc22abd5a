"""A synthetic DataRoot of a year: rows of evidence, catalog, facts and index by the million, and no pixels."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dag import STAGES, stage
from pipeline.dataroot import DataRoot, FactFile
from pipeline.indexing.build import facts_state
from pipeline.indexing.published import note_seen
from pipeline.stores.catalog import Catalog
from pipeline.stores.disk import measure_disk
from pipeline.stores.index_schema import SCHEMA, SCHEMA_VERSION
from schemas.evidence import FRAME

RUN = "year"
HOURS_A_DAY = 10
FRAME_BYTES = 180_000

_BEGIN = datetime(2025, 1, 1, 8, tzinfo=UTC)
_DIGEST = "0" * 64
_FILES = (("frames", "list_frames"), ("records", "find_text_lines"), ("line_tracks", "track_lines"),
          ("stage_outcomes", "catalog"), ("url_visits", "visit_urls"))  # fmt: skip
_TRIGGERS = ("samples_added", "samples_gone", "samples_measured", "outcomes_added", "outcomes_gone",
             "outcomes_changed")  # fmt: skip


def make_year(root: DataRoot, frames: int, days: int, unread: int) -> None:
    """Fill an empty DataRoot with so many frames, spread evenly over days of ten hours; the newest are `unread`."""
    root.create()
    _write_evidence(root, frames, days)
    _fill_catalog(root, frames, days, unread)
    _write_facts(root, frames, days)
    _write_index(root)


def _moments(frames: int, days: int) -> Iterator[tuple[str, datetime]]:
    """Every frame's id and moment, in order."""
    each = -(-frames // days)
    spacing = timedelta(hours=HOURS_A_DAY) / each
    for number in range(frames):
        yield f"{RUN}/{FRAME}/{number:08d}", _BEGIN + timedelta(days=number // each) + spacing * (number % each)


def _write_evidence(root: DataRoot, frames: int, days: int) -> None:
    def rows() -> Iterator[tuple[str, ...]]:
        for frame_id, moment in _moments(frames, days):
            ts = f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"
            payload = (
                f'{{"content_hash":"{_DIGEST}","content_size":{FRAME_BYTES},"height":1080,"record_type":"{FRAME}",'
                f'"run_id":"{RUN}","schema_version":1,"ts_utc":"{ts}","width":1920}}'
            )
            yield frame_id, payload, FRAME, ts, RUN

    with _filling(root.metadata_db) as connection:
        connection.execute(
            "CREATE TABLE metadata(id TEXT PRIMARY KEY, payload TEXT NOT NULL, record_type TEXT, ts_utc TEXT,"
            " run_id TEXT)"
        )
        connection.executemany("INSERT INTO metadata VALUES (?,?,?,?,?)", rows())
        for column in ("record_type", "ts_utc", "run_id"):
            connection.execute(f"CREATE INDEX metadata_by_{column} ON metadata({column})")


def _fill_catalog(root: DataRoot, frames: int, days: int, unread: int) -> None:
    """Samples, and outcomes of both stages that take frames; counters are made afterwards, by counting."""

    def rows() -> Iterator[tuple[str, str, str, int, str, str, int]]:
        for frame_id, moment in _moments(frames, days):
            ts_us = round(moment.timestamp() * 1e6)
            yield frame_id, FRAME, RUN, ts_us, moment.date().isoformat(), f"{moment.hour:02d}", FRAME_BYTES

    with Catalog(root) as catalog:
        triggers = catalog.connection.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    with _filling(root.catalog_db) as connection:
        for trigger in _TRIGGERS:
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.executemany("INSERT INTO samples VALUES (?,?,?,?,?,?,?)", rows())
        last = f"{RUN}/{FRAME}/{frames - unread:08d}"
        for name, upper in (("find_text_lines", last), ("list_frames", "~")):
            connection.execute(
                "INSERT INTO outcomes SELECT ?1, sample_id, run_id, day, hour, ts_us, 'done', NULL, NULL, 1, 0, ?2,"
                " sample_id || '/o', ?3, ts_us FROM samples WHERE sample_id < ?4 ORDER BY sample_id",
                (name, stage(name).fingerprint(), _DIGEST, upper),
            )
        connection.execute("INSERT INTO sample_counts SELECT record_type, day, run_id, count(*), sum(bytes) FROM"
                           " samples GROUP BY 1, 2, 3")  # fmt: skip
        connection.execute("INSERT INTO outcome_counts SELECT stage, day, run_id, fingerprint, status, count(*) FROM"
                           " outcomes GROUP BY 1, 2, 3, 4, 5")  # fmt: skip
        for (trigger,) in triggers:
            connection.execute(trigger)
        marks = {"evidence_rows": str(frames), "evidence_rowid": str(frames), "sizes": "known"}
        connection.executemany("INSERT INTO marks VALUES (?,?)", marks.items())
        for item in STAGES:
            connection.execute("INSERT INTO paces VALUES (?, 1, 'f', 1000, 100000000)", (item.name,))


def _write_facts(root: DataRoot, frames: int, days: int) -> None:
    """Files of every hour with rows of ids and times: what looks at facts between questions looks at files."""
    each = -(-frames // days // HOURS_A_DAY)
    rows = pa.table({"frame_id": [f"{RUN}/{number:08d}" for number in range(each)], "ts": list(range(each))})
    for number in range(days * HOURS_A_DAY):
        moment = _BEGIN + timedelta(days=number // HOURS_A_DAY, hours=number % HOURS_A_DAY)
        for table, producer in _FILES:
            file = FactFile(table, RUN, moment.date().isoformat(), f"{moment.hour:02d}", producer)
            path = root.fact_file_path(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, path)


def _write_index(root: DataRoot) -> None:
    """The text index's frames: what `status` counts of it."""
    root.index.mkdir()
    with _filling(root.text_index) as connection:
        connection.executescript(SCHEMA)
        connection.execute("ATTACH ? AS catalog", (str(root.catalog_db),))
        connection.execute(
            "INSERT INTO frames SELECT NULL, sample_id, run_id, ts_us, 1920, 1080, ?, sample_id, NULL, 'app', NULL,"
            " NULL, 1, 0, 0, 1, 1, NULL, 'done' FROM catalog.samples ORDER BY sample_id",
            (_DIGEST,),
        )
        connection.execute("CREATE INDEX frames_by_time ON frames(ts)")
        connection.execute("CREATE INDEX frames_by_status ON frames(status, ts) WHERE status <> 'done'")
        meta = {"schema_version": str(SCHEMA_VERSION), "source_digest": _DIGEST}
        connection.executemany("INSERT INTO meta VALUES (?,?)", meta.items())
    with Catalog(root) as catalog:
        with catalog.transaction():
            catalog.set_mark("text_index", f"{facts_state(root)} {_DIGEST}")
        for index in ("text_index", "landscape"):
            note_seen(catalog, index)
        measure_disk(root, catalog, 1)


@contextmanager
def _filling(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        for setting in ("synchronous = OFF", "journal_mode = OFF", "cache_size = -200000", "temp_store = FILE"):
            connection.execute(f"PRAGMA {setting}")
        yield connection
        connection.commit()


if __name__ == "__main__":
    make_year(DataRoot(Path(sys.argv[1])), *(int(word) for word in sys.argv[2:]))
