"""Every hash rule against `hash_vectors.json`, and the vectors against a second, plain reading of the rules."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataroot import rid, unrid
from schemas.canonical import canonical_json, canonical_sha256, ledger_entry_hash, payload_hash
from schemas.record import record_id, row_hash, vector_sha256

VECTORS: dict[str, list[Any]] = json.loads(Path(__file__).with_name("hash_vectors.json").read_bytes())


def _plain_json(value: Any) -> bytes:
    composed = json.loads(unicodedata.normalize("NFC", json.dumps(value, ensure_ascii=False)))
    return json.dumps(composed, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in names}


@pytest.mark.parametrize("case", VECTORS["canonical_json"])
def test_canonical_json(case: dict[str, Any]) -> None:
    assert canonical_json(case["value"]).hex() == case["utf8_hex"] == _plain_json(case["value"]).hex()
    assert canonical_sha256(case["value"]) == case["sha256"] == _sha256(bytes.fromhex(case["utf8_hex"]))


@pytest.mark.parametrize("case", VECTORS["payload_hash"])
def test_payload_hash(case: dict[str, Any]) -> None:
    expected = _sha256(_plain_json(_without(case["record"], "payload_hash")))
    assert payload_hash(case["record"]) == case["sha256"] == expected


@pytest.mark.parametrize("case", VECTORS["record_id"])
def test_record_id(case: dict[str, Any]) -> None:
    run_id, sample_id, modality, model_digest, prompt_hash, config_hash = case["arguments"]
    digest = _sha256(_plain_json([sample_id, modality, model_digest, prompt_hash, config_hash]))
    expected = f"{run_id}/derived.model.output/{modality}/{digest[:32]}"
    assert record_id(*case["arguments"]) == case["record_id"] == expected


@pytest.mark.parametrize("case", VECTORS["vector_sha256"])
def test_vector_sha256(case: dict[str, Any]) -> None:
    expected = _sha256(struct.pack(f"<{len(case['vector'])}f", *case["vector"]))
    assert vector_sha256(case["vector"]) == case["sha256"] == expected


@pytest.mark.parametrize("case", VECTORS["row_hash"])
def test_row_hash(case: dict[str, Any]) -> None:
    moment = datetime.fromisoformat(case["row"]["ts_utc"])
    assert row_hash({**case["row"], "ts_utc": moment}) == case["sha256"] == _plain_row_hash(case["row"], moment)


def _plain_row_hash(row: dict[str, Any], moment: datetime) -> str:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    hashed = _without(row, "row_hash", "metrics")
    hashed["ts_utc"] = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    hashed["provenance"] = _without(json.loads(row["provenance"]), "code_version")
    hashed["emb_vectors"] = [
        {
            "kind": item["kind"],
            "dims": item["dims"],
            "vector": _sha256(struct.pack(f"<{item['dims']}f", *item["vector"])),
        }
        for item in row["emb_vectors"]
    ]
    return _sha256(_plain_json(hashed))


@pytest.mark.parametrize("name", ["row_hash", "metrics"])
def test_row_hash_leaves_out_what_may_differ(name: str) -> None:
    row = {**VECTORS["row_hash"][0]["row"], "ts_utc": datetime(2026, 3, 1, tzinfo=UTC)}
    assert row_hash({**row, name: "other"}) == row_hash(row)


@pytest.mark.parametrize(
    "name", ["record_id", "sample_id", "source_ids", "model_digest", "prompt", "output_json", "output_sha256"]
)
def test_row_hash_covers_what_was_said(name: str) -> None:
    row = {**VECTORS["row_hash"][0]["row"], "ts_utc": datetime(2026, 3, 1, tzinfo=UTC)}
    assert row_hash({**row, name: "other"}) != row_hash(row)


def test_row_hash_covers_provenance_but_its_code_version() -> None:
    row = {**VECTORS["row_hash"][0]["row"], "ts_utc": datetime(2026, 3, 1, tzinfo=UTC)}
    newer = row["provenance"].replace("0.1.0", "9.9.9")
    other_stage = row["provenance"].replace("find_text_lines", "another_stage")
    assert row_hash({**row, "provenance": newer}) == row_hash(row)
    assert row_hash({**row, "provenance": other_stage}) != row_hash(row)


def test_ledger_entries_are_chained() -> None:
    previous = None
    for entry in VECTORS["ledger_chain"]:
        assert entry["prev_hash"] == previous
        expected = _sha256(_plain_json(_without(entry, "entry_hash")) + (previous or "").encode())
        assert ledger_entry_hash(entry) == entry["entry_hash"] == expected
        previous = entry["entry_hash"]


@pytest.mark.parametrize("case", VECTORS["rid"])
def test_rid(case: dict[str, str]) -> None:
    expected = "rid_" + base64.urlsafe_b64encode(case["text"].encode()).decode().rstrip("=")
    assert rid(case["text"]) == case["rid"] == expected
    assert unrid(case["rid"]) == case["text"]
