"""A bundle of a DataRoot, and the DataRoot that comes of it."""

from __future__ import annotations

import json
import os
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from bundle_builder import a_root, bundle_of, contents, everything, manifest_of, owner_only
from command_line import RunCli
from handoff_builder import VARIANT_A, Handoff, ingest_one, journal, kept, of_type, rows, sha256, whole_handoff
from processed_desk import run_desk

from pipeline.bundles.create import create_bundle
from pipeline.bundles.outcome import Outcome, State, Watch
from pipeline.bundles.restore import restore_bundle
from pipeline.bundles.verify import verify_bundle
from pipeline.dataroot import DataRoot
from pipeline.errors import Busy, ContractInvalid, UsageError
from pipeline.ingest.place_files import Mode
from pipeline.ingest.result import State as HandoffState
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.lock import hold_lock

RESTORED = "system.ingest.bundle.restored"


def restore(root: Path, bundle: Path, **options: Any) -> Outcome:
    return restore_bundle(DataRoot(root), bundle, **options)


def evidence_rows(root: Path) -> dict[str, Any]:
    """All rows but what a restore itself says."""
    return {name: row for name, row in rows(root).items() if RESTORED not in name}


def evidence_files(root: Path) -> dict[str, bytes]:
    return {name: data for name, data in kept(root).items() if name not in ("metadata.db", "journal.ndjson")}


