"""All that can be wrong with a DataRoot that a sidecar filled, each made in a few lines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from sidecar_root import FRAME, MOMENT, RUN, WINDOW, SidecarRoot, sha256


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def break_payload_hash(root: SidecarRoot) -> str:
    root.execute("UPDATE metadata SET payload = replace(payload, '\"a\"', '\"b\"')")
    return f"{RUN}/{WINDOW}/0"


def payload_is_no_json(root: SidecarRoot) -> str:
    root.row(f"{RUN}/x/9", "{ torn", "x")
    return f"{RUN}/x/9"


def required_field_is_missing(root: SidecarRoot) -> str:
    return f"{root.frame('9', width=None)}: unusable fields: width"


def no_schema_version(root: SidecarRoot) -> str:
    return f"{root.record('x', '9', schema_version=None)}: unusable fields: schema_version"


def optional_field_is_damaged(root: SidecarRoot) -> str:
    return f"{root.frame('9', cursor={'x': 'left', 'y': 1})}: cursor"


def no_hash(root: SidecarRoot) -> str:
    return root.record("x", "9", payload_hash=None)


def no_time(root: SidecarRoot) -> str:
    return root.record("x", "9", ts_utc=None)


def year_one(root: SidecarRoot) -> str:
    return root.record("x", "9", ts_utc="0001-01-01T00:00:00Z")


def float_in_payload(root: SidecarRoot) -> str:
    return root.record("x", "9", ratio=0.5, payload_hash="0" * 64)


def id_of_another_run(root: SidecarRoot) -> str:
    body = {"schema_version": 1, "record_type": "x", "run_id": RUN, "ts_utc": MOMENT, "content_hash": "0" * 64}
    root.row("run-2/x/9", json.dumps(body), "x")
    return "run-2/x/9"


def id_is_a_blob(root: SidecarRoot) -> str:
    root.row(b"\xff", "{}", "x")
    return ""


def columns_say_otherwise(root: SidecarRoot) -> str:
    root.execute("UPDATE metadata SET ts_utc = '2026-03-02T10:00:00Z' WHERE record_type = ?", WINDOW)
    return f"{RUN}/{WINDOW}/0"


def reference_to_nothing(root: SidecarRoot) -> str:
    return root.frame("9", uia_ref={"record_id": f"{RUN}/gone"})


def reference_is_no_id(root: SidecarRoot) -> str:
    return root.frame("9", uia_ref={"record_id": 7})


def blob_is_gone(root: SidecarRoot) -> str:
    root.blob("1").unlink()
    return f"{RUN}/{FRAME}/1"


def blob_is_longer(root: SidecarRoot) -> str:
    append(root.blob("1"), b"x")
    return f"{RUN}/{FRAME}/1"


def blob_is_another(root: SidecarRoot) -> str:
    root.blob("1").write_bytes(b"\x89PNG\r\n\x1a\n2")
    return f"{RUN}/{FRAME}/1"


def blob_is_a_link(root: SidecarRoot) -> str:
    moved = root.blob("1").rename(root.path / "elsewhere")
    root.blob("1").symlink_to(moved)
    return f"{RUN}/{FRAME}/1"


def blob_is_a_fifo(root: SidecarRoot) -> str:
    root.blob("1").unlink()
    os.mkfifo(root.blob("1"))
    return f"{RUN}/{FRAME}/1"


def folder_leads_outside(root: SidecarRoot) -> str:
    folder = root.blob("1").parent
    folder.rename(root.path.parent / "outside")
    folder.symlink_to(root.path.parent / "outside")
    return f"{RUN}/{FRAME}/0"


def blob_elsewhere(root: SidecarRoot) -> str:
    root.file("pictures/9.png", b"p")
    return root.frame("9", has_blob=False, blob_path="pictures/9.png", content_hash=sha256(b"p"), content_size=1)


def blob_path_leads_out(root: SidecarRoot) -> str:
    return root.frame("9", has_blob=False, blob_path="../../etc/passwd")


def blob_of_nobody(root: SidecarRoot) -> str:
    root.file("media/rid_x/evidence/2026/03/01/rid_y.blob", b"y")
    return "media/rid_x/evidence/2026/03/01/rid_y.blob"


def link_in_media(root: SidecarRoot) -> str:
    (root.path / "media/link").symlink_to("/")
    return "media/link"


def too_long_an_id(root: SidecarRoot) -> str:
    return root.frame("9" * 200, has_blob=False)[:200] + "…"


def no_journal(root: SidecarRoot) -> str:
    (root.path / "journal.ndjson").unlink()
    return ""


def second_journal(root: SidecarRoot) -> str:
    root.journal(0, path="audit/journal.ndjson")
    return "audit/journal.ndjson"


def journal_line_is_none(root: SidecarRoot) -> str:
    append(root.journal(0, 1), b"{}\n")
    return "journal.ndjson:3"


def journal_runs_backwards(root: SidecarRoot) -> str:
    root.journal(0, 2, 1, 3)
    return "journal.ndjson:3"


def journal_of_another_run(root: SidecarRoot) -> str:
    root.journal(0, event_id="other/0")
    return "journal.ndjson:1"


def journal_with_spaces(root: SidecarRoot) -> str:
    path = root.journal(0)
    path.write_bytes(path.read_bytes().replace(b'"sequence":0', b'"sequence": 0'))
    return "journal.ndjson:1"


def journal_is_torn(root: SidecarRoot) -> str:
    path = root.journal(0, 1)
    path.write_bytes(path.read_bytes()[:-20])
    return "journal.ndjson:2"


def ledger_entry_changed(root: SidecarRoot) -> str:
    entries = root.ledger(4)
    entries[2]["stage"] = "other"
    root.write_ledger(entries)
    return "ledger.ndjson:3"


def ledger_entry_taken_out(root: SidecarRoot) -> str:
    entries = root.ledger(4)
    root.write_ledger([*entries[:1], *entries[2:]])
    return "ledger.ndjson:2"


def ledger_begins_late(root: SidecarRoot) -> str:
    root.write_ledger(root.ledger(4)[1:])
    return "ledger.ndjson:1"


def ledger_with_a_float(root: SidecarRoot) -> str:
    entries = root.ledger(2)
    root.file("ledger.ndjson", json.dumps({**entries[0], "payload": {"x": 0.5}}).encode() + b"\n")
    return "ledger.ndjson:1"


def ledger_line_is_none(root: SidecarRoot) -> str:
    root.ledger(1)
    append(root.path / "ledger.ndjson", b'{"entry_hash": 1}\n')
    return "ledger.ndjson:2"


def ledger_is_torn(root: SidecarRoot) -> str:
    root.ledger(2)
    path = root.path / "ledger.ndjson"
    path.write_bytes(path.read_bytes()[:-1])
    return "ledger.ndjson:2"


def second_ledger(root: SidecarRoot) -> str:
    root.ledger(1, path="logs/deep/trail.jsonl")
    return "logs/deep/trail.jsonl"


def damaged_log_elsewhere(root: SidecarRoot) -> str:
    root.file("handoffs/h/journal.ndjson", b"{}\n")
    return "handoffs/h/journal.ndjson"


def no_signal(root: SidecarRoot) -> str:
    (root.path / "activity/activity_signal.json").unlink()
    return ""


def signal_is_malformed(root: SidecarRoot) -> str:
    root.signal(user_active="no")
    return ""


def signal_of_the_future(root: SidecarRoot) -> str:
    root.signal(ts_utc="2999-01-01T00:00:00Z")
    return ""


def uia_without_digest(root: SidecarRoot) -> str:
    (root.path / "uia/latest.snap.sha256").unlink()
    return ""


def uia_is_another(root: SidecarRoot) -> str:
    root.file("uia/latest.snap.sha256", b"0" * 64)
    return ""


def uia_is_none(root: SidecarRoot) -> str:
    root.file("uia/latest.snap.json", b"[]")
    root.file("uia/latest.snap.sha256", sha256(b"[]").encode())
    return ""


def another_contract(root: SidecarRoot) -> str:
    root.file("contract.json", b'{"contract_version": "99.0"}')
    return ""


def no_contract(root: SidecarRoot) -> str:
    (root.path / "contract.json").unlink()
    return ""


def metadata_is_gone(root: SidecarRoot) -> str:
    (root.path / "metadata.db").unlink()
    return "metadata.db"


def metadata_is_a_directory(root: SidecarRoot) -> str:
    (root.path / "metadata.db").unlink()
    (root.path / "metadata.db").mkdir()
    return "metadata.db"


def media_is_a_link(root: SidecarRoot) -> str:
    (root.path / "media").rename(root.path / "elsewhere")
    (root.path / "media").symlink_to("elsewhere")
    return "media"


CASES: dict[str, list[Callable[[SidecarRoot], str]]] = {
    "payload_hash_differs": [break_payload_hash],
    "payload_unreadable": [payload_is_no_json],
    "record_incomplete": [required_field_is_missing, no_schema_version],
    "field_damaged": [optional_field_is_damaged],
    "record_no_hash": [no_hash],
    "record_time": [no_time],
    "time_implausible": [year_one],
    "payload_hash_unverifiable": [float_in_payload],
    "id_prefix": [id_of_another_run],
    "id_not_text": [id_is_a_blob],
    "columns_differ": [columns_say_otherwise],
    "reference_unresolved": [reference_to_nothing],
    "reference_damaged": [reference_is_no_id],
    "blob_missing": [blob_is_gone],
    "blob_size_differs": [blob_is_longer],
    "blob_hash_differs": [blob_is_another],
    "blob_not_a_file": [blob_is_a_link, blob_is_a_fifo],
    "blob_outside": [folder_leads_outside],
    "blob_path_differs": [blob_elsewhere],
    "blob_path_unusable": [blob_path_leads_out],
    "blob_orphan": [blob_of_nobody],
    "media_not_a_file": [link_in_media],
    "id_too_long": [too_long_an_id],
    "journal_missing": [no_journal],
    "journal_several": [second_journal],
    "journal_line": [journal_line_is_none],
    "journal_sequence": [journal_runs_backwards],
    "journal_event_id": [journal_of_another_run],
    "journal_not_canonical": [journal_with_spaces],
    "journal_torn": [journal_is_torn],
    "ledger_hash": [ledger_entry_changed, ledger_with_a_float],
    "ledger_chain": [ledger_entry_taken_out],
    "ledger_start": [ledger_begins_late],
    "ledger_line": [ledger_line_is_none],
    "ledger_torn": [ledger_is_torn],
    "ledger_several": [second_ledger],
    "log_elsewhere_damaged": [damaged_log_elsewhere],
    "signal_missing": [no_signal],
    "signal_malformed": [signal_is_malformed],
    "signal_stale": [signal_of_the_future],
    "uia_digest_missing": [uia_without_digest],
    "uia_digest_differs": [uia_is_another],
    "uia_damaged": [uia_is_none],
    "contract_refused": [another_contract],
    "contract_unclear": [no_contract],
    "metadata_missing": [metadata_is_gone],
    "layout_not_a_file": [metadata_is_a_directory],
    "layout_link": [media_is_a_link],
}
"""By the code under which each is told: ways to break a whole DataRoot; each returns an example that is named."""
