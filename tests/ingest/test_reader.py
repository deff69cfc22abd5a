"""The process that reads foreign bytes: what it may not do, and that nothing it says or does not say is believed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from handoff_builder import RUN, Handoff, ingest_one, kept, leave_uncheckpointed, rows, run_ingest, tree, whole_handoff

from pipeline.errors import ContractInvalid
from pipeline.ingest.foreign_rows import ForeignDatabase
from pipeline.ingest.reader import ReaderFailed, ReaderPool, sentence
from pipeline.ingest.reader_frames import BadFrame, Kind, pack, unpack, unpack_header
from pipeline.ingest.result import State
from pipeline.stores.variants import Backend

START = "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from pipeline.ingest.reader_frames import *\n"
SPEAK = "import os\ndef say(kind, *values): os.write(1, pack(kind, values))\ndef hear(): os.read(0, 100000)\n"
READY = START + SPEAK + "say(Kind.ready, '')\nhear()\n"
OPENED = READY + "say(Kind.opened, 'metadata_table', '', 0, 0)\n"
ROW = f"'{RUN}/x/0', '{{}}', 'x', '2026', '{RUN}'"


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[ReaderPool]:
    (tmp_path / "scratch").mkdir()
    with ReaderPool(tmp_path / "scratch") as pool:
        yield pool


def read(pool: ReaderPool, database: Path) -> list[str]:
    """The ids in a database, read by a process."""
    with pool.borrow(1, is_session=False) as reader, reader.private() as private:
        copy = private / "metadata.db"
        copy.write_bytes(database.read_bytes())
        with reader.open(copy, Backend.auto) as found:
            return [row.record_id for chunk in found.chunks() for row in chunk]


def walk_twice(pool: ReaderPool) -> None:
    with pool.borrow(1, is_session=False) as reader, reader.private() as private:
        (private / "metadata.db").write_bytes(bytes(4096))
        with reader.open(private / "metadata.db", Backend.auto) as found:
            assert [len(chunk) for chunk in found.chunks()] == [1]
            list(found.chunks())


def test_rows_are_the_same_through_a_process_as_read_here(tmp_path: Path, pool: ReaderPool) -> None:
    handoff = Handoff(tmp_path / "h")
    values = [None, 7, -(2**63), 1.5, float("inf"), "é\0\U0001f600", b"\xff\x00", ""]
    for number, value in enumerate(values):
        handoff.execute("INSERT INTO metadata VALUES (?, '{}', ?, ?, ?)", f"a/{number}", value, value, value)
    handoff.raw_row("a/x", b"\xff")
    for number in range(1200):
        handoff.raw_row(f"b/{number}", "{}")
    with ForeignDatabase(handoff.path / "metadata.db") as here:
        expected = [row for chunk in here.chunks() for row in chunk]
    with pool.borrow(1, is_session=False) as reader, reader.private() as private:
        (private / "metadata.db").write_bytes((handoff.path / "metadata.db").read_bytes())
        with reader.open(private / "metadata.db", Backend.auto) as found:
            assert [row for chunk in found.chunks() for row in chunk] == expected
            assert [row for chunk in found.chunks() for row in chunk] == expected


def test_one_process_reads_one_handoff_after_the_other_and_none_after_a_rejection(
    tmp_path: Path, pool: ReaderPool
) -> None:
    good, bad = whole_handoff(tmp_path / "good"), Handoff(tmp_path / "bad", "CREATE TABLE other(a)")
    used = []
    for handoff in (good, good, bad, good):
        with pool.borrow(1, is_session=False) as reader:
            used.append(reader)
        try:
            read(pool, handoff.path / "metadata.db")
        except ContractInvalid:
            continue
    assert used[0] is used[1] is used[2]
    assert used[3] is not used[2]
    assert len(list((tmp_path / "scratch").iterdir())) == 1


def test_a_log_that_a_reader_lets_go_of_late_is_never_the_next_handoffs(tmp_path: Path, pool: ReaderPool) -> None:
    for number in range(5):
        handoff = Handoff(tmp_path / f"{number}")
        statement = f"INSERT INTO metadata VALUES ('a/{number}', '{{}}', NULL, NULL, NULL)"
        leave_uncheckpointed(handoff, "wal", statement, commit=True)
        with pool.borrow(1, is_session=False) as reader, reader.private() as private:
            assert list(private.iterdir()) == []
            for name in ("metadata.db", "metadata.db-wal"):
                (private / name).write_bytes((handoff.path / name).read_bytes())
            with reader.open(private / "metadata.db", Backend.auto) as found:
                assert [row.record_id for chunk in found.chunks() for row in chunk] == [f"a/{number}"]
        assert list(private.iterdir()) == []


def test_a_reader_whose_rows_nobody_took_is_not_used_again(tmp_path: Path, pool: ReaderPool) -> None:
    handoff = whole_handoff(tmp_path / "h")
    with pool.borrow(1, is_session=False) as reader, reader.private() as private:
        (private / "metadata.db").write_bytes((handoff.path / "metadata.db").read_bytes())
        with reader.open(private / "metadata.db", Backend.auto) as found:
            assert found.backend is Backend.metadata_table
    assert reader.is_spent
    assert len(read(pool, handoff.path / "metadata.db")) == 4


def test_several_threads_have_a_process_each(tmp_path: Path, pool: ReaderPool) -> None:
    handoff = whole_handoff(tmp_path / "h")
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(len(read(pool, handoff.path / "metadata.db")))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4, 4, 4]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 24)", "too long"),
        ("raise SystemExit(0)", "ended before it was done"),
        ("os.write(1, b'?' * 100)", "no sense"),
        ("os.write(1, b'o' + b'\\xff' * 100)", "no sense"),
        ("os.write(1, b'o\\0\\0\\0\\x04' + b'\\xff' * 4)", "no sense"),
        ("say(Kind.opened)", "no sense"),
        ("say(Kind.opened, 'another', '', 0, 0)", "no sense"),
        ("say(Kind.opened, 'metadata_table', '', 'x', 'x')", "no sense"),
        ("say(Kind.rows, 'a')", "no sense"),
        ("say(Kind.failed, 'TypeError\\x1b[31m')", "TypeError\\x1b[31m"),
        ("say(Kind.rejected, 'bad \\x1b[31m\\n' + 'x' * 100000, '')", "bad \\x1b[31m\\x0ax"),
    ],
)
def test_a_reader_that_dies_or_talks_nonsense_rejects_the_handoff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    handoff = whole_handoff(tmp_path / "h")
    monkeypatch.setattr("pipeline.ingest.own_process._CODE", READY + code)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, int(result.exit_code)) == (State.rejected, 4)
    assert says in result.error
    assert result.error.isprintable()
    assert len(result.error) < 2000
    assert kept(tmp_path / "root") == {}
    assert result.remedy


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("say(Kind.rows, 'a', '{}', 'x', 'x')", "no sense"),
        ("say(Kind.rows)", "no sense"),
        ("say(Kind.rows, 7, '{}', 'x', 'x', 'x')", "no sense"),
        ("say(Kind.rows, 'a', None, 'x', 'x', 'x')", "no sense"),
        ("say(Kind.rows, *['a', '{}', 'x', 'x', 'x'] * 2)", "disorder"),
        ("say(Kind.rows, 'b', '{}', 1, 1, 1); say(Kind.rows, 'a', '{}', 1, 1, 1)", "disorder"),
        ("say(Kind.rows, *(v for n in range(501) for v in (f'{n:03}', '{}', 1, 1, 1)))", "no sense"),
        (
            "n = 0\nwhile True:\n    n += 1\n    say(Kind.rows, f'{n:09}', '{}', 'x', 'x', 'x')",
            "more rows come out of it than it can hold",
        ),
        ("say(Kind.rows, 'a', 'x' * (1 << 25), 'x', 'x', 'x')", "more rows come out of it than it can hold"),
        ("say(Kind.rows, 'system.ingest/x/0', '{}', 'x', 'x', 'x')\nsay(Kind.done)", "only Stage 1"),
    ],
)  # fmt: skip
def test_rows_that_no_honest_reader_hands_over_reject_the_handoff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, says: str
) -> None:
    handoff = whole_handoff(tmp_path / "h")
    monkeypatch.setattr("pipeline.ingest.own_process._CODE", OPENED + code + "\nhear()")
    result = ingest_one(tmp_path / "root", handoff.path)
    assert result.state is State.rejected
    assert says in result.error
    assert rows(tmp_path / "root") == {}
    assert not handoff.marker.exists()


@pytest.mark.parametrize("second", ["", f"say(Kind.rows, {ROW.replace('{}', '[]')})", f"say(Kind.rows, {ROW})\n" * 2])
def test_rows_that_are_others_when_they_are_read_again_are_not_believed(
    tmp_path: Path, pool: ReaderPool, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    walk = f"say(Kind.rows, {ROW})\nsay(Kind.done)\nhear()\n"
    monkeypatch.setattr("pipeline.ingest.own_process._CODE", f"{OPENED}{walk}{second}\nsay(Kind.done)\nhear()\nhear()")
    with pytest.raises(ContractInvalid, match=r"not the same|disorder"):
        walk_twice(pool)
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("start", [READY, OPENED])
def test_a_reader_that_falls_silent_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    handoff = whole_handoff(tmp_path / "h")
    monkeypatch.setattr("pipeline.ingest.own_process._CODE", start + "import time; time.sleep(1000)")
    monkeypatch.setattr("pipeline.ingest.reader.BUDGET_S", 0.2)
    monkeypatch.setattr("pipeline.ingest.reader._START_S", 0.2)
    result = ingest_one(tmp_path / "root", handoff.path)
    assert (result.state, kept(tmp_path / "root")) == (State.rejected, {})
    assert "too long" in result.error
    assert not [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]


def test_a_reader_that_cannot_start_at_all_is_no_fault_of_the_handoff(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handoff = whole_handoff(tmp_path / "h")
    monkeypatch.setattr("pipeline.ingest.own_process._CODE", "raise SystemExit(3)")
    with pytest.raises(ReaderFailed, match="did not start"):
        ingest_one(tmp_path / "root", handoff.path)


def test_a_handoff_whose_reader_dies_does_not_keep_the_next_from_going_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        whole_handoff(tmp_path / "spool" / name)
    once = tmp_path / "once"
    first = f"try: os.close(os.open({str(once)!r}, os.O_CREAT | os.O_EXCL))\nexcept FileExistsError: pass\n"
    die = "else:\n    say(Kind.ready, ''); hear(); os.kill(os.getpid(), 9)\n"
    live = "from pipeline.ingest.reader_process import main; main(*sys.argv[2:])"
    monkeypatch.setattr("pipeline.ingest.own_process._CODE", START + SPEAK + first + die + live)
    outcome = run_ingest(tmp_path / "root", tmp_path / "spool")
    assert sorted(result.state for result in outcome.results) == [State.ingested, State.rejected]


def confined(tmp_path: Path, code: str, memory: int = 1 << 30, cpu_s: int = 60) -> subprocess.CompletedProcess[str]:
    """What some code says once it is confined to a folder."""
    inside = tmp_path / "inside"
    inside.mkdir(exist_ok=True)
    (tmp_path / "outside").write_text("precious")
    program = f"""
        import os, socket, subprocess, sys
        from pipeline.confinement import Limits, confine
        inside, outside = {str(inside)!r}, {str(tmp_path / "outside")!r}
        landlock = confine(Limits({memory}, {cpu_s}, 1 << 20), inside, [os.path.dirname(os.__file__)])
        def refused(act):
            try:
                act()
            except OSError:
                return True
            except MemoryError:
                return True
            return False
    """
    text = textwrap.dedent(program) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)


def test_a_confined_process_sees_its_folder_only(tmp_path: Path) -> None:
    done = confined(
        tmp_path,
        """
        with open(inside + "/x", "w") as file:
            file.write("y")
        os.remove(inside + "/x")
        found = [refused(lambda: open(outside)), refused(lambda: open(outside, "a")), refused(lambda: os.listdir("/")),
                 refused(lambda: open(inside + "/../outside")), refused(lambda: os.symlink(outside, inside + "/l"))]
        import colorsys
        print(all(found) or not landlock)
        """,
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_confined_process_reaches_no_network_and_starts_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = confined(
            tmp_path,
            f"""
            net = refused(lambda: socket.create_connection(("127.0.0.1", {port}), 5))
            run = refused(lambda: subprocess.run(["/bin/true"]))
            print((net and run) or not landlock)
            """,
        )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_confined_process_is_held_to_memory_time_and_file_size(tmp_path: Path) -> None:
    memory = confined(tmp_path, "print(refused(lambda: bytearray(1 << 30)))", memory=1 << 29)
    assert memory.stdout == "True\n"
    fill = "f = open(inside + '/x', 'wb', 0); f.write(bytes(1 << 20)); print(refused(lambda: f.write(b'x')))"
    assert confined(tmp_path, fill).stdout == "True\n"
    assert confined(tmp_path, "while True: pass", cpu_s=1).returncode in (-signal.SIGXCPU, -signal.SIGKILL)


def test_a_reader_does_not_outlive_the_one_it_reads_for(tmp_path: Path) -> None:
    handoff = Handoff(tmp_path / "h")
    for number in range(2000):
        handoff.raw_row(f"a/{number}", "{}" + " " * 2000)
    program = f"""
        import os, sys, time
        from pathlib import Path
        from pipeline.ingest.reader import ReaderPool
        from pipeline.stores.variants import Backend
        with ReaderPool(Path({str(tmp_path)!r})) as pool, pool.borrow(1, is_session=False) as reader:
            copy = reader.folder / "metadata.db"
            copy.write_bytes(Path({str(handoff.path / "metadata.db")!r}).read_bytes())
            with reader.open(copy, Backend.auto) as rows:
                next(rows.chunks())
                print(reader._process.pid, flush=True)
                time.sleep(1000)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        reader = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    gone, _ = psutil.wait_procs([reader], timeout=30)
    assert gone or reader.status() == psutil.STATUS_ZOMBIE


