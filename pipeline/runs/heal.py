"""Heals lost fact files: what they held is pending again, a damaged one is kept in `derived/quarantine`."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from pipeline.dag import STAGES, Stage
from pipeline.dataroot import DataRoot, FactFile
from pipeline.errors import DamagedFactFile
from pipeline.stores.atomic import fsync_directory, make_directories
from pipeline.stores.catalog import Catalog
from pipeline.stores.facts import count_rows
from pipeline.stores.forgotten import (
    OUTCOMES_TABLE,
    expected_hours,
    expected_outcomes,
    expected_rows,
    forget_day,
    forget_hour,
    forget_projection,
)

_MARK = "fact_files"

log = logging.getLogger("pipeline")


@dataclass
class Healer:
    """Heals fact files for the holder of the run lock; `healed` says which ones of this run."""

    root: DataRoot
    catalog: Catalog
    healed: list[str] = field(default_factory=list)
    names: str = ""

    def damaged(self, error: DamagedFactFile) -> None:
        """Have the content of a damaged file made again and move the file away; it is never deleted.

        The catalog first: after a crash in between, the file is found damaged once more. Raises the error when the same
        file was healed before in this run, for then something damages what we write.
        """
        name = str(error.path.relative_to(self.root.facts))
        if name in self.healed:
            raise error
        again = self._forget(self.root.fact_file(error.path))
        kept = self.root.quarantined_facts(error.path)
        make_directories(kept.parent)
        error.path.rename(kept)
        fsync_directory(error.path.parent)
        fsync_directory(kept.parent)
        self.healed.append(name)
        log.warning("%s; it is kept as %s, %s", error.message, kept, again)

    def missing(self) -> None:
        """Have the content of files made again that somebody or something took away since the last run."""
        self.names = _names(self.root)
        if self.catalog.mark(_MARK) == self.names:
            return
        for file in missing_files(self.root, self.catalog):
            again = self._forget(file)
            hour = f", hour {file.hour}" if file.hour else ""
            self.healed.append(f"{file.table} of {file.run_id}, {file.day}{hour}")
            log.warning("the fact file of %s is gone; %s", self.healed[-1], again)

    def remember(self, *, worked: bool) -> None:
        """Note which files there are, for the next run; where this one did not work, those that it found."""
        names = _names(self.root) if worked or not self.names else self.names
        if self.catalog.mark(_MARK) != names:
            with self.catalog.transaction():
                self.catalog.set_mark(_MARK, names)

    def _forget(self, file: FactFile) -> str:
        """Make pending what a file held; tells how it is made again."""
        stage = next((item for item in STAGES if item.name == file.producer), None)
        if file.table == OUTCOMES_TABLE:
            forget_projection(self.catalog, file.run_id, file.day, file.hour)
            return "its hour is written again from the catalog"
        if stage is None:
            return "no stage makes it any more"
        if stage.scope == "day":
            forget_day(self.catalog, stage.name, file.run_id, file.day)
            return f"{stage.name} builds its day again"
        count = forget_hour(self.catalog, stage.name, file.run_id, file.day, file.hour)
        asked = "the model is asked again" if stage.model else "made again from the evidence"
        return f"{stage.name} takes {count} samples of its hour again: {asked}"


def missing_files(root: DataRoot, catalog: Catalog) -> list[FactFile]:
    """The files that must be there by what was done, and are not; of a day stage, days that lack rows, without an hour.

    Raises DamagedFactFile.
    """
    expected = list(expected_outcomes(catalog))
    for stage in STAGES:
        if stage.scope == "sample":
            expected += expected_hours(catalog, stage.name, stage.table)
    gone = [file for file in expected if not root.fact_file_path(file).exists()]
    return [*gone, *(file for stage in STAGES if stage.scope == "day" for file in _incomplete(root, catalog, stage))]


def _incomplete(root: DataRoot, catalog: Catalog, stage: Stage) -> Iterator[FactFile]:
    """Days that a stage has built, need not build again, and that hold fewer rows than it wrote."""
    pending = {(run_id, day) for run_id, day, _ in catalog.pending_days(stage.name, stage.sources, stage.fingerprint())}
    for run_id, day, row_count in expected_rows(catalog, stage.name):
        files = root.fact_files_of_day(stage.table, run_id, day, stage.name)
        if (run_id, day) not in pending and sum(count_rows(path) for path in files) < row_count:
            yield FactFile(stage.table, run_id, day, "", stage.name)


def _names(root: DataRoot) -> str:
    """A digest of the names of all fact files. By `os` and plain text: a year has tens of thousands of them."""
    top, names = len(str(root.facts)), []
    for folder, _, files in os.walk(root.facts):
        names += [f"{folder[top:]}/{name}" for name in files if name.startswith("part-")]
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()
