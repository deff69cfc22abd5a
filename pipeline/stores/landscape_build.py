"""Builds the landscape from the facts alone, and checks it against them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet, NotInstalled
from pipeline.stores.atomic import TEMPORARY_PREFIX, fsync_directory, make_directories, replace_bytes
from pipeline.stores.facts import read_file
from pipeline.stores.landscape import (
    EMBEDDINGS_BY,
    FIRST,
    INSTALL,
    LAST,
    LINE_ENDS,
    PARAMETERS,
    REBUILD,
    SPANS,
    SPANS_BY,
    VECTORS,
    KeepGoing,
    Landscape,
    Manifest,
    Pinned,
    manifest_sha256,
    open_landscape,
)
from schemas.canonical import canonical_json, sha256_hex
from schemas.serving import ModelIdentity

TABLE = "landscape"
_OUTCOMES_BY = "catalog"
_SPAN_COLUMNS = ["span_id", "run_id", "first_seen_utc", "last_seen_utc", "first_frame_id", "last_frame_id", "app",
                 "window_title", "domain", "text_sha256"]  # fmt: skip
_RECORD_COLUMNS = ["record_id", "row_hash", "provider_id", "model_id", "model_digest", "emb_vectors", "provenance"]
_OUTCOME_COLUMNS = ["stage", "sample_id", "status", "output_id"]
_LENGTH_TOLERANCE = 1e-3
_READERS_ARE_DONE = timedelta(hours=1)


@dataclass(frozen=True)
class Content:
    """All spans that one model embedded, in the order of their ids."""

    pinned: Pinned
    spans: list[dict[str, Any]]
    vectors: npt.NDArray[np.float32]

    @property
    def lines(self) -> list[bytes]:
        return _lines(self.spans)

    @property
    def manifest_sha256(self) -> str:
        return manifest_sha256(self.pinned)


def build_landscape(root: DataRoot) -> Manifest:
    """Read the facts and publish what they give. Raises what `read_content` and `publish_landscape` raise."""
    require_lancedb()
    return publish_landscape(root, read_content(root))


def publish_landscape(root: DataRoot, content: Content) -> Manifest:
    """Write a landscape and publish it, leaving another one open for its readers. Only the holder of the run lock may.

    Raises NotInstalled without LanceDB, NotAvailableYet when no span has an embedding.
    """
    lancedb = require_lancedb()
    if not content.spans:
        raise NotAvailableYet("no span has an embedding yet", remedy="pipeline run --until-done")
    make_directories(root.landscape)
    _remove_leftovers(root, None)
    folder = _write_folder(root.landscape, content)
    _write_table(lancedb, root, content)
    manifest = Manifest(pinned=content.pinned, manifest_sha256=content.manifest_sha256, folder=folder.name)
    replace_bytes(
        root.landscape_manifest, orjson.dumps(manifest.model_dump(by_alias=True), option=orjson.OPT_INDENT_2)
    )  # fmt: skip
    _remove_leftovers(root, manifest.folder)
    return manifest


def verify_landscape(root: DataRoot) -> tuple[Manifest, list[str]]:
    """Check the landscape: files against manifest, table against both, all against the facts of now.

    Returns the manifest and what does not match. Raises NotAvailableYet when none was built, ContractInvalid when its
    manifest or matrix cannot be read, NotInstalled without LanceDB.
    """
    lancedb = require_lancedb()
    landscape = open_landscape(root)
    if landscape is None:
        raise NotAvailableYet("no landscape was built yet", remedy=REBUILD)
    pinned = landscape.manifest.pinned
    reasons = [*_check_folder(landscape), *_check_table(lancedb, root, landscape)]
    now = read_content(root).pinned
    parted = [name.rstrip("_") for name in Pinned.model_fields if getattr(now, name) != getattr(pinned, name)]
    reasons += [f"the facts now give another {name} than the landscape was built from" for name in parted]
    return landscape.manifest, reasons


def require_lancedb() -> Any:
    """Import LanceDB. Raises NotInstalled."""
    os.environ.setdefault("LANCEDB_LOG", "error")  # it warns that a first table is the first
    try:
        return import_module("lancedb")
    except ImportError as error:
        raise NotInstalled(f"the landscape needs the package {error.name or error}", remedy=INSTALL) from error


def read_content(root: DataRoot, keep_going: KeepGoing = lambda: None) -> Content:
    """Read from the facts what a landscape holds. `keep_going` is asked before each file and may raise.

    Raises ContractInvalid for a fact file that cannot be read.
    """
    current = _current_records(root, keep_going)
    records = _records(root, {record_id for record_id in current.values() if record_id}, keep_going)
    spans = sorted(_spans(root, keep_going), key=lambda span: (span["first_us"], span["span_id"]))
    joined = [(span, records[key]) for span in spans if (key := current.get(span["span_id"])) in records]
    # The newest span's model is the one that questions are embedded with.
    model = joined[-1][1]["model"] if joined else None
    chosen = sorted(((s, r) for s, r in joined if r["model"] == model), key=lambda pair: pair[0]["span_id"])
    told = [{**span, "record_id": r["record_id"], "row_hash": r["row_hash"]} for span, r in chosen]
    vectors = np.array([r["vector"] for _, r in chosen], dtype="<f4").reshape(len(chosen), -1 if chosen else 0)
    pinned = Pinned(
        model=model,
        config_hashes=sorted({r["config_hash"] for _, r in chosen}),
        parameters=PARAMETERS,
        dimensions=vectors.shape[1],
        spans=len(chosen),
        left_out=len(joined) - len(chosen),
        spans_sha256=sha256_hex(b"".join(_lines(told))),
        vectors_sha256=sha256_hex(vectors.tobytes()),
    )
    return Content(pinned, told, vectors)


def _current_records(root: DataRoot, keep_going: KeepGoing) -> dict[str, str]:
    """The embedding that counts for each span, by their ids."""
    found = {}
    for path in root.fact_files("stage_outcomes", _OUTCOMES_BY):
        keep_going()
        for row in read_file(path, "stage_outcomes", _OUTCOME_COLUMNS).to_pylist():
            if row["stage"] == EMBEDDINGS_BY and row["status"] == "done":
                found[row["sample_id"]] = row["output_id"]
    return found


def _records(root: DataRoot, wanted: set[str], keep_going: KeepGoing) -> dict[str, dict[str, Any]]:
    found = {}
    for path in root.fact_files("records", EMBEDDINGS_BY):
        keep_going()
        for row in read_file(path, "records", _RECORD_COLUMNS).to_pylist():
            if row["record_id"] in wanted and row["emb_vectors"]:
                identity = {name: row[name] for name in ("provider_id", "model_id", "model_digest")}
                found[row["record_id"]] = {
                    "record_id": row["record_id"],
                    "row_hash": row["row_hash"],
                    "model": ModelIdentity(**identity),
                    "config_hash": orjson.loads(row["provenance"])["config_hash"],
                    "vector": np.array(row["emb_vectors"][0]["vector"], dtype="<f4"),  # a list takes 20 times as much
                }
    return found


def _spans(root: DataRoot, keep_going: KeepGoing) -> Iterator[dict[str, Any]]:
    for path in root.fact_files("spans", SPANS_BY):
        keep_going()
        table = read_file(path, "spans", _SPAN_COLUMNS)
        for name, short in (("first_seen_utc", "first_us"), ("last_seen_utc", "last_us")):
            table = table.append_column(short, table[name].cast(pa.int64())).drop_columns([name])
        yield from table.to_pylist()


def _lines(spans: list[dict[str, Any]]) -> list[bytes]:
    return [canonical_json(span) + b"\n" for span in spans]


def _write_folder(parent: Path, content: Content) -> Path:
    """Write the matrix and what is known about its rows into a folder of a new name, durably."""
    from ulid import ULID

    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent))
    lines = content.lines
    columns = {
        VECTORS: content.vectors,
        FIRST: np.array([span["first_us"] for span in content.spans], dtype="<i8"),
        LAST: np.array([span["last_us"] for span in content.spans], dtype="<i8"),
        LINE_ENDS: np.cumsum([len(line) for line in lines], dtype="<i8"),
    }
    replace_bytes(temporary / SPANS, b"".join(lines))
    for name, values in columns.items():
        replace_bytes(temporary / name, _npy(values))
    target = parent / f"{manifest_sha256(content.pinned)[:16]}-{ULID()}"
    temporary.rename(target)
    fsync_directory(parent)
    return target


def _npy(values: npt.NDArray[Any]) -> bytes:
    import io

    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=False)
    return stream.getvalue()


def _write_table(lancedb: Any, root: DataRoot, content: Content) -> None:
    """Replace the LanceDB table by a new version of it; old versions go once nobody can be reading them any more."""
    connection, rows = lancedb.connect(str(root.index)), _arrow(content)
    try:
        table = connection.create_table(TABLE, data=rows, mode="overwrite")
    except Exception:
        if _opens(connection):
            raise  # the table that is there is sound: it is something else
        _remove(root.landscape_table)
        table = connection.create_table(TABLE, data=rows, mode="overwrite")
    table.optimize(cleanup_older_than=_READERS_ARE_DONE)


def _opens(connection: Any) -> bool:
    try:
        connection.open_table(TABLE).count_rows()
    except Exception:  # noqa: BLE001  whatever LanceDB says of a damaged table
        return False
    return True


def _remove(table: Path) -> None:
    if table.is_dir():
        shutil.rmtree(table)
    else:
        table.unlink(missing_ok=True)


def _arrow(content: Content) -> pa.Table:
    flat = pa.array(content.vectors.reshape(-1), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(flat, content.pinned.dimensions)
    rows = pa.Table.from_pylist(content.spans)
    for name, column in (("first_us", "first_seen_utc"), ("last_us", "last_seen_utc")):
        moments = rows[name].cast(pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        rows = rows.drop_columns([name]).append_column(column, moments)
    return rows.append_column("vector", vectors)


def _check_folder(landscape: Landscape) -> Iterator[str]:
    pinned = landscape.manifest.pinned
    if _sha256_of_file(landscape.folder / SPANS) != pinned.spans_sha256:
        yield "spans.jsonl does not hash to spans_sha256"
    if sha256_hex(np.ascontiguousarray(landscape.vectors).tobytes()) != pinned.vectors_sha256:
        yield "vectors.npy does not hash to vectors_sha256"
    lengths = np.sqrt(np.einsum("ij,ij->i", landscape.vectors, landscape.vectors, dtype=np.float64))
    if not np.all(np.abs(lengths - 1) <= _LENGTH_TOLERANCE):
        yield "vectors.npy holds vectors that are not of length 1"
    spans = [orjson.loads(line) for line in (landscape.folder / SPANS).read_bytes().splitlines()]
    for name, numbers in (("first_us", landscape.first_us), ("last_us", landscape.last_us)):
        if [span.get(name) for span in spans] != numbers.tolist():
            yield f"{name}.npy differs from spans.jsonl"


def _check_table(lancedb: Any, root: DataRoot, landscape: Landscape) -> Iterator[str]:
    try:
        rows = lancedb.connect(str(root.index)).open_table(TABLE).to_arrow().sort_by("span_id").combine_chunks()
        ids = rows["span_id"].to_pylist()
        vectors = rows["vector"].combine_chunks().flatten().to_numpy().astype("<f4").reshape(len(ids), -1)
    except Exception as error:  # noqa: BLE001  whatever LanceDB says of a missing or damaged table
        yield f"the table landscape.lance cannot be read: {type(error).__name__}"
        return
    spans = [orjson.loads(line) for line in (landscape.folder / SPANS).read_bytes().splitlines()]
    if ids != [span["span_id"] for span in spans]:
        yield "the table landscape.lance holds other spans"
    elif sha256_hex(vectors.tobytes()) != landscape.manifest.pinned.vectors_sha256:
        yield "the table landscape.lance holds other vectors"


def _sha256_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remove_leftovers(root: DataRoot, current: str | None) -> None:
    """Delete what a crash left, and with `current` the folders that it replaced; open ones stay readable."""
    for item in root.landscape.iterdir():
        if item.name.startswith(TEMPORARY_PREFIX) or (current is not None and item.name != current):
            shutil.rmtree(item, ignore_errors=True)
