"""The ingests that faults are tried on: what lies there before, the command, and what it leaves when undisturbed."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests/ingest")]

from chronicle_builder import whole_session  # noqa: E402
from handoff_builder import Handoff, whole_handoff  # noqa: E402
from ingest_oracle import Holdings, Truth, holdings, undisturbed  # noqa: E402
from typer import Typer  # noqa: E402
from typer.main import get_command  # noqa: E402

import pipeline.ingest.chronicle_session  # noqa: E402, F401
from pipeline.cli import main  # noqa: E402

LONGEST_S = 60
_NOTHING = Holdings({}, {}, {})


@dataclass(frozen=True)
class Scenario:
    """Handoffs by name, made by `make`, and how they are ingested."""

    name: str
    make: Callable[[Path], None]
    mode: str = "hardlink"
    is_filled: bool = False
    """Whether the DataRoot holds another handoff's evidence already."""


class Workplace:
    """A folder with the originals of a scenario, and with `base`, where one attempt after the other is made."""

    def __init__(self, folder: Path, scenario: Scenario) -> None:
        """Make originals, and an undisturbed ingest of them to know the truth."""
        self.scenario, self.base = scenario, folder / "base"
        self._spool, self._filled = folder / "originals", folder / "filled"
        scenario.make(self._spool)
        self._filled.mkdir()
        _import_all(folder)
        if scenario.is_filled:
            _frames(self._filled / "earlier", range(900, 940), 300)
            _must_succeed(run_command(self._command(self._filled / "root", [self._filled / "earlier"])))
        self.truth = self._undisturbed()

    def renew(self) -> None:
        """Set `base` up afresh: the handoffs, and the DataRoot as it was before."""
        shutil.rmtree(self.base, ignore_errors=True)
        shutil.copytree(self._spool, self.base)
        self.restore_root()

    def restore_root(self) -> None:
        """Put the DataRoot back as it was before."""
        shutil.rmtree(self.base / "root", ignore_errors=True)
        if self.scenario.is_filled:
            shutil.copytree(self._filled / "root", self.base / "root")

    def command(self) -> list[str]:
        """The command under test."""
        return self._command(self.base / "root", [self.base / name for name in sorted(self.truth.handoffs)])

    def _command(self, root: Path, handoffs: list[Path]) -> list[str]:
        options = ["--mode", self.scenario.mode, "--set", "settle_s=0", "--set", "ingest_threads=0"]
        return ["--data-root", str(root), "ingest", *map(str, handoffs), *options]

    def _undisturbed(self) -> Truth:
        handoffs = {path.name: path for path in sorted(self._spool.iterdir())}
        before = holdings(self._filled / "root") if self.scenario.is_filled else _NOTHING
        alone = {}
        for name in handoffs:
            self.renew()
            _must_succeed(run_command(self._command(self.base / "root", [self.base / name])))
            alone[name] = holdings(self.base / "root")
        self.renew()
        _must_succeed(run_command(self._command(self.base / "root", [self.base / name for name in handoffs])))
        return undisturbed(self.base, handoffs, before, alone)


def commit_of(repository: Path) -> str:
    """The commit that is measured; with a `+` when files differ from it."""
    git = ["git", "-C", str(repository)]
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    changed = subprocess.run(
        [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False
    ).stdout
    return head + ("+" if changed.strip() else "")


def run_command(arguments: list[str], prepare: Callable[[], object] = lambda: None) -> int:
    """Run a command in a forked interpreter, silently, after `prepare` in there; returns as `Popen.returncode`."""
    child = os.fork()
    if child == 0:
        run_in_child(arguments, prepare)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_in_child(arguments: list[str], prepare: Callable[[], object]) -> None:
    """Be the command; ends the process."""
    code = 1
    try:
        signal.alarm(LONGEST_S)
        silence = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(silence, descriptor)
        os.close(silence)
        prepare()
        code = main.run(arguments)
    finally:
        os._exit(code)


def _import_all(folder: Path) -> None:
    """Run the command over nothing, so that a forked child has nothing left to import or to put together."""
    if isinstance(main.app, Typer):
        main.app = get_command(main.register())  # type: ignore[assignment]
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        (folder / "empty").mkdir()
        main.run(["--data-root", str(folder / "none"), "ingest", str(folder / "empty")])


def _must_succeed(code: int) -> None:
    if code != 0:
        raise AssertionError(f"an undisturbed ingest ended with {code}")


def _frames(path: Path, numbers: range, size: int) -> None:
    """Frames that look at one window; each blob is of other bytes."""
    handoff = Handoff(path)
    window = handoff.record("evidence.window.meta", str(numbers.start), window={"title": "a"})
    for number in numbers:
        content = b"".join(hashlib.sha256(b"%d %d" % (number, block)).digest() for block in range(size // 32 + 1))
        handoff.frame(str(number), content[:size], window_ref={"record_id": window})


def _ten_blobs(spool: Path) -> None:
    _frames(spool / "h", range(10), 5000)


def _mixed(spool: Path) -> None:
    """References, files that no record names, and a database that is kept itself."""
    handoff: Handoff = whole_handoff(spool / "h")
    handoff.execute("CREATE TABLE notes(text)")


def _two(spool: Path) -> None:
    _frames(spool / "h-1", range(4), 5000)
    _frames(spool / "h-2", range(100, 104), 700)


def _session(spool: Path) -> None:
    whole_session(spool / "session_a").write()


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("links", _ten_blobs),
        Scenario("copies", _ten_blobs, "copy"),
        Scenario("mixed", _mixed),
        Scenario("session", _session),
        Scenario("two", _two),
        Scenario("filled", _ten_blobs, is_filled=True),
    )
}
