"""Which contracts understand each other `[handoff-10]`."""

from __future__ import annotations

import json

import pytest

from schemas.contract import shake_hands
from schemas.contract_version import SCHEMA_HASH


def contract(**fields: object) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    "content",
    [
        contract(contract_version="2.4"),
        contract(contract_version="2.4", schema_hash=SCHEMA_HASH, producer="sidecar", colour="red"),
        contract(contract_version="2.4.9"),
        contract(contract_version="2.0"),
        contract(contract_version="2.3", schema_hash="0" * 64),
    ],
)
def test_the_same_major_version_is_understood(content: bytes) -> None:
    found = shake_hands(content, ours="2.4")
    assert (found.refused, found.warning) == ("", "")


@pytest.mark.parametrize("version", ["1.9", "3.0", "0.1", "3", 3, "next", "2.4-beta", "", "2.x", True, [2], "²"])
def test_another_major_version_is_refused_and_so_is_what_is_no_version(version: object) -> None:
    assert shake_hands(contract(contract_version=version), ours="2.4").refused


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (None, "no contract.json"),
        (b"", "names no contract_version"),
        (b"\xff", "names no contract_version"),
        (b"[" * 100_000, "names no contract_version"),
        (b'{"contract_version": null}', "names no contract_version"),
        (contract(producer="sidecar"), "names no contract_version"),
        (contract(contract_version="2.5"), "of contract 2.5"),
        (contract(contract_version="2.4", schema_hash="0" * 64), "another schema_hash"),
    ],
)
def test_what_is_taken_with_a_warning(content: bytes | None, word: str) -> None:
    found = shake_hands(content, ours="2.4")
    assert found.refused == ""
    assert word in found.warning
