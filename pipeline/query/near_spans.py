"""The search by meaning: spans whose text is like the question, if a landscape is there and a server answers at once.

It only finds places to look at. What is quoted from there, and whether it answers, is decided by the words.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.stores.indexed_spans import IndexedSpan, span_named
from pipeline.stores.text_index import TextIndex

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.stores.landscape import Landscape

WITHIN_S = 0.05
"""A question waits no longer for its embedding."""
_FOR_WORDINGS = 10
"""So many times longer for all of its other wordings, from a server that has just shown that it is quick."""
MOST_SPANS = 50
_MOST_ROWS = 800
"""So many rows are looked at to find that many spans of different texts that pass the filters."""
_SCALE = 10_000

_Told = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class NearSpan:
    """A span as the landscape tells it and as the index holds it, and how like the question its text is."""

    span: IndexedSpan
    rank: int
    """How many spans are nearer, and one; equally near ones share it."""
    likeness: int
    """In 1/10,000."""
    told: dict[str, Any]
    row: int
    landscape: Landscape

    def vector_sha256(self) -> str:
        """What the vector that was compared hashes to."""
        return self.landscape.vector_sha256(self.row)


class Meaning:
    """What meaning can add to one question. Nothing is opened or asked before `join`."""

    def __init__(self, root: DataRoot, index: TextIndex, within_s: float = WITHIN_S) -> None:
        self._root = root
        self._within_s = within_s
        self._index = index
        self._landscape: Landscape | None = None
        self._digest: str | None = None
        self._scores: npt.NDArray[np.int32] | None = None
        self.note = "not asked: questions of this kind are answered from what was counted"
        """Whether it joined in, and if not why, in a line."""
        self.damage = ""
        """What is wrong with the landscape, if anything is."""

    def join(self, question: str, start_us: int, end_us: int) -> bool:
        """Ask the server for the question's embedding and look through the landscape. Tells whether that was possible.

        Loads numpy, once the server has answered.
        """
        from pipeline.stores.landscape import REBUILD, read_manifest  # late: its schemas take as long as an answer

        try:
            manifest = read_manifest(self._root)
            if manifest is None or manifest.pinned.model is None:
                self.note = f"did not join in: no landscape was built ({REBUILD})"
                return False
            vector = self._embed(question, manifest.pinned.model.model_digest)
            return vector is not None and self._look(vector, start_us, end_us)
        except ContractInvalid as error:
            self._damaged(error)
        return False

    def nearest(self, allows: Callable[[str | None], bool], *, earliest: bool = False) -> list[NearSpan]:
        """The nearest spans of different texts, of programs that are allowed, the nearest first.

        Of spans with one text it is the latest, or the earliest. Bounded by MOST_SPANS.
        """
        if self._landscape is None or self._scores is None:
            return []
        from pipeline.stores.landscape import top

        k, told = MOST_SPANS, list[_Told]()
        while k <= _MOST_ROWS:
            rows = top(self._scores, k)
            told = _of_different_texts(self._tell(row for row, _ in rows), allows, earliest=earliest)
            if len(told) >= MOST_SPANS or len(rows) < k:
                break
            k *= 4
        return [near for row, content in told[:MOST_SPANS] if (near := self._near(row, content)) is not None]

    def scores(self) -> npt.NDArray[np.int32]:
        """How like the question each span of the landscape is, see `Landscape.scores`; none when it did not join in."""
        import numpy as np

        return np.zeros(0, dtype=np.int32) if self._scores is None else self._scores

    def of(self, span: IndexedSpan) -> NearSpan | None:
        """How near a span is that was found otherwise; None when the landscape does not hold it in that time."""
        if self._landscape is None:
            return None
        try:
            row = self._landscape.row(span.span_id)
        except ContractInvalid as error:
            self._damaged(error)
            return None
        told = next(self._tell([row]), None) if row is not None else None
        return self._near(*told) if told is not None else None

    def likeness(self, text: str, others: Sequence[str]) -> list[int]:
        """How like a text others are, in 1/10,000; empty when the server does not answer in time."""
        from pipeline.clients.embed import NotEmbedded, embed_wordings

        if self._digest is None or not others:
            return []
        try:
            within_s = self._within_s * _FOR_WORDINGS
            first, *rest = embed_wordings(self._root, [text, *others], within_s, model_digest=self._digest)
        except NotEmbedded as error:
            self.note += f"; other wordings were not tried: {error}"
            return []
        return [round(math.fsum(map(operator.mul, first, vector)) * _SCALE) for vector in rest]

    def _embed(self, question: str, digest: str) -> array[float] | None:
        from pipeline.clients.embed import NotEmbedded, embed_wordings

        try:
            [vector] = embed_wordings(self._root, [question], self._within_s, model_digest=digest)
        except NotEmbedded as error:
            self.note = f"did not join in: {error}"
            return None
        self._digest = digest
        return vector

    def _look(self, vector: array[float], start_us: int, end_us: int) -> bool:
        from pipeline.stores.landscape import REBUILD, open_landscape

        landscape = open_landscape(self._root)
        model = landscape.manifest.pinned.model if landscape else None
        if landscape is None or model is None or model.model_digest != self._digest:
            self.note = "did not join in: another landscape was built in that moment"
            return False
        try:
            self._scores = landscape.scores(vector, start_us, end_us)
        except ValueError as error:
            raise ContractInvalid(f"the landscape is damaged: {error}", remedy=REBUILD) from error
        self._landscape = landscape
        self.note = f"joined in: {len(self._scores)} spans were compared with the question"
        return True

    def _tell(self, rows: Iterable[int]) -> Iterator[_Told]:
        for row in rows:
            try:
                yield row, self._landscape.span(row) if self._landscape else {}
            except ContractInvalid as error:
                self._damaged(error)

    def _near(self, row: int, told: dict[str, Any]) -> NearSpan | None:
        """None for a span that the index does not know: it was built from other facts than the landscape."""
        from pipeline.stores.landscape import UNSEEN

        span = span_named(self._index, told["span_id"])
        if span is None or self._scores is None or self._landscape is None or self._scores[row] == UNSEEN:
            return None
        likeness = int(self._scores[row])
        return NearSpan(span, 1 + int((self._scores > likeness).sum()), likeness, told, row, self._landscape)

    def _damaged(self, error: ContractInvalid) -> None:
        self.damage = error.message
        if self._landscape is None:
            self.note = f"did not join in: {error.message}"


def _of_different_texts(spans: Iterable[_Told], allows: Callable[[str | None], bool], *, earliest: bool) -> list[_Told]:
    chosen: dict[object, _Told] = {}
    for row, told in spans:
        name, moment = told.get("text_sha256"), told.get("first_us")
        if not isinstance(moment, int) or not isinstance(name, str) or not allows(told.get("app")):
            continue
        held = chosen.get(name)
        if held is None or (moment < held[1]["first_us"]) == earliest:
            chosen[name] = row, told  # in the place of the nearest: a dict remembers where a key came in
    return list(chosen.values())
