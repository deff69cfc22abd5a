import sqlite3
import stat
from pathlib import Path

import pytest

from workers.memo import Memo
from workers.memo_file import MemoFile

MB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "ocr.db"


def filled(path: Path, number: int = 3) -> None:
    memo = MemoFile(path, MB)
    for entry in range(number):
        memo.put(b"key %d" % entry, b"value %d" % entry)
    memo.close()


def values(path: Path, number: int = 3) -> list[bytes | None]:
    memo = MemoFile(path, MB)
    found = [memo.get(b"key %d" % entry) for entry in range(number)]
    memo.close()
    return found


WHOLE = [b"value 0", b"value 1", b"value 2"]


def test_a_memo_gives_back_what_was_put_floats_included() -> None:
    memo = Memo("model", MB)
    key = memo.key("line", b"pixels")
    assert memo.get(key) is None
    memo.put(key, ["Grün ☆", 0.1 + 0.2, [1e-17]])
    assert memo.get(key) == ["Grün ☆", 0.1 + 0.2, [1e-17]]


def test_keys_tell_models_kinds_and_parts_apart() -> None:
    one, other = Memo("one", MB), Memo("other", MB)
    keys = [one.key("line", b"ab", b"c"), one.key("line", b"a", b"bc"), one.key("block", b"ab", b"c")]
    assert len({*keys, other.key("line", b"ab", b"c")}) == 4


def test_memory_is_bounded_and_what_was_used_last_stays() -> None:
    memo = Memo("model", 100)
    for name in (b"a", b"b", b"c"):
        memo.put(name, "x" * 28)
    assert memo.get(b"a") is not None
    memo.put(b"d", "x" * 28)
    assert [memo.get(name) is not None for name in (b"a", b"b", b"c", b"d")] == [True, False, True, True]


def test_entries_are_there_after_a_restart_and_for_their_owner_only(path: Path) -> None:
    filled(path)
    assert values(path) == WHOLE
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_changed_entry_is_none(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entries SET value = x'00' WHERE key = ?", (b"key 1",))
        database.execute("UPDATE entries SET value = 'text' WHERE key = ?", (b"key 2",))
    database.close()
    assert values(path) == [b"value 0", None, None]


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_begun_anew(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    assert values(path) == [None] * 3
    filled(path)
    assert values(path) == WHOLE


def test_a_database_of_another_form_is_begun_anew(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as database:
        database.execute("CREATE VIEW entries AS SELECT 1 AS key, 2 AS value, 3 AS sum")
    database.close()
    filled(path)
    assert values(path) == WHOLE


def test_damage_anywhere_gives_no_wrong_value(path: Path) -> None:
    filled(path, 400)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    whole = path.read_bytes()
    for place in range(0, len(whole), 997):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) * 8 + whole[place + 8 :])
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        for entry, value in enumerate(values(path, 400)):
            assert value in (None, b"value %d" % entry)


def test_deleting_the_file_while_it_is_used_disturbs_nobody(path: Path) -> None:
    first = MemoFile(path, MB)
    first.put(b"key 0", b"value 0")
    first.flush()
    for file in list(path.parent.iterdir()):
        file.unlink()
    second = MemoFile(path, MB)
    for memo in (first, second):
        memo.put(b"key 1", b"value 1")
        memo.flush()
        assert memo.get(b"key 1") == b"value 1"
    first.close()
    second.close()
    assert values(path)[1] == b"value 1"


def test_two_share_one_file(path: Path) -> None:
    first, second = MemoFile(path, MB), MemoFile(path, MB)
    for number, memo in enumerate([first, second] * 40):
        memo.put(b"key %d" % number, b"value %d" % number)
        memo.flush()
    assert [first.get(b"key 79"), second.get(b"key 78")] == [b"value 79", b"value 78"]
    first.close()
    second.close()


def test_the_file_stays_within_its_size_and_the_newest_stay(path: Path) -> None:
    memo = MemoFile(path, MB)
    for entry in range(3000):
        memo.put(b"key %d" % entry, b"%d" % entry * 250)
    memo.close()
    assert path.stat().st_size < 1.5 * MB
    memo = MemoFile(path, MB)
    assert memo.get(b"key 2999") is not None
    assert memo.get(b"key 0") is None
    memo.close()


def test_what_cannot_be_opened_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memo = MemoFile(tmp_path / "file" / "ocr.db", MB)
    memo.put(b"key", b"value")
    memo.flush()
    assert memo.get(b"key") is None
    memo.close()


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    (tmp_path / "ocr.db").symlink_to(target)
    filled(tmp_path / "ocr.db")
    assert target.read_bytes() == b"precious"
    assert values(tmp_path / "ocr.db") == WHOLE
