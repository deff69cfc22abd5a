"""How text becomes tokens: the same for the index and for a question. No stemming, no stop words."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CHUNK = re.compile(r"\S+")
_SEGMENT = re.compile(r"[^/\\?&=#:,;()\[\]{}<>|\"'`“”‘’«»]+")
_WORD = re.compile(r"[^\W_]+")
_SEPARATORS = re.compile(r"[\W_]+")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af\U00020000-\U0003134f]+")
_LONGEST = 120
"""A token longer than this is cut: an encoded blob is no word that anyone asks for."""


def tokens_of(text: str) -> list[str]:
    """Cut text into tokens, each once, in lower case.

    INC-219          →  inc_219, inc, 219
    /srv/logParser   →  srv_logparser, srv, logparser, log, parser
    日本語           →  日本語, 日本, 本語
    """
    return list(dict.fromkeys(_tokens(text)))


def whole_token(text: str) -> str:
    """The one token that stands for a word with its separators: `INC-219` → `inc_219`; empty when nothing is left."""
    return _SEPARATORS.sub("_", text.casefold()).strip("_")[:_LONGEST]


def match_any(tokens: list[str]) -> str:
    """An FTS5 expression: rows that hold at least one of the tokens."""
    return " OR ".join(_quoted(token) for token in tokens)


def match_all(groups: list[list[str]]) -> str:
    """An FTS5 expression: rows that hold, of each group, at least one token; a token that ends in `*` is a prefix."""
    return " AND ".join(f"({match_any(group)})" for group in groups)


def _quoted(token: str) -> str:
    prefix = token.endswith("*")
    return f'"{token.rstrip("*")}"' + ("*" if prefix else "")


def _tokens(text: str) -> Iterator[str]:
    for chunk in _CHUNK.findall(text):
        if chunk.isalpha() and chunk.isascii() and (chunk.islower() or chunk[1:].islower()):
            yield chunk.lower()[:_LONGEST]
            continue
        yield from _parts(chunk)


def _parts(chunk: str) -> Iterator[str]:
    whole = whole_token(chunk)
    if not whole:
        return
    yield whole
    for segment in _SEGMENT.findall(chunk):
        token = whole_token(segment)
        if token:
            yield token
        for word in _WORD.findall(segment):
            yield word.casefold()[:_LONGEST]
            yield from _inside(word)


def _inside(word: str) -> Iterator[str]:
    """The parts of a camelCase word, and the pairs of following CJK characters."""
    if word.isascii():
        parts = _CAMEL.findall(word)
        if len(parts) > 1:
            yield from (part.lower()[:_LONGEST] for part in parts)
        return
    for run in _CJK.findall(word):
        yield from (run[at : at + 2] for at in range(len(run) - 1)) if len(run) > 1 else (run,)
