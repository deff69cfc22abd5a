"""`doctor --deep`: each thing that can be wrong with a DataRoot has its code; what is right has none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from broken_roots import CASES
from sidecar_root import FRAME, RUN, WINDOW, A, B, SidecarRoot, Silent, content, whole_root

from pipeline.cli.main import run
from pipeline.dataroot import DataRoot
from pipeline.errors import DataRootMissing
from pipeline.reports.deep.codes import CODES
from pipeline.reports.deep.examine import examine_deeply

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("schema", [A, B])
def test_a_whole_dataroot_has_nothing_against_it(tmp_path: Path, schema: str) -> None:
    found = whole_root(tmp_path / "r", schema).examine()
    assert found.ok
    assert [reason.code for reason in found.reasons("warning")] == ["signal_stale"]
    told = {name: message for name, _, message, _ in found.checks()}
    assert told["records"] == f"3 read: 2 {FRAME}, 1 {WINDOW}"
    assert told["variant"].startswith("Variant A" if schema == A else "Variant B")
    assert (told["journal"], told["ledger"]) == ("journal.ndjson, 3 events", "ledger.ndjson, 3 entries")
    assert told["blobs"].startswith("2 hashed, 18 bytes")


PAIRS = [(code, breaks) for code, several in CASES.items() for breaks in several]


@pytest.mark.parametrize(("code", "breaks"), PAIRS, ids=[breaks.__name__ for _, breaks in PAIRS])
def test_what_is_wrong_is_named(tmp_path: Path, code: str, breaks: Callable[[SidecarRoot], str]) -> None:
    root = whole_root(tmp_path / "r")
    example = breaks(root)
    found = root.codes()
    assert example in found[code] if example else code in found
    assert root.examine().ok is (CODES[code].level != "failure" and "blob_missing" not in found)


def test_an_id_that_is_there_twice_is_named_in_a_table_without_a_key(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r", B)
    for _ in range(2):
        root.record(WINDOW, "0", window={"title": "b"})
    (reason,) = [item for item in root.examine().reasons("failure") if item.code == "id_duplicate"]
    assert (reason.count, reason.examples) == (2, [f"{RUN}/{WINDOW}/0"])


def test_all_of_many_are_counted_and_some_are_named(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    for number in range(2, 22):
        root.frame(str(number), has_blob=False)
    (reason,) = root.examine().reasons("failure")
    assert (reason.code, reason.count, len(reason.examples)) == ("blob_missing", 20, 5)


def test_a_sample_hashes_so_many_and_spreads_them(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    for number in range(2, 20):
        root.frame(str(number))
    root.blob("10").write_bytes(b"another")
    found = root.examine(sample=4)
    assert {name: message for name, _, message, _ in found.checks()}["blobs"].startswith("4 of 20 hashed")
    assert found.count("blob_size_differs") == 1  # the frames 0, 5, 10, 15


@pytest.mark.parametrize("schema", [A, B])
def test_looking_changes_nothing(tmp_path: Path, schema: str) -> None:
    root = whole_root(tmp_path / "r", schema)
    before = content(root.path)
    root.path.chmod(0o500)
    root.examine()
    root.path.chmod(0o700)
    assert content(root.path) == before
    assert sorted(path.name for path in root.path.iterdir()) == [
        "activity", "contract.json", "journal.ndjson", "ledger.ndjson", "media", "metadata.db", "uia",
    ]  # fmt: skip


def test_no_text_from_the_screen_is_told(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    root.record(WINDOW, "1", window={"title": "secret", "pid": "secret"}, payload_hash="0" * 64)
    root.row(f"{RUN}/x/9", '{"secret": ', "x")
    root.frame("9", width="secret", window_ref={"record_id": 7, "window": {"title": "secret"}})
    root.file("ledger.ndjson", b'{"secret": 1}\n')
    root.file("journal.ndjson", b'{"secret": 1}\n')
    found = root.examine()
    assert not found.ok
    assert "secret" not in json.dumps(found.as_dict())


def test_the_command_exits_with_4_and_tells_programs_the_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = whole_root(tmp_path / "r")
    assert run(["--data-root", str(root.path), "doctor", "--deep", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    root.blob("1").unlink()
    assert run(["--data-root", str(root.path), "doctor", "--deep", "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    (reason,) = told["reasons"]
    assert (told["ok"], reason["code"], reason["count"]) == (False, "blob_missing", 1)
    assert reason["message"]
    assert reason["remedy"]
    assert {"check": "blobs", "level": "failure"}.items() <= {item["check"]: item for item in told["checks"]}[
        "blobs"
    ].items()
    assert run(["--data-root", str(root.path), "doctor", "--deep"]) == 4
    out = capsys.readouterr().out
    assert "✓ records: 3 read" in out
    assert "✗ a record's blob is not there: 1 [blob_missing]" in out


def test_sample_goes_with_deep_only(tmp_path: Path) -> None:
    root = whole_root(tmp_path / "r")
    assert run(["--data-root", str(root.path), "doctor", "--sample", "3"]) == 64


def test_a_missing_dataroot_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataRootMissing):
        examine_deeply(DataRoot(tmp_path / "none"), Silent())


def test_the_page_lists_every_code() -> None:
    page = (REPOSITORY / "docs" / "operating.md").read_text()
    listed = re.findall(r"^\| `([a-z_]+)` \| (failure|warning) \|", page, re.MULTILINE)
    assert dict(listed) == {code: told.level for code, told in CODES.items()}
