"""Whatever a row or a log holds, the deep check ends with findings, never with an exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sidecar_root import FRAME, MOMENT, RUN, SidecarRoot, event

from pipeline.dataroot import DataRoot
from pipeline.reports.deep.blobs import place_blob
from pipeline.reports.deep.findings import Findings
from pipeline.reports.deep.rows import RowChecks
from pipeline.reports.deep.scratch import Scratch
from pipeline.reports.deep.tables import FoundRow

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["\ud800", "a\0b", "../x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("schema_version", "record_type", "run_id", "ts_utc", "width", "content_hash", "content_size", "payload_hash",
          "blob_path", "window_ref", "cursor", "record_id")  # fmt: skip
SOUND: dict[str, Any] = {"schema_version": 1, "record_type": FRAME, "run_id": RUN, "ts_utc": MOMENT, "width": 1,
                         "height": 1, "content_hash": "0" * 64, "record_id": f"{RUN}/{FRAME}/0"}  # fmt: skip
PAYLOADS = st.dictionaries(st.sampled_from(FIELDS), ANYTHING).map(lambda new: json.dumps({**SOUND, **new}))
VALUES = st.none() | st.binary(max_size=50) | st.text(max_size=50) | st.integers() | st.floats()


@given(payload=PAYLOADS | VALUES, record_id=st.none() | st.just(f"{RUN}/{FRAME}/0") | VALUES, column=VALUES)
def test_any_row_becomes_findings(
    tmp_path_factory: Any, payload: str | bytes | int | float | None, record_id: Any, column: Any
) -> None:
    folder = Path(tmp_path_factory.getbasetemp())
    findings = Findings()
    claims = RowChecks(findings).check(FoundRow(record_id, payload, column, column, column))
    if claims is not None:
        blob = place_blob(DataRoot(folder), claims.record_id, claims.blob, findings) if claims.blob else None
        (folder / "scratch.db").unlink(missing_ok=True)
        with Scratch(folder) as scratch:
            scratch.add(claims.record_id, claims.references, blob)
            scratch.finish()
            list(scratch.unresolved())
    json.dumps(findings.as_dict())


@given(
    lines=st.lists(
        st.binary(max_size=40)
        | st.dictionaries(st.sampled_from(list(event(0))), ANYTHING).map(
            lambda new: json.dumps({**event(0), **new}).encode()
        )
        | ANYTHING.map(lambda item: json.dumps({"record_type": "ledger.entry", "entry_hash": "0", "x": item}).encode()),
        max_size=4,
    )
)
def test_any_log_becomes_findings(tmp_path_factory: Any, lines: list[bytes]) -> None:
    root = SidecarRoot.__new__(SidecarRoot)
    root.path = Path(tmp_path_factory.getbasetemp()) / "logs"
    root.file("journal.ndjson", b"\n".join(lines))
    root.file("ledger.ndjson", b"\n".join(lines))
    json.dumps(root.examine().as_dict())