def test_restored_into_nothing_all_of_it_is_as_it_was(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    outcome = restore(tmp_path / "b", bundle_of(source, tmp_path / "x.zip"))
    assert (outcome.state, outcome.rows, outcome.inserted) == (State.restored, 9, 9)
    assert (outcome.frames, outcome.frames_complete, outcome.media_files, outcome.files_added) == (2, 2, 2, 5)
    assert evidence_rows(tmp_path / "b") == rows(source)
    assert evidence_files(tmp_path / "b") == evidence_files(source)
    assert journal(tmp_path / "b")[:-1] == journal(source)


def test_a_restore_leaves_a_record_and_a_journal_event(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    outcome = restore(tmp_path / "b", bundle)
    (record,) = of_type(tmp_path / "b", RESTORED)
    event = journal(tmp_path / "b")[-1]
    assert record["bundle_manifest_sha256"] == outcome.manifest_sha256 == sha256(_member(bundle, "bundle.json"))
    assert record["counts"] == manifest_of(bundle)["counts"] == event["payload"]["counts"]
    assert (event["event_type"], event["sequence"]) == (RESTORED, 1)


def test_restored_again_nothing_changes(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    restore(tmp_path / "b", bundle)
    before = everything(tmp_path / "b")
    outcome = restore(tmp_path / "b", bundle)
    assert (outcome.state, int(outcome.exit_code), outcome.identical) == (State.already, 2, 9)
    assert everything(tmp_path / "b") == before


def test_the_handoffs_of_then_are_known_to_the_restored_root(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    restore(tmp_path / "b", bundle)
    result = ingest_one(tmp_path / "b", tmp_path / "a-handoff")
    assert (result.state, result.inserted) == (HandoffState.already, 0)
    marker = json.loads((tmp_path / "a-handoff/reap_eligible.json").read_bytes())
    assert marker["dest_data_root"] == str(tmp_path / "b")


def test_a_run_over_the_restored_root_gives_the_same_rows(processed_desk: DataRoot, tmp_path: Path) -> None:
    bundle = bundle_of(processed_desk.path, tmp_path / "desk.zip")
    restored = DataRoot(tmp_path / "b")
    restore(restored.path, bundle)
    run_desk(restored)
    files = {file.relative_to(processed_desk.path) for file in processed_desk.facts.rglob("*.parquet")}
    tables = {file.parts[2] for file in files}
    assert {"records", "frames", "windows", "line_tracks", "spans"} <= tables
    assert {file.relative_to(restored.path) for file in restored.facts.rglob("*.parquet")} == files
    for file in sorted(file for file in files if file.parts[2] != "stage_outcomes"):
        assert _rows_of(restored, file) == _rows_of(processed_desk, file), file


def test_the_same_root_gives_the_same_bytes(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    first = bundle_of(source, tmp_path / "x.zip")
    for path in source.rglob("*"):
        if path.is_file():
            os.utime(path, (1, 1))
            path.chmod(0o640)
    (source / "derived/cache").mkdir()
    assert bundle_of(source, tmp_path / "y.zip").read_bytes() == first.read_bytes()


def test_a_bundle_of_the_restored_root_has_the_same_blobs(tmp_path: Path) -> None:
    first = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    restore(tmp_path / "b", first)
    second = bundle_of(tmp_path / "b", tmp_path / "y.zip")
    differing = {name for name, data in contents(second).items() if contents(first).get(name) != data}
    assert differing == {"journal.ndjson", "metadata.db"}
    assert restore(tmp_path / "c", second).state is State.restored


def test_any_program_can_unzip_a_bundle_and_gets_a_data_root(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    bundle = bundle_of(source, tmp_path / "x.zip")
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert {item.compress_type for item in archive.infolist()} == {zipfile.ZIP_STORED}
        archive.extractall(tmp_path / "b")
    assert rows(tmp_path / "b") == rows(source)
    with EvidenceStore(DataRoot(tmp_path / "b")) as store:
        assert store.count(["evidence.capture.frame"]) == 2


def test_the_manifest_tells_every_member_its_size_and_hash(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    lines = _member(bundle, "members.ndjson")
    expected: list[dict[str, Any]] = [
        {"path": name, "size": len(data), "sha256": sha256(data)} for name, data in sorted(contents(bundle).items())
    ]
    assert [json.loads(line) for line in lines.splitlines()] == expected
    manifest = manifest_of(bundle)
    assert manifest["members_sha256"] == sha256(lines)
    assert manifest["counts"] == {
        "rows": 9, "media_files": 2, "other_files": 4, "bytes": sum(row["size"] for row in expected),
    }  # fmt: skip


def test_a_bundle_is_private_and_leaves_nothing_beside(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.tmp-bundle-of-a-dead-process").mkdir()
    bundle = bundle_of(source, tmp_path / "out/x.zip")
    assert owner_only(bundle)
    assert list((tmp_path / "out").iterdir()) == [bundle]


def test_what_can_be_made_again_and_what_is_foreign_is_left_out(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    for name in ("derived/catalog.db", "index/text.db", "keys/secret", "logs/ocr.log", "media/.tmp-ingest/half"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"x")
    bundle = tmp_path / "x.zip"
    outcome = create_bundle(DataRoot(source), bundle)
    assert {name.split("/")[0] for name in contents(bundle)} == {"handoffs", "journal.ndjson", "media", "metadata.db"}
    assert len(contents(bundle)) == 6
    assert outcome.left_out == ["keys", "logs"]


def test_it_overwrites_nothing(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    (tmp_path / "x.zip").write_bytes(b"older")
    with pytest.raises(UsageError, match="overwrites nothing"):
        bundle_of(source, tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_bytes() == b"older"
    with pytest.raises(UsageError, match="inside the DataRoot"):
        bundle_of(source, source / "x.zip")
    with pytest.raises(UsageError, match="no directory"):
        bundle_of(source, tmp_path / "none/x.zip")


def test_only_whole_lines_of_a_journal_are_bundled(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    whole = (source / "journal.ndjson").read_bytes()
    (source / "journal.ndjson").write_bytes(whole + b'{"event_id":"half')
    assert contents(bundle_of(source, tmp_path / "x.zip"))["journal.ndjson"] == whole


def test_rows_in_a_wal_are_bundled_and_the_root_is_left_as_it_is(tmp_path: Path) -> None:
    """A sidecar may own the DataRoot and be at work in it."""
    sidecar = Handoff(tmp_path / "a")
    sidecar.frame("0")
    with closing(sqlite3.connect(tmp_path / "a/metadata.db", isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO metadata VALUES ('run-1/x.y/late', '{}', 'x.y', NULL, 'run-1')")
        before = (tmp_path / "a/metadata.db").read_bytes()
        bundle = bundle_of(tmp_path / "a", tmp_path / "x.zip")
        assert (tmp_path / "a/metadata.db").read_bytes() == before
    restore(tmp_path / "b", bundle)
    assert set(evidence_rows(tmp_path / "b")) == {"run-1/evidence.capture.frame/0", "run-1/x.y/late"}


def test_a_blob_in_another_layout_goes_to_its_place(tmp_path: Path) -> None:
    sidecar = Handoff(tmp_path / "a")
    frame = sidecar.frame("0", b"picture", blob_path="media/flat/0.png")
    restore(tmp_path / "b", bundle_of(tmp_path / "a", tmp_path / "x.zip"))
    names = [name for name, data in kept(tmp_path / "b").items() if data == b"picture"]
    assert frame in rows(tmp_path / "b")
    assert len(names) == 1
    assert names[0].startswith("media/rid_")


def test_a_database_that_holds_more_than_rows_is_kept_too(tmp_path: Path) -> None:
    sidecar = Handoff(tmp_path / "a")
    sidecar.frame("0")
    sidecar.execute("CREATE TABLE notes(text)")
    outcome = restore(tmp_path / "b", bundle_of(tmp_path / "a", tmp_path / "x.zip"))
    assert f"handoffs/{outcome.bundle_id}/metadata.db" in kept(tmp_path / "b")


ODD = ["we\\ird", "C:x", "new\nline", " blank ", "per%cent", "..hidden", "größe", "CON", os.fsdecode(b"\xff\xfe")]


def test_files_with_odd_names_come_back_with_them(tmp_path: Path) -> None:
    handoff = whole_handoff(tmp_path / "h")
    for number, name in enumerate(ODD):
        handoff.file(f"logs/{name}", b"%d" % number)
    ingest_one(tmp_path / "a", handoff.path)
    bundle = bundle_of(tmp_path / "a", tmp_path / "x.zip")
    assert all(str(name).isascii() and "\\" not in name and ":" not in name for name in contents(bundle))
    restore(tmp_path / "b", bundle)
    assert evidence_files(tmp_path / "b") == evidence_files(tmp_path / "a")


def test_media_that_no_record_names_is_kept_beside(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    orphan = source / "media/rid_cnVu/evidence/2026/03/01/rid_b3JwaGFu.blob"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"orphan")
    outcome = restore(tmp_path / "b", bundle_of(source, tmp_path / "x.zip"))
    beside = tmp_path / "b/handoffs" / outcome.bundle_id / orphan.relative_to(source)
    assert beside.read_bytes() == b"orphan"
    assert not (tmp_path / "b" / orphan.relative_to(source)).exists()


def test_single_files_come_back_where_none_is(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    singles = {
        "ledger.ndjson": b"{}\n",
        "pipeline.toml": b"settle_s = 3.0\n",
        "uia/latest.snap.json": b"{}",
        "uia/latest.snap.sha256": b"0",
    }
    live = {"activity/activity_signal.json": b"live", "activity_signal.json": b"old", "contract.json": b"{}"}
    for name, data in {**singles, **live}.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(data)
    outcome = restore(tmp_path / "b", bundle_of(source, tmp_path / "x.zip"))
    found = kept(tmp_path / "b")
    assert {name: found.get(name) for name in singles} == singles
    for name, data in live.items():
        assert name not in found
        assert found[f"handoffs/{outcome.bundle_id}/{name}"] == data


def test_single_files_that_are_there_stay_and_the_bundles_lie_beside(tmp_path: Path) -> None:
    source, target = a_root(tmp_path), tmp_path / "b"
    ingest_one(target, whole_handoff(tmp_path / "other").path)
    for name in ("ledger.ndjson", "pipeline.toml", "uia/latest.snap.json"):
        for root, data in ((source, b"# theirs\n"), (target, b"# ours\n")):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(data)
    (source / "uia/latest.snap.sha256").write_bytes(b"0")
    outcome = restore(target, bundle_of(source, tmp_path / "x.zip"))
    found, beside = kept(target), f"handoffs/{outcome.bundle_id}"
    for name in ("ledger.ndjson", "pipeline.toml", "uia/latest.snap.json"):
        assert (found[name], found[f"{beside}/{name}"]) == (b"# ours\n", b"# theirs\n")
    assert "uia/latest.snap.sha256" not in found
    assert found[f"{beside}/journal.ndjson"] == (source / "journal.ndjson").read_bytes()
    assert [event["event_type"] for event in journal(target)] == ["system.ingest.handoff.completed", RESTORED]


def test_a_journal_that_was_only_continued_is_left_alone(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    first = bundle_of(source, tmp_path / "x.zip")
    restore(tmp_path / "b", first)
    later = Handoff(tmp_path / "later")
    later.frame("9")
    ingest_one(source, later.path)
    restore(source, first)
    assert not [name for name in kept(source) if name.startswith("handoffs/bundle-")]


def test_a_root_that_ingested_the_same_handoff_itself_keeps_its_own_account(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    target = tmp_path / "b"
    ingest_one(target, tmp_path / "a-handoff", mode=Mode.copy)
    (ours,) = of_type(target, "system.ingest.handoff.completed")
    outcome = restore(target, bundle)
    assert (outcome.state, outcome.inserted, outcome.identical) == (State.restored, 0, 9)
    assert of_type(target, "system.ingest.handoff.completed") == [ours]


def test_a_lost_blob_comes_back_with_another_restore(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    restore(tmp_path / "b", bundle)
    lost = next((tmp_path / "b/media").rglob("*.blob"))
    data = lost.read_bytes()
    lost.unlink()
    outcome = restore(tmp_path / "b", bundle)
    assert (outcome.state, outcome.files_added, lost.read_bytes()) == (State.restored, 1, data)


def conflicting_root(path: Path) -> Path:
    """A DataRoot whose frame `0` is another one."""
    handoff = Handoff(path.with_name(f"{path.name}-handoff"))
    handoff.frame("0", b"another picture")
    ingest_one(path, handoff.path)
    return path


def test_a_conflicting_row_rejects_the_bundle_and_changes_nothing(tmp_path: Path) -> None:
    bundle, target = bundle_of(a_root(tmp_path), tmp_path / "x.zip"), conflicting_root(tmp_path / "b")
    before = everything(target)
    with pytest.raises(ContractInvalid, match="1 rows of which the id is kept with another payload"):
        restore(target, bundle)
    assert everything(target) == before


def test_unless_strict_the_conflicting_row_is_quarantined_and_nothing_is_completed(tmp_path: Path) -> None:
    bundle, target = bundle_of(a_root(tmp_path), tmp_path / "x.zip"), conflicting_root(tmp_path / "b")
    ours = rows(target)
    for _ in range(2):
        outcome = restore(target, bundle, strict=False)
        assert outcome.state is State.partial
        assert outcome.inserted + outcome.identical + outcome.quarantined == outcome.rows == 9
        assert outcome.quarantined == 1
    assert {name: row for name, row in rows(target).items() if name in ours} == ours
    assert of_type(target, RESTORED) == []
    quarantined = list((target / "derived/quarantine" / outcome.bundle_id).iterdir())
    assert json.loads(quarantined[0].read_bytes())["id"] == "run-1/evidence.capture.frame/0"
    assert f"handoffs/{outcome.bundle_id}/metadata.db" in kept(target)
    assert [event["event_type"] for event in journal(target)][1:] == ["system.ingest.bundle.partial"]


def test_another_content_in_a_blobs_place_rejects_the_bundle(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    bundle = bundle_of(source, tmp_path / "x.zip")
    place = next((source / "media").rglob("*.blob")).relative_to(source)
    (tmp_path / "b" / place).parent.mkdir(parents=True)
    (tmp_path / "b" / place).write_bytes(b"something else")
    with pytest.raises(ContractInvalid, match="the DataRoot holds another content at media/"):
        restore(tmp_path / "b", bundle)
    assert list(kept(tmp_path / "b")) == [str(place)]


@pytest.mark.parametrize(("damage", "found"), [("lost", "its blob is missing"), ("changed", "does not hash to")])
def test_a_damaged_root_is_not_bundled_silently(tmp_path: Path, damage: str, found: str) -> None:
    source = a_root(tmp_path)
    blob = next((source / "media").rglob("*.blob"))
    data = blob.read_bytes()
    blob.unlink()
    if damage == "changed":
        blob.write_bytes(bytes(len(data)))
    with pytest.raises(ContractInvalid, match=found):
        bundle_of(source, tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()

    bundle = bundle_of(source, tmp_path / "x.zip", strict=False)
    assert manifest_of(bundle)["fault_count"] == 1
    with pytest.raises(ContractInvalid, match=found):
        restore(tmp_path / "b", bundle)
    outcome = restore(tmp_path / "b", bundle, strict=False)
    assert (outcome.state, outcome.frames_complete, outcome.quarantined) == (State.partial, 1, 2)
    assert len(of_type(tmp_path / "b", "evidence.capture.frame")) == 2
    assert len(of_type(tmp_path / "b", "retention.eligible")) == 1


def test_a_link_in_the_place_of_evidence_is_said(tmp_path: Path) -> None:
    source = a_root(tmp_path)
    (source / "media/extra").symlink_to("/etc/passwd")
    with pytest.raises(ContractInvalid, match="'media/extra' is no regular file"):
        bundle_of(source, tmp_path / "x.zip")


def test_no_room_is_said_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = a_root(tmp_path)
    bundle = bundle_of(source, tmp_path / "x.zip")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(ContractInvalid, match="files; 10 are free"):
        bundle_of(source, tmp_path / "y.zip")
    with pytest.raises(ContractInvalid, match="files; 10 in"):
        restore(tmp_path / "b", bundle)
    assert kept(tmp_path / "b") == {}


def test_two_names_that_are_one_file_here_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system that takes `A` for `a`: the second one's place was free, and is not when its turn comes."""
    source = a_root(tmp_path)
    bundle = bundle_of(source, tmp_path / "x.zip")
    place = tmp_path / "b" / next((source / "media").rglob("*.blob")).relative_to(source)

    def begin(what: str, _: int) -> None:
        if what == "restore":
            place.parent.mkdir(parents=True)
            place.write_bytes(b"the other one")

    with pytest.raises(ContractInvalid, match="two members of the bundle are one file"):
        restore(tmp_path / "b", bundle, watch=Watch(start=begin))
    assert place.read_bytes() == b"the other one"
    assert rows(tmp_path / "b") == {}


def test_an_ingest_at_work_is_not_disturbed(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    root = DataRoot(tmp_path / "b").create()
    with hold_lock(root.ingest_lock, "ingest"):
        with pytest.raises(Busy):
            restore(root.path, bundle)
        assert kept(root.path) == {}


def test_a_root_of_a_sidecar_is_not_restored_into(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    sidecar = Handoff(tmp_path / "b", VARIANT_A)
    sidecar.frame("7")
    before = everything(sidecar.path)
    with pytest.raises(ContractInvalid, match="a sidecar owns it"):
        restore(sidecar.path, bundle)
    assert everything(sidecar.path) == before


def test_verify_reads_all_of_it_and_writes_nothing(tmp_path: Path) -> None:
    bundle = bundle_of(a_root(tmp_path), tmp_path / "x.zip")
    before = sorted(tmp_path.iterdir())
    outcome = verify_bundle(bundle)
    assert (outcome.state, outcome.rows, outcome.frames_complete) == (State.whole, 9, 2)
    assert sorted(tmp_path.iterdir()) == before


def test_the_commands_as_an_operator_meets_them(tmp_path: Path, run_cli: RunCli) -> None:
    source = a_root(tmp_path)
    made = run_cli("--data-root", source, "bundle", "create", tmp_path / "x.zip")
    assert (made.returncode, made.stdout.split(",")[0]) == (0, "x.zip: created: 9 rows")
    looked = run_cli("bundle", "verify", tmp_path / "x.zip", "--json")
    assert (looked.returncode, json.loads(looked.stdout)["state"]) == (0, "whole")
    done = run_cli("bundle", "restore", tmp_path / "x.zip", "--json", "--data-root", tmp_path / "b")
    assert done.returncode == 0
    assert json.loads(done.stdout)["inserted"] == 9
    again = run_cli("--data-root", tmp_path / "b", "bundle", "restore", tmp_path / "x.zip")
    assert (again.returncode, "already restored" in again.stdout) == (2, True)
    over = run_cli("--data-root", source, "bundle", "create", tmp_path / "x.zip")
    assert (over.returncode, over.stderr.count("error:")) == (64, 1)
    none = run_cli("--data-root", tmp_path / "none", "bundle", "create", tmp_path / "y.zip")
    assert none.returncode == 4


def _member(bundle: Path, name: str) -> bytes:
    with zipfile.ZipFile(bundle) as archive:
        return archive.read(name)


def _rows_of(root: DataRoot, file: Path) -> list[dict[str, Any]]:
    """A fact file's rows but for what may differ from run to run."""
    with parquet.ParquetFile(root.path / file) as opened:
        found: list[dict[str, Any]] = opened.read().to_pylist()
    if "row_hash" in (found[0] if found else {}):
        return [{"row_hash": row["row_hash"]} for row in found]
    return found
