"""Keeps the landscape up to the facts: `pipeline run` and `pipeline landscape build` both renew it here."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, NotAvailableYet
from pipeline.indexing.published import Published, note_seen, published_at_us, seen
from pipeline.stores.catalog import DONE, Catalog
from pipeline.stores.counts import count_outcomes
from pipeline.stores.landscape import (
    EMBEDDINGS_BY,
    INSTALL,
    REBUILD,
    SPANS_BY,
    KeepGoing,
    Manifest,
    is_complete,
    open_landscape,
    read_manifest,
)

_MARK = "landscape"


def refresh_landscape(root: DataRoot, catalog: Catalog, keep_going: KeepGoing) -> bool:
    """Build the landscape again when spans or their embeddings changed since; tells whether it was built.

    For the holder of the run lock, when `stage_outcomes` is up to the catalog. Raises what `keep_going` raises,
    NotInstalled without LanceDB, ContractInvalid for a fact file that cannot be read.
    """
    if landscape_published(root, catalog).up_to_date:
        note_seen(catalog, _MARK)
        return False
    _require_installed()
    keep_going()
    before = _sound(root, catalog)
    try:
        return renew_landscape(root, catalog, keep_going) != before
    except NotAvailableYet:
        return False  # what was embedded belongs to spans that are no longer there


def renew_landscape(
    root: DataRoot, catalog: Catalog, keep_going: KeepGoing = lambda: None, *, anew: bool = False
) -> Manifest:  # fmt: skip
    """Publish what the facts of now give; a landscape that holds just that is left as it is, unless `anew`.

    The catalog's mark goes before anything is written and comes back when all is, so that what a crash left half done
    is built again. Raises as `refresh_landscape` does, and NotAvailableYet when no span has an embedding.
    """
    from pipeline.stores.landscape_build import publish_landscape, read_content  # late: Arrow is of no use to a look

    _require_installed()
    state, published = _state(root), _sound(root, catalog)
    content = read_content(root, keep_going)
    if anew or published is None or published.manifest_sha256 != content.manifest_sha256:
        keep_going()
        _mark(catalog, "")
        published = publish_landscape(root, content)
    _mark(catalog, f"{state} {published.manifest_sha256}")
    note_seen(catalog, _MARK)
    return published


def landscape_published(root: DataRoot, catalog: Catalog) -> Published:
    """Look at the landscape that is there, and whether it is what the facts of now give. Reads only."""
    published = _open(root)
    state = f"{_state(root)} {published.manifest_sha256}" if published else ""
    nothing_to_build = not _embeddings(root)
    built_us = published_at_us(root.landscape_manifest) if published else None
    return Published(built_us, nothing_to_build or bool(published and catalog.mark(_MARK) == state))


def landscape_at_a_glance(root: DataRoot, catalog: Catalog) -> Published:
    """The same as `landscape_published`, by what the last run noted where it did, and not by the fact files."""
    noted = seen(catalog, _MARK)
    if noted is None:
        return landscape_published(root, catalog)
    published = _look(root)
    built_us = published_at_us(root.landscape_manifest) if published else None
    sound = published is None or (catalog.mark(_MARK) or "").partition(" ")[2] == published.manifest_sha256
    return Published(built_us, noted and sound)


def can_be_built() -> bool:
    """Whether LanceDB is installed; it is not imported."""
    return importlib.util.find_spec("lancedb") is not None


def _require_installed() -> None:
    """Raises NotInstalled. The import takes a second, and is of no use where nothing is to be written."""
    if not can_be_built():
        from pipeline.stores.landscape_build import require_lancedb

        require_lancedb()


def remedy(catalog: Catalog | None) -> str:
    """What to do to get a landscape that is up to date."""
    if not can_be_built():
        return INSTALL
    embedded = catalog is not None and (EMBEDDINGS_BY, DONE) in count_outcomes(catalog)
    return REBUILD if embedded else "pipeline run --until-done"


def _sound(root: DataRoot, catalog: Catalog) -> Manifest | None:
    """The manifest of the landscape that is there, if it and its table were written whole."""
    published = _open(root)
    finished = (catalog.mark(_MARK) or "").partition(" ")[2]
    return published if published and published.manifest_sha256 == finished else None


def _open(root: DataRoot) -> Manifest | None:
    try:
        landscape = open_landscape(root)
    except ContractInvalid:
        return None
    return landscape.manifest if landscape else None


def _look(root: DataRoot) -> Manifest | None:
    """The manifest, where what it tells of is there, without opening that."""
    try:
        manifest = read_manifest(root)
    except ContractInvalid:
        return None
    return manifest if manifest and is_complete(root, manifest) else None


def _mark(catalog: Catalog, value: str) -> None:
    with catalog.transaction():
        catalog.set_mark(_MARK, value)


def _embeddings(root: DataRoot) -> list[Path]:
    return list(root.fact_files("records", EMBEDDINGS_BY))


def _state(root: DataRoot) -> str:
    """A digest of the names, sizes and times of the files of spans and embeddings: it changes when any is replaced."""
    state = hashlib.sha256()
    for path in sorted([*root.fact_files("spans", SPANS_BY), *_embeddings(root)]):
        status = path.stat()
        state.update(f"{path.relative_to(root.facts)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return state.hexdigest()
