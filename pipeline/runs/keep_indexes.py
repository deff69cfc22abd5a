"""Keeps what questions read up to what was read: renews the text index and the landscape, and says when that is due."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.errors import NotInstalled
from pipeline.indexing.landscape import can_be_built, landscape_published, refresh_landscape
from pipeline.indexing.published import Published, published_at_us
from pipeline.indexing.refresh import refresh_text_index, text_index_published
from pipeline.stores.catalog import Catalog
from schemas.fields import from_utc_microseconds, utc_text

TEXT_INDEX, LANDSCAPE = "text_index", "landscape"

_TRIED_MARK = "indexes_tried_us"

log = logging.getLogger("pipeline")


@dataclass
class IndexKeeper:
    """Renews the indexes for the holder of the run lock. `renewed` says what was, and when, in UTC.

    `begin` is asked before and while an index is built, and may raise; `now_us` is the run's clock.
    """

    root: DataRoot
    catalog: Catalog
    begin: Callable[[], None]
    now_us: Callable[[], int]
    max_age_s: float
    renewed: dict[str, str]
    told: bool = False

    def overdue(self) -> bool:
        """Whether an index that is behind the facts is older than `max_age_s`, and no run has tried since to renew it.

        Runs that the user always ends would never come to renewing it; a run that did so each time, never to reading.
        """
        tried = self.catalog.mark(_TRIED_MARK)
        if tried is not None and not self._long_ago(int(tried)):
            return False
        if self._is_overdue(self.root.text_index, text_index_published):
            return True
        return can_be_built() and self._is_overdue(self.root.landscape_manifest, landscape_published)

    def note_try(self) -> None:
        """Note that this run tries to renew the indexes before it reads on."""
        with self.catalog.transaction():
            self.catalog.set_mark(_TRIED_MARK, str(self.now_us()))

    def renew(self, *, embedded: bool) -> None:
        """Bring both up to the facts; `embedded` tells whether this run embedded anything that could be missed.

        Raises what `begin` raises, ContractInvalid for a fact file that cannot be read.
        """
        if refresh_text_index(self.root, self.catalog, self.begin):
            self._note(TEXT_INDEX, "the text index")
        try:
            if refresh_landscape(self.root, self.catalog, self.begin):
                self._note(LANDSCAPE, "the landscape")
        except NotInstalled as error:
            if embedded and not self.told:
                self.told = True
                log.warning("the landscape is not renewed, all else is done: %s", error)

    def _is_overdue(self, file: Path, look: Callable[[DataRoot, Catalog], Published]) -> bool:
        """Looks at its age first: to see whether it is behind, all files of the facts are looked at."""
        if file.exists() and not self._long_ago(published_at_us(file)):
            return False
        return not look(self.root, self.catalog).up_to_date

    def _long_ago(self, moment_us: int) -> bool:
        """More than `max_age_s` ago; what is from the future, since a clock was set back, counts so too."""
        return not 0 <= self.now_us() - moment_us <= self.max_age_s * 1_000_000

    def _note(self, name: str, words: str) -> None:
        self.renewed[name] = utc_text(from_utc_microseconds(self.now_us()))
        log.info("%s was renewed", words)
