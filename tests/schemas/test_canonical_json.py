"""Canonical JSON `[hash-1]`, held against the standard library's encoder."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.canonical import NotCanonical, canonical_json, payload_hash

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS.map(lambda text: unicodedata.normalize("NFC", text)), inner),
    max_leaves=30,
)


def _nfc(value: Any) -> Any:
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value)
    if isinstance(value, list):
        return [_nfc(item) for item in value]
    if isinstance(value, dict):
        return {_nfc(key): _nfc(item) for key, item in value.items()}
    return value


def by_standard_library(value: Any) -> bytes:
    return json.dumps(_nfc(value), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@given(VALUES)
def test_bytes_are_those_of_the_standard_library(value: Any) -> None:
    assert canonical_json(value) == by_standard_library(value)


@given(VALUES)
def test_canonical_form_read_back_is_its_own_canonical_form(value: Any) -> None:
    once = canonical_json(value)
    assert canonical_json(json.loads(once)) == once


def test_keys_sort_by_code_point_and_not_by_utf_16_unit() -> None:
    assert canonical_json({"\U00010000": 2, "\uffff": 1}) == '{"\uffff":1,"\U00010000":2}'.encode()


def test_decomposed_text_is_composed_in_keys_and_values() -> None:
    assert canonical_json({"e\u0301": "A\u030a"}) == '{"é":"Å"}'.encode()


@pytest.mark.parametrize("number", [2**63, 2**64, 10**40, -(2**70)])
def test_integers_beyond_64_bits_keep_all_digits(number: int) -> None:
    assert canonical_json([number]) == f"[{number}]".encode()


def test_nesting_beyond_the_fast_encoder_is_the_same_json() -> None:
    value: Any = []
    for _ in range(300):
        value = [value]
    assert canonical_json(value) == b"[" * 301 + b"]" * 301


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1.0, id="float"),
        pytest.param({"a": [0.5]}, id="float inside"),
        pytest.param(float("nan"), id="nan"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param({"\udfff": 1}, id="lone surrogate in a key"),
        pytest.param({1: "a"}, id="integer key"),
        pytest.param({None: "a"}, id="null key"),
        pytest.param({"é": 1, "e\u0301": 2}, id="keys that NFC makes one"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({"a": {1, 2}}, id="set"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)


def test_nesting_without_end_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotCanonical):
        canonical_json(value)


def test_a_refusal_does_not_repeat_the_content() -> None:
    with pytest.raises(NotCanonical) as caught:
        canonical_json({"text": b"my secret words"})
    assert "secret" not in str(caught.value)


def test_payload_hash_does_not_cover_itself() -> None:
    record = {"record_type": "evidence.window.meta", "text": "a"}
    assert payload_hash({**record, "payload_hash": "f" * 64}) == payload_hash(record)


def test_payload_hash_covers_every_other_field() -> None:
    record = {"record_type": "evidence.window.meta", "text": "a"}
    assert payload_hash({**record, "text": "b"}) != payload_hash(record)
    assert payload_hash({**record, "more": None}) != payload_hash(record)
