"""The only module that builds a path inside a DataRoot `[root-1]`–`[root-3]`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, unquote

from pipeline.errors import ContractInvalid, DataRootMissing, DataRootReadOnly

REAP_MARKER = "reap_eligible.json"
_URLSAFE = bytes.maketrans(b"+/", b"-_")


def rid(text: str) -> str:
    """Encode an id as a file name: `rid_` and unpadded base64url of its UTF-8 `[root-1]`."""
    return "rid_" + binascii.b2a_base64(text.encode(), newline=False).translate(_URLSAFE, b"=").decode()


def unrid(name: str) -> str:
    """Decode what `rid` encoded. Raises ValueError."""
    if not name.startswith("rid_"):
        raise ValueError(f"not a rid: {name!r}")
    body = name.removeprefix("rid_")
    try:
        text = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"not a rid: {name!r}") from error
    if rid(text) != name:
        raise ValueError(f"not a canonical rid: {name!r}")
    return text


def blob_path(run_id: str, record_id: str, record_type: str, moment: datetime) -> PurePosixPath:
    """Where a record's blob lies, relative to the DataRoot `[root-1]`; the date is that of the record's `ts_utc`."""
    return PurePosixPath(blob_key(run_id, record_id, record_type, moment))


def blob_key(run_id: str, record_id: str, record_type: str, moment: datetime) -> str:
    """`blob_path` as text."""
    kind = "derived" if record_type.startswith("derived.") else "evidence"
    return f"{_blob_folder(run_id, kind, moment.year, moment.month, moment.day)}/{rid(record_id)}.blob"


@lru_cache(maxsize=64)
def _blob_folder(run_id: str, kind: str, year: int, month: int, day: int) -> str:
    return f"media/{rid(run_id)}/{kind}/{year:04}/{month:02}/{day:02}"


def handoff_key(handoff_id: str, path: str) -> str:
    """Where another file of a handoff is kept, relative to the DataRoot."""
    return f"handoffs/{handoff_id}/{path}"


def partition_value(text: str) -> str:
    """Percent-encode a partition value for a Hive path `[root-3]`."""
    return quote(text, safe="")


class FactFile(NamedTuple):
    """Which rows a fact file holds: of a table, by a producer, of one hour of a run."""

    table: str
    run_id: str
    day: str
    hour: str
    producer: str


class DataRoot:
    """A DataRoot and the places in it. Holds no state but its path; builds paths, creates nothing on its own."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._signals = self.path / "activity" / "activity_signal.json", self.path / "activity_signal.json"
        self.node = ""
        """Which node of a Ray cluster uses it, where that is not the run's own."""
        self.metadata_db = self.path / "metadata.db"
        self.media = self.path / "media"
        self.journal = self.path / "journal.ndjson"
        self.ledger = self.path / "ledger.ndjson"
        self.contract = self.path / "contract.json"
        self.uia_snapshot = self.path / "uia" / "latest.snap.json"
        self.uia_digest = self.path / "uia" / "latest.snap.sha256"
        self.handoffs = self.path / "handoffs"
        self.settings_file = self.path / "pipeline.toml"
        self.derived = self.path / "derived"
        self.catalog_db = self.derived / "catalog.db"
        self.facts = self.derived / "facts"
        self.index = self.path / "index"
        self.text_index = self.index / "text.db"
        self.landscape = self.index / "landscape"
        self.landscape_table = self.index / "landscape.lance"
        self.landscape_manifest = self.index / "landscape.json"
        self.manifests = self.derived / "manifests"
        self.manifests_started = self.manifests / "started"
        self.quarantine = self.derived / "quarantine"
        self.cache = self.derived / "cache"
        self.ocr_memo = self.cache / "ocr.db"
        self.embedding_memo = self.cache / "embeddings.db"
        self.model_files = self.cache / "model_files.json"
        self.model_identities = self.cache / "model_identities.json"
        self.evaluations = self.derived / "evaluations"
        self.workers = self.derived / "workers"
        self.scratch = self.derived / "tmp"
        self.ingest_lock = self.derived / "ingest.lock"
        self.run_lock = self.derived / "run.lock"
        self.run_live = self.derived / "run_live.json"
        self.worker_lock = self.derived / "worker.lock"
        self.audit = self.path / "audit"
        self.promotions = self.audit / "models.ndjson"
        self.run_events = self.audit / "runs.ndjson"
        self.logs = self.path / "logs"

    def __str__(self) -> str:
        return str(self.path)

    def require(self) -> DataRoot:
        """Check that the DataRoot is there. Raises DataRootMissing."""
        if not self.path.is_dir():
            raise DataRootMissing(
                f"no DataRoot at {self.path}", remedy=f"pipeline --data-root {self.path} ingest SPOOL"
            )
        return self

    def require_writable(self) -> DataRoot:
        """Check that `derived/` can be written, and create it. Raises DataRootMissing, DataRootReadOnly."""
        self.require()
        try:
            self.derived.mkdir(exist_ok=True)
        except OSError as error:
            raise self._read_only(error) from error
        if not os.access(self.derived, os.W_OK):
            raise self._read_only(None)
        return self

    def create(self) -> DataRoot:
        """Make the DataRoot if it is not there. Raises DataRootReadOnly, ContractInvalid."""
        if self.path.exists() and not self.path.is_dir():
            raise ContractInvalid(f"{self.path} is not a directory", remedy="name a directory for the DataRoot")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._read_only(error) from error
        return self.require_writable()

    def on_node(self, node: str) -> DataRoot:
        """The same DataRoot as another node of a Ray cluster uses it: its servers, and what they keep, lie apart."""
        other = DataRoot(self.path)
        other.node = node
        own = self.derived / "nodes" / partition_value(node)
        other.workers = own / "workers"
        other.logs = own / "logs"
        other.cache = own / "cache"
        other.ocr_memo = other.cache / self.ocr_memo.name
        other.model_files = other.cache / self.model_files.name
        return other

    def activity_signal(self) -> Path:
        """The live activity signal, or where it is expected `[gate-1]`."""
        preferred, fallback = self._signals  # made once: this is asked before every request
        return fallback if fallback.exists() and not preferred.exists() else preferred

    def blob(self, run_id: str, record_id: str, record_type: str, moment: datetime) -> Path:
        """The canonical place of a record's blob."""
        return self.path / blob_path(run_id, record_id, record_type, moment)

    def handoff(self, handoff_id: str) -> Path:
        """Where a handoff's other files are kept."""
        return self.handoffs / handoff_id

    def partition(self, table: str, run_id: str, day: str, hour: str) -> Path:
        """The directory of one hour of a fact table."""
        return self.facts / table / f"run_id={partition_value(run_id)}" / f"day={day}" / f"hour={hour}"

    def day_hours(self, table: str, run_id: str, day: str) -> dict[str, Path]:
        """The hours of a day for which a fact table has a directory, and where."""
        folder = self.facts / table / f"run_id={partition_value(run_id)}" / f"day={day}"
        if not folder.is_dir():
            return {}
        return {unquote(item.name.removeprefix("hour=")): item for item in sorted(folder.iterdir()) if item.is_dir()}

    def fact_files(self, table: str, producer: str) -> Iterator[Path]:
        """All files of a fact table that one producer wrote."""
        return (self.facts / table).glob(f"run_id=*/day=*/hour=*/part-{producer}.parquet")

    def fact_files_of_day(self, table: str, run_id: str, day: str, producer: str) -> list[Path]:
        """The files of a (run, day) that one producer wrote, hour by hour."""
        hours = self.day_hours(table, run_id, day)
        paths = [self.fact_file_path(FactFile(table, run_id, day, hour, producer)) for hour in hours]
        return [path for path in paths if path.exists()]

    def fact_file_path(self, file: FactFile) -> Path:
        """Where a fact file lies."""
        return self.partition(file.table, file.run_id, file.day, file.hour) / f"part-{file.producer}.parquet"

    def fact_file(self, path: Path) -> FactFile:
        """Read from its path what a fact file holds. Raises ValueError for any other path."""
        table, *partitions, name = path.relative_to(self.facts).parts
        run_id, day, hour = (unquote(part.partition("=")[2]) for part in partitions)
        return FactFile(table, run_id, day, hour, name.removeprefix("part-").removesuffix(".parquet"))

    def quarantined_facts(self, path: Path) -> Path:
        """Where a damaged fact file is kept: as it lay below `derived/facts`, under a name that is free."""
        place = self.quarantine / "facts" / path.relative_to(self.facts)
        return next(
            free for number in count(1) if not os.path.lexists(free := place.with_name(f"{place.name}.{number}"))
        )

    def kept_reply(self, stage: str, sample_id: str) -> Path:
        """Where the newest reply about a sample is kept that could not be used; ids can be longer than file names."""
        name = hashlib.sha256(sample_id.encode()).hexdigest()[:32]
        return self.quarantine / "replies" / stage / f"{name}.json"

    def run_manifest(self, run_id: str) -> Path:
        """Where it is written how a run ended."""
        return self.manifests / f"run-{run_id.removeprefix('run_')}.json"

    def run_started(self, run_id: str) -> Path:
        """Where it is written how a run began."""
        return self.manifests_started / self.run_manifest(run_id).name

    def worker_file(self, kind: str) -> Path:
        """The run file of a model server."""
        return self.workers / f"{kind}.json"

    def _read_only(self, error: OSError | None) -> DataRootReadOnly:
        reason = f" ({error.strerror})" if error is not None else ""
        return DataRootReadOnly(
            f"the DataRoot {self.path} cannot be written{reason}",
            remedy="mount it read-write, or name another with --data-root",
        )
