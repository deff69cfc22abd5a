"""Bundles that somebody made to do harm: each is refused in one sentence, and nothing in the DataRoot has changed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from bundle_builder import a_root, bundle_of, contents, everything, forge, lines_for, manifest_of
from handoff_builder import DAY, Handoff, ingest_one, rows, sha256

from pipeline.bundles.names import member_path
from pipeline.bundles.outcome import Watch
from pipeline.bundles.reading import BundleReader
from pipeline.bundles.restore import restore_bundle
from pipeline.bundles.verify import verify_bundle
from pipeline.bundles.zip_form import END_SIZE, MEMBERS
from pipeline.dataroot import DataRoot, rid
from pipeline.errors import ContractInvalid, ExitCode
from schemas.canonical import canonical_json, payload_hash

ROWS = 9
Members = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with nothing wrong in it."""
    place = tmp_path_factory.mktemp("good")
    return bundle_of(a_root(place), place / "good.zip")


@pytest.fixture(scope="module")
def members(good: Path) -> Members:
    return sorted(contents(good).items())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A DataRoot with evidence of its own."""
    handoff = Handoff(tmp_path / "own")
    handoff.frame("own", b"own picture")
    ingest_one(tmp_path / "b", handoff.path)
    return tmp_path / "b"


def assert_refused(bundle: Path, target: Path, match: str = "") -> None:
    """Refused by `verify` and by `restore` with exit 4 and one sentence; the DataRoot is as it was."""
    before = everything(target)
    with pytest.raises(ContractInvalid, match=match) as caught:
        restore_bundle(DataRoot(target), bundle)
    assert caught.value.exit_code is ExitCode.CONTRACT_INVALID
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.remedy
    assert everything(target) == before
    with pytest.raises(ContractInvalid):
        verify_bundle(bundle)
    with pytest.raises(ContractInvalid):
        restore_bundle(DataRoot(target), bundle, strict=False)
    assert everything(target) == before


def test_the_forger_can_make_a_good_one(good: Path, members: Members, tmp_path: Path) -> None:
    """Or else what follows would be refused for another reason."""
    assert forge(tmp_path / "x.zip", members, rows=ROWS).read_bytes() == good.read_bytes()


BAD_NAMES = [
    "../evil",
    "media/../../evil",
    "media/./x",
    "handoffs/x/../../../evil",
    "/etc/passwd",
    "//etc/passwd",
    "C:/evil",
    "C%3A/evil",
    "media/C:evil",
    "media\\..\\..\\evil",
    "media/x\\y",
    "handoffs/x/%2E%2E/%2E%2E/evil",
    "handoffs/x/a%2Fb",
    "handoffs/x/a%5cb",
    "handoffs/x/%00",
    "handoffs/x/nul\0",
    "handoffs/x/new\nline",
    "handoffs/x/%41",
    "handoffs/x/%",
    "handoffs/x/ä",
    "handoffs//y",
    "handoffs/x/",
    "handoffs/.tmp-ingest/x",
    "media/.tmp-ingest/x",
    "media",
    "Media/x",
    "METADATA.DB",
    "Journal.ndjson",
    "metadata.db/x",
    "metadata.db-wal",
    "journal.ndjson/x",
    "derived/catalog.db",
    "index/text.db",
    "logs/x",
    "keys/secret",
    "reap_eligible.json",
    "bundle.json",
    "members.ndjson",
    ".",
    "..",
    "handoffs/x/" + "n" * 256,
    "handoffs/x/" + "d/" * 90 + "e",
    "handoffs/x/" + "/".join(["n" * 250] * 20),
]


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda name: repr(name)[:40])
def test_names_that_no_data_root_has_are_refused(name: str, members: Members, target: Path, tmp_path: Path) -> None:
    try:
        bundle = forge(tmp_path / "x.zip", sorted([*members, (name, b"evil")]), rows=ROWS)
    except UnicodeEncodeError:  # the form itself is ASCII
        with pytest.raises(ContractInvalid):
            member_path(name)
        return
    assert_refused(bundle, target, "the bundle")
    assert not list(tmp_path.parent.glob("evil"))


Twist = Callable[[bytes], bytes]


def replaced(old: bytes, new: bytes) -> Twist:
    def twist(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return twist


def at(offset: int, value: bytes) -> Twist:
    def twist(data: bytes) -> bytes:
        return data[:offset] + value + data[offset + len(value) :]

    return twist


LIES: dict[str, dict[str, Any]] = {
    "encrypted, says the local header": {"local": at(6, b"\1\0")},
    "encrypted, says the directory": {"central": at(8, b"\1\0")},
    "deflated, says the local header": {"local": at(8, b"\x08\0")},
    "deflated, says the directory": {"central": at(10, b"\x08\0")},
    "a data descriptor follows": {"local": at(6, b"\x08\0")},
    "a symbolic link": {"central": at(38, struct.pack("<I", 0o120777 << 16))},
    "a device": {"central": at(38, struct.pack("<I", 0o020600 << 16))},
    "a directory": {"central": at(38, struct.pack("<I", 0o040700 << 16))},
    "a set-user-id program": {"central": at(38, struct.pack("<I", 0o104755 << 16))},
    "another checksum": {"local": at(14, b"\0\0\0\0")},
    "another checksum in the directory": {"central": at(16, b"\0\0\0\0")},
    "another name in the local header": {"local": replaced(b"handoffs/", b"handoffz/")},
    "another name in the directory": {"central": replaced(b"handoffs/", b"handoffz/")},
    "a larger size in the local header": {"local": lambda data: data[:-16] + struct.pack("<2Q", 2**40, 2**40)},
    "a larger size in the directory": {"central": lambda data: data[:-24] + struct.pack("<3Q", 2**63, 2**63, 0)},
    "another place: two members overlap": {"central": lambda data: data[:-8] + struct.pack("<Q", 64)},
    "another disk": {"central": at(34, b"\1\0")},
    "a comment": {"end": lambda data: data + b"comment"},
    "a comment that is told of": {"end": lambda data: data[:-2] + b"\7\0comment"},
    "more members than there can be": {"end": at(24, struct.pack("<2Q", 2**64 - 1, 2**64 - 1))},
    "two counts that differ": {"end": at(24, struct.pack("<Q", 1))},
    "a million members": {"end": at(24, struct.pack("<2Q", 10**6, 10**6))},
    "a directory beyond the end": {"end": at(48, struct.pack("<Q", 2**63))},
    "a directory of all sizes": {"end": at(40, struct.pack("<Q", 2**64 - 1))},
    "no zip64 end": {"end": lambda data: data[76:]},
    "two ends": {"end": lambda data: data + data},
}


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_say_anything_else_are_refused(lie: str, members: Members, target: Path, tmp_path: Path) -> None:
    assert_refused(forge(tmp_path / "x.zip", members, rows=ROWS, **LIES[lie]), target, "cannot be trusted")


def test_a_member_that_is_there_twice_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    assert_refused(forge(tmp_path / "x.zip", [members[0], *members], rows=ROWS), target, "there twice")


def test_members_out_of_order_are_refused(members: Members, target: Path, tmp_path: Path) -> None:
    assert_refused(forge(tmp_path / "x.zip", members[::-1], rows=ROWS), target, "not in order")


def test_a_file_that_is_a_folder_too_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    both = [("handoffs/x/a", b"1"), ("handoffs/x/a-b", b"2"), ("handoffs/x/a/c", b"3")]
    assert_refused(forge(tmp_path / "x.zip", sorted([*members, *both]), rows=ROWS), target, "a file and a folder")


def test_a_member_that_the_manifest_does_not_name_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    more = sorted([*members, ("handoffs/x/smuggled", b"evil")])
    lines = lines_for(members)
    assert_refused(forge(tmp_path / "x.zip", more, rows=ROWS, lines=lines), target, "cannot be trusted")


def test_a_member_that_only_the_manifest_names_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    lines = lines_for(sorted([*members, ("handoffs/x/missing", b"")]))
    assert_refused(forge(tmp_path / "x.zip", members, rows=ROWS, lines=lines), target, "cannot be trusted")


def test_a_content_that_the_manifest_does_not_mean_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    changed = [(name, data[::-1] if name.startswith("media/") else data) for name, data in members]
    bundle = forge(tmp_path / "x.zip", changed, rows=ROWS, lines=lines_for(members))
    assert_refused(bundle, target, "does not hash to what the manifest says")


BAD_LINES = {
    "no JSON": b"evil\n",
    "another spelling": b'{"path": "journal.ndjson","sha256":"%s","size":0}\n' % (b"0" * 64),
    "a field more": b'{"evil":1,"path":"journal.ndjson","sha256":"%s","size":0}\n' % (b"0" * 64),
    "a negative size": b'{"path":"journal.ndjson","sha256":"%s","size":-1}\n' % (b"0" * 64),
    "a size beyond 63 bits": b'{"path":"journal.ndjson","sha256":"%s","size":9223372036854775808}\n' % (b"0" * 64),
    "a size of a petabyte": b'{"path":"journal.ndjson","sha256":"%s","size":1125899906842624}\n' % (b"0" * 64),
    "a name of a megabyte": b'{"path":"%s","sha256":"%s","size":0}\n' % (b"n" * 10**6, b"0" * 64),
    "no end": b'{"path":"journal.ndjson","sha256":"%s","size":0}' % (b"0" * 64),
    "nested deeply": b"[" * 10_000 + b"\n",
    "empty": b"\n",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_lines_of_another_form_are_refused(line: str, members: Members, target: Path, tmp_path: Path) -> None:
    lines = BAD_LINES[line] + lines_for(members)
    assert_refused(forge(tmp_path / "x.zip", members, rows=ROWS, lines=lines), target, "cannot be trusted")


BAD_MANIFESTS: dict[str, tuple[dict[str, Any], str]] = {
    "another schema": ({"schema": "autocapture.bundle.v9"}, "not of its form"),
    "another contract": ({"contract_version": "2.0"}, "is of contract 2.0; this pipeline reads"),
    "a field more": ({"evil": 1}, "not of its form"),
    "another hash": ({"members_sha256": "0" * 64}, "not those that"),
    "too many faults": ({"faults": ["x"] * 101}, "not of its form"),
}


@pytest.mark.parametrize("manifest", BAD_MANIFESTS)
def test_manifests_of_another_form_are_refused(manifest: str, members: Members, target: Path, tmp_path: Path) -> None:
    fields, match = BAD_MANIFESTS[manifest]
    assert_refused(forge(tmp_path / "x.zip", members, rows=ROWS, manifest=fields), target, match)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[" * 100_000, b"null\n", b'{"schema":"' + b"x" * 300_000], ids=lambda raw: repr(raw)[:12]
)
def test_manifests_that_are_none_are_refused(raw: bytes, members: Members, target: Path, tmp_path: Path) -> None:
    assert_refused(forge(tmp_path / "x.zip", members, rows=ROWS, raw_manifest=raw), target, "cannot be trusted")


@pytest.mark.parametrize("count", ["rows", "media_files", "other_files", "bytes"])
def test_counts_that_are_not_so_are_refused(
    count: str, good: Path, members: Members, target: Path, tmp_path: Path
) -> None:
    counts = manifest_of(good)["counts"]
    counts[count] += 1
    assert_refused(forge(tmp_path / "x.zip", members, rows=ROWS, manifest={"counts": counts}), target, "the bundle")


@pytest.mark.parametrize("stride", [29, pytest.param(1, marks=pytest.mark.slow)])
def test_every_byte_counts(good: Path, stride: int, tmp_path: Path) -> None:
    """Whichever byte is another one, it is noticed."""
    data = good.read_bytes()
    bundle = tmp_path / "x.zip"
    for position in range(0, len(data), stride):
        bundle.write_bytes(at(position, bytes([data[position] ^ 0x20]))(data))
        with pytest.raises(ContractInvalid):
            walk(bundle)


def test_cut_short_anywhere_it_is_refused(good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    bundle = tmp_path / "x.zip"
    for length in [*range(0, len(data), 101), *range(len(data) - 2 * END_SIZE, len(data))]:
        bundle.write_bytes(data[:length])
        with pytest.raises(ContractInvalid, match="cut short"):
            walk(bundle)


@pytest.mark.parametrize("extra", [b"x", b"PK\3\4", bytes(10_000)], ids=["a byte", "a header", "a program's worth"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_more_bytes_than_there_should_be_are_refused(
    good: Path, extra: bytes, before: bool, target: Path, tmp_path: Path
) -> None:
    data = good.read_bytes()
    (tmp_path / "x.zip").write_bytes(extra + data if before else data + extra)
    assert_refused(tmp_path / "x.zip", target, "cannot be trusted")


def walk(bundle: Path) -> None:
    """Prove all members, as every use of a bundle does first."""
    with BundleReader(bundle) as reader:
        for _ in reader.walk():
            pass


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_compression_bomb_is_refused_unopened(method: int, target: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("media/bomb", bytes(50_000_000))
    assert (tmp_path / "x.zip").stat().st_size < 100_000
    assert_refused(tmp_path / "x.zip", target, "no bundle of `pipeline bundle create`")


def test_an_honest_zip_of_the_same_files_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, data in members:
            archive.writestr(name, data)
    assert_refused(tmp_path / "x.zip", target, "no bundle of `pipeline bundle create`")


def test_thousands_of_tiny_members_in_a_zip_of_another_form_are_not_even_listed(target: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(5_000):
            archive.writestr(f"handoffs/x/{number}", b"")
    assert_refused(tmp_path / "x.zip", target, "no bundle of `pipeline bundle create`")


@pytest.mark.parametrize("kind", ["empty", "directory", "fifo", "missing"])
def test_what_is_no_file_is_refused(kind: str, target: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    makers: dict[str, Callable[[], object]] = {
        "empty": path.touch,
        "directory": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "missing": lambda: None,
    }
    makers[kind]()
    assert_refused(path, target, "there is no file" if kind == "missing" else "cannot be trusted")


def with_database(members: Members, change: Callable[[sqlite3.Connection], object], tmp_path: Path) -> Members:
    """The members, the rows changed."""
    path = tmp_path / "changed.db"
    path.write_bytes(dict(members)["metadata.db"])
    with closing(sqlite3.connect(path)) as connection, connection:
        change(connection)
    return [(name, path.read_bytes() if name == "metadata.db" else data) for name, data in members]


def database_of(fixture: Path) -> bytes:
    return (fixture / "metadata.db").read_bytes()


def test_no_database_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    others = [(name, data) for name, data in members if name != "metadata.db"]
    assert_refused(forge(tmp_path / "x.zip", others, rows=0), target, "has no metadata.db")


@pytest.mark.parametrize("defect", ["view_named_metadata", "not_sqlite"])
def test_a_hostile_database_is_refused_as_a_handoffs_is(
    defect: str, members: Members, fixtures: Path, target: Path, tmp_path: Path
) -> None:
    hostile = database_of(fixtures / defect)
    changed = [(name, hostile if name == "metadata.db" else data) for name, data in members]
    assert_refused(forge(tmp_path / "x.zip", changed, rows=ROWS), target, r"metadata\.db")


def test_a_damaged_database_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    good = dict(members)["metadata.db"]
    torn = good[:4096] + bytes(4096) + good[8192:]
    changed = [(name, torn if name == "metadata.db" else data) for name, data in members]
    assert_refused(forge(tmp_path / "x.zip", changed, rows=ROWS), target, r"metadata\.db")


def record(record_type: str, record_id: str, run_id: str, **fields: Any) -> tuple[str, str, str, str, str]:
    moment = f"{DAY}T10:00:00.000Z"
    body = {"schema_version": 1, "record_type": record_type, "run_id": run_id, "ts_utc": moment, **fields}
    body["payload_hash"] = payload_hash(body)
    return record_id, json.dumps(body), record_type, moment, run_id


OTHER = "run-1/evidence.window.meta/0"
FORGED = {
    "a frame may be let go of that is none": record(
        "retention.eligible", f"run-1/retention.eligible/{rid(OTHER)}", "run-1",
        source_record_id=OTHER, stage1_contract_validated=True, quarantine_pending=False,
    ),
    "a frame is complete that is not there": record(
        "derived.ingest.stage1.complete", f"run-1/derived.ingest.stage1.complete/{rid('run-1/x/9')}", "run-1",
        source_record_id="run-1/x/9", source_record_type="evidence.capture.frame", complete=True,
    ),
}  # fmt: skip
MISNAMED = {
    "a statement under another id": record(
        "retention.eligible", "run-1/retention.eligible/other", "run-1",
        source_record_id=OTHER, stage1_contract_validated=True, quarantine_pending=False,
    ),
    "a statement of another run": record(
        "retention.eligible", f"run-2/retention.eligible/{rid(OTHER)}", "run-2",
        source_record_id=OTHER, stage1_contract_validated=True, quarantine_pending=False,
    ),
    "a completion without its fields": record(
        "system.ingest.handoff.completed", f"system.ingest/system.ingest.handoff.completed/{'0' * 64}", "system.ingest",
    ),
    "a record of Stage 1's run that it does not write": record("x.y", "system.ingest/x.y/0", "system.ingest"),
    "one that is dressed as another type": record("x.y", "run-1/retention.eligible/x", "run-1"),
}  # fmt: skip


def insert(row: tuple[str, ...]) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", row)


@pytest.mark.parametrize("forged", MISNAMED)
def test_records_that_stage_1_would_not_have_written_are_refused(
    forged: str, members: Members, target: Path, tmp_path: Path
) -> None:
    changed = with_database(members, insert(MISNAMED[forged]), tmp_path)
    assert_refused(forge(tmp_path / "x.zip", changed, rows=ROWS + 1), target, "Stage 1 would not have written")


@pytest.mark.parametrize("forged", FORGED)
def test_a_frame_is_not_let_go_of_because_a_bundle_says_so(
    forged: str, members: Members, target: Path, tmp_path: Path
) -> None:
    """Believed, the sidecar would delete its copy."""
    changed = with_database(members, insert(FORGED[forged]), tmp_path)
    bundle = forge(tmp_path / "x.zip", changed, rows=ROWS + 1)
    before = everything(target)
    with pytest.raises(ContractInvalid, match="which it is not in this bundle"):
        restore_bundle(DataRoot(target), bundle)
    assert everything(target) == before
    outcome = restore_bundle(DataRoot(target), bundle, strict=False)
    assert outcome.quarantined == 1
    assert FORGED[forged][0] not in rows(target)


def test_a_frame_without_its_blob_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    blob = next(name for name, _ in members if name.startswith("media/"))
    others = [(name, data) for name, data in members if name != blob]
    with pytest.raises(ContractInvalid, match="its blob is missing"):
        restore_bundle(DataRoot(target), forge(tmp_path / "x.zip", others, rows=ROWS))


def test_a_blob_that_is_not_the_rows_is_refused(members: Members, target: Path, tmp_path: Path) -> None:
    changed = [(name, data[::-1] if name.startswith("media/") else data) for name, data in members]
    with pytest.raises(ContractInvalid, match="its blob does not hash to its content_hash"):
        restore_bundle(DataRoot(target), forge(tmp_path / "x.zip", changed, rows=ROWS))


@pytest.mark.parametrize("change", ["lost", "changed", "added"])
def test_a_handoffs_kept_files_must_be_those_that_were_kept(
    change: str, members: Members, target: Path, tmp_path: Path
) -> None:
    kept = next(name for name, _ in members if name.startswith("handoffs/"))
    by_name = dict(members)
    if change == "lost":
        del by_name[kept]
    else:
        by_name[kept if change == "changed" else f"{kept}.more"] = b"evil"
    with pytest.raises(ContractInvalid, match="files kept of the handoff"):
        restore_bundle(DataRoot(target), forge(tmp_path / "x.zip", sorted(by_name.items()), rows=ROWS))


def test_one_blob_is_not_multiplied_by_rows_that_point_at_it(members: Members, target: Path, tmp_path: Path) -> None:
    """A frame's blob is taken from its own place alone, so what a bundle writes is no more than what it holds."""
    blob = next((name, data) for name, data in members if name.startswith("media/"))
    rows_of = [
        record(
            "evidence.capture.frame", f"run-1/evidence.capture.frame/m{number}", "run-1",
            width=8, height=6, content_type="image/png", content_hash=sha256(blob[1]), blob_path=blob[0],
        )
        for number in range(50)
    ]  # fmt: skip
    changed = with_database(
        members, lambda database: database.executemany("INSERT INTO metadata VALUES (?, ?, ?, ?, ?)", rows_of), tmp_path
    )
    with pytest.raises(ContractInvalid, match=r"its blob is missing.*and 47 more"):
        restore_bundle(DataRoot(target), forge(tmp_path / "x.zip", changed, rows=ROWS + 50))


def test_a_bundle_that_changes_between_check_and_copy_brings_no_row(good: Path, target: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "x.zip"
    shutil.copyfile(good, bundle)
    before = rows(target)

    def change(what: str, _: int) -> None:
        if what == "restore":
            data = bytearray(bundle.read_bytes())
            data[data.index(b" picture ")] ^= 1
            with bundle.open("r+b") as file:
                file.write(data)

    with pytest.raises(ContractInvalid, match="cannot be trusted"):
        restore_bundle(DataRoot(target), bundle, watch=Watch(start=change))
    assert rows(target) == before
    assert restore_bundle(DataRoot(target), good).exit_code is ExitCode.OK


def test_the_members_file_cannot_vouch_for_itself(members: Members, target: Path, tmp_path: Path) -> None:
    lines = lines_for(members) + canonical_json({"path": MEMBERS, "sha256": "0" * 64, "size": 0}) + b"\n"
    assert_refused(forge(tmp_path / "x.zip", members, rows=ROWS, lines=lines), target, "cannot be trusted")
