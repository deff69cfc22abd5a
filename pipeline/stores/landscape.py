"""The landscape of spans, as questions read it: a memory-mapped matrix of vectors and a line about each span.

    index/landscape.json            the manifest: what it was built from, and the folder that is current
    index/landscape/<folder>/       vectors.npy, first_us.npy, last_us.npy, line_ends.npy, spans.jsonl
    index/landscape.lance           the same as a LanceDB table, for others

Everything lies in the order of span ids. A build publishes a new folder and then the manifest, each by rename, so that
readers never wait and never see half of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import Field, ValidationError

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from schemas.canonical import canonical_sha256
from schemas.fields import Contract, Sha256
from schemas.serving import ModelIdentity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

REBUILD = "pipeline landscape build"
SCHEMA = "autocapture.landscape.v1"
PARAMETERS: dict[str, str] = {
    "dtype": "float32", "normalisation": "l2", "metric": "dot product in 1/10,000", "search": "exact",
    "order": "score, then span id",
}  # fmt: skip
VECTORS, FIRST, LAST, LINE_ENDS, SPANS = "vectors.npy", "first_us.npy", "last_us.npy", "line_ends.npy", "spans.jsonl"

_SCALE = 10_000


class Pinned(Contract):
    """What decides over a landscape; equal facts give an equal one."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    model: ModelIdentity | None
    config_hashes: list[Sha256]
    parameters: dict[str, str]
    dimensions: int
    spans: int
    left_out: int = Field(description="spans that another model embedded")
    spans_sha256: Sha256 = Field(description="of the line about each span, which holds its record's row_hash")
    vectors_sha256: Sha256 = Field(description="of the vectors' little-endian float32 bytes, in the order of spans")


class Manifest(Contract):
    """`index/landscape.json`."""

    pinned: Pinned
    manifest_sha256: Sha256 = Field(description="sha256 of the canonical JSON of `pinned`")
    folder: str = Field(pattern=r"^[0-9A-Za-z-]+$", description="where the matrix lies")


@dataclass(frozen=True)
class Landscape:
    """A landscape that is open. Rows are spans in the order of their ids; times are microseconds since 1970."""

    manifest: Manifest
    folder: Path
    vectors: npt.NDArray[np.float32]
    first_us: npt.NDArray[np.int64]
    last_us: npt.NDArray[np.int64]
    line_ends: npt.NDArray[np.int64]

    def search(
        self, vector: Sequence[float], k: int, since_us: int | None = None, until_us: int | None = None
    ) -> list[tuple[int, int]]:
        """The k rows that are most like a vector, of those seen in [since, until): (row, likeness in 1/10,000).

        An exact scan; equal ones in the order of their ids. Raises ValueError for a vector of another size.
        """
        import numpy as np

        given = np.asarray(vector, dtype=np.float32)
        if given.shape != (self.manifest.pinned.dimensions,):
            raise ValueError(f"a vector of {given.size} values; the landscape has {self.manifest.pinned.dimensions}")
        rows = np.flatnonzero(self._seen(since_us, until_us))
        scores = np.rint(self.vectors @ given * _SCALE).astype(np.int32)[rows]
        if 0 < k < rows.size:
            likely = scores >= np.partition(scores, rows.size - k)[rows.size - k]
            rows, scores = rows[likely], scores[likely]
        order = np.lexsort((rows, -scores))[: max(k, 0)]
        return [(int(rows[index]), int(scores[index])) for index in order]

    def span(self, row: int) -> dict[str, Any]:
        """What is known about the span of a row: ids, times, app, title, domain, hashes."""
        start = int(self.line_ends[row - 1]) if row else 0
        with (self.folder / SPANS).open("rb") as stream:
            stream.seek(start)
            found: dict[str, Any] = orjson.loads(stream.read(int(self.line_ends[row]) - start))
        return found

    def row(self, span_id: str) -> int | None:
        """The row of a span; None when it is not in the landscape."""
        low, high = 0, self.manifest.pinned.spans
        while low < high:
            middle = (low + high) // 2
            if self.span(middle)["span_id"] < span_id:
                low = middle + 1
            else:
                high = middle
        return low if low < self.manifest.pinned.spans and self.span(low)["span_id"] == span_id else None

    def _seen(self, since_us: int | None, until_us: int | None) -> npt.NDArray[np.bool_]:
        import numpy as np

        seen = np.ones(len(self.first_us), dtype=np.bool_)
        if since_us is not None:
            seen &= self.last_us >= since_us
        if until_us is not None:
            seen &= self.first_us < until_us
        return seen


