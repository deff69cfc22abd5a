"""The landscape of spans, as questions read it: a memory-mapped matrix of vectors and a line about each span.

    index/landscape.json            the manifest: what it was built from, and the folder that is current
    index/landscape/<folder>/       vectors.npy, first_us.npy, last_us.npy, line_ends.npy, spans.jsonl
    index/landscape.lance           the same as a LanceDB table, for others

Everything lies in the order of span ids. A build publishes a new folder and then the manifest, each by rename, so that
readers never wait and never see half of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
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
INSTALL = "pip install 'autocapture-pipeline[landscape]'"
SPANS_BY, EMBEDDINGS_BY = "build_spans", "embed_spans"
"""The producers whose fact files a landscape is built from."""
KeepGoing = Callable[[], None]
"""Asked while one is built; raises when it is to stop."""
PARAMETERS: dict[str, str] = {
    "dtype": "float32", "normalisation": "l2", "metric": "dot product in 1/10,000", "search": "exact",
    "order": "score, then span id",
}  # fmt: skip
VECTORS, FIRST, LAST, LINE_ENDS, SPANS = "vectors.npy", "first_us.npy", "last_us.npy", "line_ends.npy", "spans.jsonl"
_COLUMNS = (FIRST, LAST, LINE_ENDS)

UNSEEN = -(2**31) + 1
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
        return top(self.scores(vector, since_us, until_us), k)

    def scores(
        self, vector: Sequence[float], since_us: int | None = None, until_us: int | None = None
    ) -> npt.NDArray[np.int32]:
        """How like a vector each row is, in 1/10,000; UNSEEN for one that was not seen in [since, until).

        Raises ValueError for a vector of another size.
        """
        import numpy as np

        given = np.asarray(vector, dtype=np.float32)
        if given.shape != (self.manifest.pinned.dimensions,):
            raise ValueError(f"a vector of {given.size} values; the landscape has {self.manifest.pinned.dimensions}")
        with np.errstate(all="ignore"):  # what is no number, since it was damaged, is like nothing
            products = np.nan_to_num(self.vectors @ given, nan=-1, posinf=-1, neginf=-1).clip(-1, 1)
        scores: npt.NDArray[np.int32] = np.rint(products * _SCALE).astype(np.int32)
        scores[~self._seen(since_us, until_us)] = UNSEEN
        return scores

    def vector_sha256(self, row: int) -> str:
        """What a row's vector hashes to: its little-endian float32 bytes."""
        return hashlib.sha256(self.vectors[row].astype("<f4").tobytes()).hexdigest()

    def span(self, row: int) -> dict[str, Any]:
        """What is known about the span of a row: ids, times, app, title, domain, hashes. Raises ContractInvalid."""
        start, end = int(self.line_ends[row - 1]) if row else 0, int(self.line_ends[row])
        try:
            if not 0 <= start < end <= len(self._lines):
                raise ValueError("a line of no length")
            found = orjson.loads(self._lines[start:end].tobytes())
            if not isinstance(found, dict) or not isinstance(found.get("span_id"), str):
                raise ValueError("no span")
        except (OSError, ValueError) as error:
            raise damaged(f"what {SPANS} says of row {row} cannot be read") from error
        return found

    @cached_property
    def _lines(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        return np.memmap(self.folder / SPANS, dtype=np.uint8, mode="r")

    def row(self, span_id: str) -> int | None:
        """The row of a span; None when it is not in the landscape. Raises ContractInvalid."""
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


def top(scores: npt.NDArray[np.int32], k: int) -> list[tuple[int, int]]:
    """The k rows with the highest scores, see `Landscape.scores`: (row, score); equal ones in the order of rows."""
    import numpy as np

    rows = np.flatnonzero(scores != UNSEEN)
    seen = scores[rows]
    if 0 < k < rows.size:
        likely = seen >= np.partition(seen, rows.size - k)[rows.size - k]
        rows, seen = rows[likely], seen[likely]
    order = np.lexsort((rows, -seen))[: max(k, 0)]
    return [(int(rows[index]), int(seen[index])) for index in order]


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
        except (OSError, ValueError, EOFError) as error:
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


def is_complete(root: DataRoot, manifest: Manifest) -> bool:
    """Whether all files that a manifest tells of are there and long enough; none is opened, and numpy not loaded."""
    count, folder = manifest.pinned.spans, root.landscape / manifest.folder
    least = {VECTORS: 4 * count * manifest.pinned.dimensions, SPANS: count, **dict.fromkeys(_COLUMNS, 8 * count)}
    try:
        return all((folder / name).stat().st_size >= size for name, size in least.items())
    except OSError:
        return False


def manifest_sha256(pinned: Pinned) -> str:
    """The hash of all that decides over a landscape."""
    return canonical_sha256(pinned.model_dump(by_alias=True))


def damaged(what: str) -> ContractInvalid:
    """The error for a landscape that cannot be relied on."""
    return ContractInvalid(f"the landscape is damaged: {what}", remedy=REBUILD)


def _open(manifest: Manifest, folder: Path) -> Landscape:
    import numpy as np

    load: Callable[[Path], Any] = lambda path: np.load(path, mmap_mode="r", allow_pickle=False)  # noqa: E731
    landscape = Landscape(manifest, folder, *(load(folder / name) for name in (VECTORS, *_COLUMNS)))
    count, dimensions = manifest.pinned.spans, manifest.pinned.dimensions
    if landscape.vectors.shape != (count, dimensions) or landscape.vectors.dtype != np.float32:
        raise ValueError(f"a matrix of {landscape.vectors.shape} values instead of {(count, dimensions)}")
    for numbers in (landscape.first_us, landscape.last_us, landscape.line_ends):
        if numbers.shape != (count,) or numbers.dtype != np.int64:
            raise ValueError("columns of another length or kind")
    if (int(landscape.line_ends[-1]) if count else 0) != (folder / SPANS).stat().st_size:
        raise ValueError("lines of another length")
    return landscape