def test_frames_hold_five_types_and_nothing_else_is_taken_apart() -> None:
    values = [None, "", "é", b"", b"\xff", 0, -1, 2**63 - 1, -(2**63), 0.5, float("-inf")]
    frame = pack(Kind.rows, values)
    assert unpack_header(frame[:5]) == (Kind.rows, len(frame) - 5)
    assert unpack(frame[5:]) == values
    for bad in (frame[5:-1], frame[5:] + b"x", b"", b"\xff" * 9, pack(Kind.rows, [1])[5:].replace(b"I", b"Q")):
        with pytest.raises(BadFrame):
            unpack(bad)
    with pytest.raises(BadFrame):
        unpack(pack(Kind.rows, [2**63])[5:])
    with pytest.raises(BadFrame):
        unpack_header(b"R\xff\xff\xff\xff")


def test_a_sentence_from_a_reader_is_short_and_holds_no_control_characters() -> None:
    assert sentence("a\x1b[2Jb\u202ec\n" + "x" * 5000).startswith("a\\x1b[2Jb\\x202ec\\x0ax")
    assert len(sentence("x" * 5000)) == 1000


def test_nothing_is_left_of_readers_when_ingest_is_done(tmp_path: Path) -> None:
    ingest_one(tmp_path / "root", whole_handoff(tmp_path / "h").path)
    assert not [name for name in tree(tmp_path / "root") if ".tmp-" in name]
    assert list((tmp_path / "root/derived/tmp").iterdir()) == []