def search(
    root: DataRoot, vector: Sequence[float], k: int, *, since_us: int | None = None, until_us: int | None = None,
    model_digest: str | None = None,
) -> list[tuple[str, int]]:  # fmt: skip
    """The k spans that are most like a vector: (span id, likeness in 1/10,000), the most alike first.

    Empty where nothing was built, or with `model_digest`, where another model made the landscape. Reads only, and needs
    no more than numpy. Raises ContractInvalid for a damaged landscape, ValueError for a vector of another size.
    """
    landscape = open_landscape(root)
    if landscape is None or landscape.manifest.pinned.model is None:
        return []
    if model_digest is not None and landscape.manifest.pinned.model.model_digest != model_digest:
        return []
    found = landscape.search(vector, k, since_us, until_us)
    return [(landscape.span(row)["span_id"], score) for row, score in found]


def open_landscape(root: DataRoot) -> Landscape | None:
    """Open the current landscape; None when none was built. Raises ContractInvalid for a damaged one."""
    for last_try in (False, True):
        manifest = read_manifest(root)
        if manifest is None:
            return None
        try:
            return _open(manifest, root.landscape / manifest.folder)
        except FileNotFoundError as error:
            if last_try:  # the first time a build may just have replaced it
                raise damaged(f"{error.filename} is not there") from error
        except (OSError, ValueError) as error:
            raise damaged(f"its matrix cannot be read: {error}") from error
    raise AssertionError("unreachable")


def read_manifest(root: DataRoot) -> Manifest | None:
    """Read the manifest; None when there is none. Raises ContractInvalid for a damaged one."""
    try:
        manifest = Manifest.model_validate_json(root.landscape_manifest.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise damaged("its manifest is not one of ours") from error
    if manifest_sha256(manifest.pinned) != manifest.manifest_sha256:
        raise damaged("its manifest does not hash to its manifest_sha256")
    return manifest


def manifest_sha256(pinned: Pinned) -> str:
    """The hash of all that decides over a landscape."""
    return canonical_sha256(pinned.model_dump(by_alias=True))


def damaged(what: str) -> ContractInvalid:
    """The error for a landscape that cannot be relied on."""
    return ContractInvalid(f"the landscape is damaged: {what}", remedy=REBUILD)


def _open(manifest: Manifest, folder: Path) -> Landscape:
    import numpy as np

    load: Callable[[Path], Any] = lambda path: np.load(path, mmap_mode="r", allow_pickle=False)  # noqa: E731
    landscape = Landscape(manifest, folder, *(load(folder / name) for name in (VECTORS, FIRST, LAST, LINE_ENDS)))
    count, dimensions = manifest.pinned.spans, manifest.pinned.dimensions
    if landscape.vectors.shape != (count, dimensions) or landscape.vectors.dtype != np.float32:
        raise ValueError(f"a matrix of {landscape.vectors.shape} values instead of {(count, dimensions)}")
    if any(len(numbers) != count for numbers in (landscape.first_us, landscape.last_us, landscape.line_ends)):
        raise ValueError("columns of other lengths")
    if (int(landscape.line_ends[-1]) if count else 0) != (folder / SPANS).stat().st_size:
        raise ValueError("lines of another length")
    return landscape
