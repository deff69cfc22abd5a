"""Which tokens stand for which text."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.stores.index_schema import SCHEMA
from pipeline.stores.text_tokens import match_all, match_any, tokens_of, whole_token


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Save all files", {"save", "all", "files"}),
        ("INC-219", {"inc_219", "inc", "219"}),
        ("release 4.2.7,", {"release", "4_2_7", "4", "2", "7"}),
        ("/srv/www/logParser.py", {"srv_www_logparser_py", "srv", "logparser_py", "logparser", "log", "parser", "py"}),
        ("max_retry_count", {"max_retry_count", "max", "retry", "count"}),
        ("HTTPServerError", {"httpservererror", "http", "server", "error"}),
        ("https://a.example/x?q=print+spool", {"a_example", "a", "example", "x", "q", "print_spool", "print", "spool"}),
        ("日本語", {"日本語", "日本", "本語"}),
        ("Größe", {"grösse"}),
        ("—", set()),
    ],
)  # fmt: skip
def test_text_becomes_tokens(text: str, tokens: set[str]) -> None:
    assert tokens <= set(tokens_of(text))
    if not tokens:
        assert tokens_of(text) == []


def test_each_token_comes_once() -> None:
    assert tokens_of("a b a") == ["a", "b"]


@given(st.text(max_size=60))
def test_whatever_stands_in_a_text_is_found_again(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(SCHEMA)
        tokens = tokens_of(text)
        connection.execute("INSERT INTO words(rowid, tokens) VALUES (1, ?)", (" ".join(tokens),))
        for token in tokens:
            if token.isascii():
                assert connection.execute(
                    "SELECT rowid FROM words WHERE words MATCH ?", (match_any([token]),)
                ).fetchall()
    finally:
        connection.close()


def test_expressions_join_groups_and_prefixes() -> None:
    assert match_all([["close", "clos*"], ["inc_219"]]) == '("close" OR "clos"*) AND ("inc_219")'
    assert whole_token("«INC-219»") == "inc_219"
