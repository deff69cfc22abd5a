"""Every code that `doctor --deep` and `verify` can give: what it means, how grave it is, what mends it.

Codes are stable: programs go by them. `docs/operating.md` lists them; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, FAILURE = "ok", "warning", "failure"


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding. A failure makes the DataRoot not ok; a warning does not."""

    check: str
    level: str
    message: str
    remedy: str


_PRODUCER = "have the producer write it as docs/compatibility.md and `pipeline contract` say"
_RESTORE = "restore it from a backup; the evidence itself cannot be computed again"

CODES: dict[str, Code] = {
    "metadata_missing": Code("layout", FAILURE, "there is no metadata.db", "point --data-root at the DataRoot"),
    "layout_not_a_file": Code("layout", FAILURE, "something else lies where a file or directory must be", "remove it"),
    "layout_link": Code("layout", WARNING, "a symbolic link stands for a part of the DataRoot",
                        "put the file or directory itself there"),
    "layout_unreadable": Code("layout", FAILURE, "a file or directory cannot be read", "mend its permissions"),
    "database_unreadable": Code("database", FAILURE, "metadata.db cannot be read as a SQLite database", _RESTORE),
    "database_damaged": Code("database", FAILURE, "SQLite's own check of metadata.db fails", _RESTORE),
    "database_busy": Code("database", FAILURE, "metadata.db kept changing while it was copied",
                          "try again while the producer is quiet"),
    "variant_none": Code("variant", FAILURE, "metadata.db holds neither Variant A nor Variant B in readable form",
                         "have the producer write a readable table metadata (Variant A) or records (Variant B)"),
    "metadata_encrypted": Code("variant", WARNING, "the payloads of the table metadata cannot be read: encrypted?",
                               "none needed where the table records holds the same evidence"),
    "id_not_text": Code("records", FAILURE, "a record's id is missing or no text", _PRODUCER),
    "id_duplicate": Code("records", FAILURE, "an id is there more than once", _PRODUCER),
    "id_prefix": Code("records", FAILURE, "an id does not begin with its record's run_id", _PRODUCER),
    "payload_unreadable": Code("records", FAILURE, "a payload is no readable JSON object", _PRODUCER),
    "record_incomplete": Code("records", FAILURE, "a record lacks a required field, or it is damaged", _PRODUCER),
    "record_no_hash": Code("records", FAILURE, "a record has neither content_hash nor payload_hash", _PRODUCER),
    "record_time": Code("records", FAILURE, "a record has no time that can be read", _PRODUCER),
    "field_damaged": Code("records", WARNING, "an optional field is damaged, and left aside", _PRODUCER),
    "time_implausible": Code("records", WARNING, "a record's time lies outside the years 2000 to 2100",
                             "set the producer's clock"),
    "columns_differ": Code("records", WARNING, "a row's columns say something else than its payload", _PRODUCER),
    "payload_hash_differs": Code("payload hashes", FAILURE, "a payload does not hash to its payload_hash",
                                 "find out who changed it; " + _RESTORE),
    "payload_hash_unverifiable": Code("payload hashes", WARNING, "a payload holds a float, so its hash proves nothing",
                                      "have the producer write integers where a record is hashed"),
    "reference_damaged": Code("references", FAILURE, "a *_ref field names no record", _PRODUCER),
    "reference_unresolved": Code("references", FAILURE, "a record refers to one that is not there",
                                 "hand off the record that is missing: pipeline ingest PATH"),
    "blob_missing": Code("blobs", FAILURE, "a record's blob is not there", _RESTORE),
    "blob_not_a_file": Code("blobs", FAILURE, "a link, a directory or a device lies in a blob's place", _RESTORE),
    "blob_unreadable": Code("blobs", FAILURE, "a blob cannot be read", "mend its permissions, or the disk"),
    "blob_outside": Code("blobs", FAILURE, "a blob is reached through a link that leads out of the DataRoot",
                         "put the blob itself into the DataRoot"),
    "blob_size_differs": Code("blobs", FAILURE, "a blob has another size than its record says", _RESTORE),
    "blob_hash_differs": Code("blobs", FAILURE, "a blob does not hash to its record's content_hash", _RESTORE),
    "blob_path_differs": Code("blobs", WARNING, "a blob lies where blob_path says, not in its canonical place",
                              "none needed: it is read from there"),
    "blob_path_unusable": Code("blobs", WARNING, "a blob_path names no place inside the DataRoot", _PRODUCER),
    "id_too_long": Code("blobs", FAILURE, "an id is too long to name a blob", _PRODUCER),
    "blob_orphan": Code("orphan blobs", WARNING, "a file in media/ belongs to no record",
                        "none needed: it may belong to a row that is yet to come"),
    "media_not_a_file": Code("orphan blobs", WARNING, "media/ holds a link or a device", "remove it"),
    "journal_missing": Code("journal", WARNING, "there is no journal", _PRODUCER),
    "journal_several": Code("journal", WARNING, "there are several journals", "keep one, at journal.ndjson"),
    "journal_line": Code("journal", FAILURE, "a line of the journal is no event", _PRODUCER),
    "journal_sequence": Code("journal", FAILURE, "the journal's sequence does not rise", "find out who changed it"),
    "journal_event_id": Code("journal", FAILURE, "an event_id does not begin with its run_id", _PRODUCER),
    "journal_not_canonical": Code("journal", WARNING, "a line of the journal is not canonical JSON", _PRODUCER),
    "journal_torn": Code("journal", WARNING, "the journal's last line is torn", "none needed: the next event mends it"),
    "journal_event_missing": Code("journal", FAILURE, "the journal has no event for a handoff that was completed",
                                  "pipeline ingest HANDOFF writes it again; else restore the journal from a backup"),
    "ledger_several": Code("ledger", WARNING, "there are several ledgers", "keep one, at ledger.ndjson"),
    "ledger_line": Code("ledger", FAILURE, "a line of the ledger is no entry", _PRODUCER),
    "ledger_hash": Code("ledger", FAILURE, "a ledger entry does not hash to its entry_hash", "find out who changed it"),
    "ledger_chain": Code("ledger", FAILURE, "the ledger's hash chain breaks", "find out what was taken out, or put in"),
    "ledger_start": Code("ledger", WARNING, "the ledger's first entry follows one that is not there",
                         "keep older parts of the ledger beside it"),
    "ledger_torn": Code("ledger", WARNING, "the ledger's last line is torn", "none needed: the next entry mends it"),
    "log_elsewhere_damaged": Code("other logs", WARNING, "another journal or ledger has faulty lines", _PRODUCER),
    "search_cut_short": Code("other logs", WARNING, "there are more directories than are searched for logs",
                             "keep journal and ledger at the DataRoot's top"),
    "signal_missing": Code("activity signal", WARNING, "there is no activity signal", "start the sidecar"),
    "signal_stale": Code("activity signal", WARNING, "the activity signal is not of now",
                         "start the sidecar, and set its clock"),
    "signal_malformed": Code("activity signal", FAILURE, "the activity signal cannot be read as one", _PRODUCER),
    "signal_seq": Code("activity signal", FAILURE, "the activity signal's seq ran backwards", _PRODUCER),
    "signal_in_place": Code("activity signal", FAILURE, "the activity signal is written in place, not replaced",
                            "have the producer write a temporary file and rename it"),
    "uia_digest_missing": Code("uia snapshot", WARNING, "uia/latest.snap.json has no latest.snap.sha256 beside it",
                               "have the producer write it: the snapshot is not used without"),
    "uia_digest_differs": Code("uia snapshot", FAILURE, "uia/latest.snap.json does not hash to latest.snap.sha256",
                               _PRODUCER),
    "uia_damaged": Code("uia snapshot", WARNING, "uia/latest.snap.json is no UIA snapshot", _PRODUCER),
    "contract_refused": Code("contract", FAILURE, "contract.json is of a contract that we do not read",
                             "see docs/compatibility.md"),
    "contract_unclear": Code("contract", WARNING, "contract.json is missing, newer, or of a draft",
                             "see docs/compatibility.md"),
    "faulty_when_ingested": Code("records", WARNING, "a record was incomplete or lacked its blob when it was ingested",
                                 "hand it off again whole"),
    "kept_file_changed": Code("kept files", FAILURE, "a file kept from a handoff is not what was ingested", _RESTORE),
    "kept_file_missing": Code("kept files", FAILURE, "a file kept from a handoff is gone", _RESTORE),
    "kept_file_touched": Code("kept files", WARNING, "a file kept from a handoff was written after it was ingested",
                              "compare it with a backup"),
}  # fmt: skip
