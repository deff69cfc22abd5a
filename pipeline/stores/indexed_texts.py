"""The texts of the text index: how it is opened, and which texts it finds by words, by pattern, by time.

Written by `pipeline.indexing`, replaced by rename, opened here so that a write fails. Texts are kept once: line tracks,
window titles and addresses point at them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pipeline.errors import NotAvailableYet
from pipeline.stores.index_schema import SCHEMA_VERSION
from pipeline.stores.text_tokens import match_all, match_any

DAY_US = 86_400_000_000
_SHORT_DAYS = 8
_RANKED, _RARE, _MOST_GROUPS = 20_000, 5_000, 6
REMEDY = "pipeline run --until-done"


def connect_immutable(path: Path) -> sqlite3.Connection:
    """Open a database file that nobody writes any more: no lock, no side file, and a write fails."""
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


class IndexedTexts:
    """The published index, as far as its texts go. A context manager. Nothing in it can write."""

    def __init__(self, path: Path) -> None:
        """Open the index. Raises NotAvailableYet when there is none, or one of another version."""
        if not path.is_file():
            raise NotAvailableYet(f"there is no text index at {path}", remedy=REMEDY)
        self.connection = connect_immutable(path)
        self._ranked: dict[str, list[int]] = {}
        self._counted: dict[tuple[str, int], int] = {}
        try:
            self.meta = dict(self.connection.execute("SELECT key, value FROM meta").fetchall())
        except sqlite3.Error as error:
            self.connection.close()
            raise NotAvailableYet(f"the text index {path} cannot be read: {error}", remedy=REMEDY) from error
        if self.meta.get("schema_version") != str(SCHEMA_VERSION):
            self.connection.close()
            found = self.meta.get("schema_version")
            raise NotAvailableYet(
                f"the text index {path} has schema version {found}; expected {SCHEMA_VERSION}", remedy=REMEDY
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def _all(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        return self.connection.execute(query, parameters)

    def search(self, expression: str, limit: int, *, ranked: bool = True) -> list[tuple[int, str]]:
        """Texts that match an FTS5 expression, best first, equal ones in index order; without ranking in index order.

        Where over 20,000 match, ranking them takes long and tells little: the newest come first.
        """
        order = "words.rowid"
        if ranked:
            order = "words.rowid DESC" if self._is_common(expression) else "words.rank, words.rowid"
        query = (
            f"SELECT x.id, x.text FROM (SELECT rowid FROM words WHERE words MATCH ? ORDER BY {order} LIMIT ?) w"  # noqa: S608
            " CROSS JOIN texts x ON x.id = w.rowid"
        )
        return list(self._all(query, (expression, limit)))

    def ranked(self, expression: str) -> list[int]:
        """Texts that match an FTS5 expression, by their numbers, 20,000 at most, in the order of `search`.

        Asked again it is known, since ranking many takes long.
        """
        if expression not in self._ranked:
            order = "rowid DESC" if self._is_common(expression) else "rank, rowid"
            query = f"SELECT rowid FROM words WHERE words MATCH ? ORDER BY {order} LIMIT ?"  # noqa: S608
            self._ranked[expression] = [number for (number,) in self._all(query, (expression, _RANKED))]
        return self._ranked[expression]

    def ranked_rare(self, tokens: Iterable[str]) -> list[int]:
        """Texts that match any of the tokens, as `ranked`, but for those tokens that many texts hold."""
        rare = [token for token in tokens if 0 < self._count(match_any([token]), _RARE) < _RARE]
        return self.ranked(match_any(rare)) if rare else []

    def ranked_groups(self, groups: Sequence[list[str]]) -> list[int]:
        """Texts that hold a token of any group, as `ranked`.

        Where over 20,000 do: those that hold one of so many groups that they are fewer. A word that so many texts
        hold does not tell which of them is meant, and ranking them all takes a second.
        """
        tokens = [token for group in groups for token in group]
        counts = [self._count(match_any(group), _RANKED + 1) for group in groups]
        if sum(counts) <= _RANKED or not self._is_common(match_any(tokens)):
            return self.ranked(match_any(tokens)) if tokens else []
        rarest = [groups[at] for at in sorted(range(len(groups)), key=counts.__getitem__)[:_MOST_GROUPS]]
        expressions = [
            " OR ".join(f"({match_all(list(chosen))})" for chosen in combinations(rarest, together))
            for together in range(1, len(rarest) + 1)
        ]
        fit = (expression for expression in expressions if not self._is_common(expression))
        return self.ranked(next(fit, expressions[-1]))

    def _is_common(self, expression: str) -> bool:
        return self._count(expression, _RANKED + 1) > _RANKED

    def _count(self, expression: str, most: int) -> int:
        if (expression, most) not in self._counted:
            query = "SELECT count(*) FROM (SELECT 1 FROM words WHERE words MATCH ? LIMIT ?)"
            self._counted[expression, most] = next(self._all(query, (expression, most)))[0]
        return self._counted[expression, most]

    def texts(self, numbers: Iterable[int]) -> list[tuple[int, str]]:
        """Texts by their numbers, in that order."""
        query = "SELECT x.id, x.text FROM json_each(?) j CROSS JOIN texts x ON x.id = j.value ORDER BY j.key"
        return list(self._all(query, (json.dumps(list(numbers)),)))

    def texts_like(self, pattern: str, start: int, end: int) -> Iterator[tuple[int, str]]:
        """Texts that fit a GLOB pattern and are seen in [start, end), in the order of the index.

        Looks at what is seen in a short stretch; for a long one at all texts.
        """
        if end - start <= _SHORT_DAYS * DAY_US:
            seen = (
                "SELECT text FROM tracks WHERE first_ts >= ?4 AND first_ts < ?3 AND last_ts >= ?2"
                " UNION SELECT title FROM frames WHERE ts >= ?2 AND ts < ?3"
                " UNION SELECT url FROM visits WHERE first_ts >= ?4 AND first_ts < ?3 AND last_ts >= ?2"
            )
            query = (
                f"SELECT x.id, x.text FROM ({seen}) s JOIN texts x ON x.id = s.text WHERE x.text GLOB ?1 ORDER BY x.id"  # noqa: S608
            )
            return self._all(query, (pattern, start, end, start - start % DAY_US))
        query = (
            "SELECT id, text FROM texts x WHERE text GLOB ?1 AND ("
            " EXISTS (SELECT 1 FROM tracks k WHERE k.text = x.id AND k.first_ts < ?3 AND k.last_ts >= ?2)"
            " OR EXISTS (SELECT 1 FROM frames f WHERE f.title = x.id AND f.ts >= ?2 AND f.ts < ?3)"
            " OR EXISTS (SELECT 1 FROM visits v WHERE v.url = x.id AND v.first_ts < ?3 AND v.last_ts >= ?2))"
            " ORDER BY id"
        )
        return self._all(query, (pattern, start, end))

    def text_ends(self, text_ids: Iterable[int], start: int, end: int) -> list[tuple[int, int, int]]:
        """When texts were first and last seen in [start, end): (text, first, last), only those that were."""
        query = (
            "SELECT text, min(first), max(last) FROM ("
            " SELECT k.text AS text, k.first_ts AS first, k.last_ts AS last FROM json_each(?1) j"
            "  CROSS JOIN tracks k ON k.text = j.value AND k.first_ts < ?3 AND k.last_ts >= ?2"
            " UNION ALL SELECT f.title, f.ts, f.ts FROM json_each(?1) j"
            "  CROSS JOIN frames f ON f.title = j.value AND f.ts >= ?2 AND f.ts < ?3"
            " UNION ALL SELECT v.url, v.first_ts, v.last_ts FROM json_each(?1) j"
            "  CROSS JOIN visits v ON v.url = j.value AND v.first_ts < ?3 AND v.last_ts >= ?2) GROUP BY text"
        )
        return list(self._all(query, (json.dumps(list(text_ids)), start, end)))
