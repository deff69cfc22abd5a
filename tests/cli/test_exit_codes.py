"""Every exit code of every command that has it, and which one counts where several apply: 64, 4, 3, 6, 5, 7."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from screen_memory import InProcessModel, Memory, failing, minutes, process

from pipeline.cli.main import run as pipeline
from pipeline.errors import ExitCode, Unavailable, combine_exit_codes
from pipeline.stores.lock import hold_lock
from schemas.evidence import FRAME

FIXTURES = Path(__file__).resolve().parents[2] / "dataroot_fixtures"
IDLE = "--assume-idle-when-missing"
NOW = ("--set", "settle_s=0")


@dataclass
class Place:
    """Where a command works: its DataRoot, and a spool beside it."""

    path: Path
    stack: ExitStack

    @property
    def root(self) -> Path:
        return self.path / "root"

    def memory(self) -> Memory:
        memory = Memory(self.root)
        for number, moment in enumerate(minutes(10, 0, 1)):
            memory.frame(number, moment)
        memory.root.require_writable()
        return memory

    def lock(self, name: str = "run") -> None:
        self.stack.enter_context(hold_lock(self.root / "derived" / f"{name}.lock", name))

    def damage(self) -> None:
        (self.root / "metadata.db").write_bytes(b"This file is no database.\n" * 100)

    def spool(self, *names: str) -> None:
        for name in names:
            shutil.copytree(FIXTURES / name, self.path / "spool" / Path(name).name, symlinks=True)


def no_model(*_: object) -> None:
    """Stands for a model that tells who it is: loading one for each case would take seconds."""
    raise Unavailable("no model is loaded here")


def nowhere(place: Place) -> None:
    """There is no DataRoot."""


def captured(place: Place) -> None:
    place.memory()


def processed(place: Place) -> None:
    process(place.memory().root)


def given_up(place: Place) -> None:
    memory = place.memory()
    model = InProcessModel(memory.root)
    model.replies[f"desk-1/{FRAME}/1"] = failing("image_unreadable", retryable=False)
    process(memory.root, model)


def damaged(place: Place) -> None:
    place.memory()
    place.damage()


def at_work(place: Place) -> None:
    place.memory()
    place.lock()


def at_work_on_damage(place: Place) -> None:
    at_work(place)
    place.damage()


def spooled(place: Place) -> None:
    place.spool("plain")


def ingested(place: Place) -> None:
    place.spool("plain")
    assert pipeline(["ingest", str(place.path / "spool"), "--data-root", str(place.root), *NOW]) == 0


def conflicting(place: Place) -> None:
    place.spool("plain", "missing_blob")


def ingesting(place: Place) -> None:
    place.spool("plain")
    (place.root / "derived").mkdir(parents=True)
    place.lock("ingest")


Case = tuple[str, Callable[[Place], None], int]

CASES: list[Case] = [
    ("run --stage list_frames {idle}", captured, 0),
    ("run --stage list_frames --retry-failed {idle}", given_up, 2),
    ("run --stage list_frames {idle}", processed, 2),
    ("run --reprocess --stage list_frames {idle}", processed, 2),
    ("run", captured, 3),
    ("run", nowhere, 4),
    ("run {idle}", damaged, 4),
    ("run --stage describe_screen --reprocess {idle}", captured, 5),
    ("run {idle}", at_work, 6),
    ("run --once --until-done", captured, 64),
    ("run --stage nothing", captured, 64),
    ("run --engine-model nobody {idle}", captured, 64),
    ("run --ray-address 10.0.0.1:6379", captured, 4),
    ("run", at_work, 3),
    ("run", at_work_on_damage, 4),
    ("run --stage nothing", damaged, 64),
    ("run --stage describe_screen --reprocess", captured, 3),
    ("run --profile full", captured, 3),
    ("run --profile full {idle}", captured, 5),
    ("ingest {spool} {now}", spooled, 0),
    ("ingest {spool} {now}", ingested, 2),
    ("ingest {spool} {now} --gate idle", spooled, 3),
    ("ingest {spool} {now}", conflicting, 4),
    ("ingest {spool} {now}", ingesting, 6),
    ("ingest {spool} {now} --gate idle", ingesting, 3),
    ("ingest", spooled, 64),
    ("ingest {spool} --watch --gate auto", spooled, 64),
    ("status", captured, 0),
    ("status", nowhere, 4),
    ("status", damaged, 4),
    ("status --set nothing=1", captured, 64),
    ("plan", processed, 0),
    ("plan", captured, 7),
    ("plan", nowhere, 4),
    ("plan", damaged, 4),
    ("plan --gate", processed, 7),
    ("failures", processed, 0),
    ("failures", captured, 7),
    ("failures", nowhere, 4),
    ("failures --stage nothing", processed, 64),
    ("runs list", captured, 0),
    ("runs list", nowhere, 4),
    ("runs show nothing", processed, 64),
    ("query what", processed, 0),
    ("query what", captured, 7),
    ("query what", nowhere, 4),
    ("query", processed, 64),
    ("query what --tz Nowhere", processed, 64),
    ("cite nothing", processed, 64),
    ("cite nothing", nowhere, 4),
    ("sql SELECT", processed, 64),
    ("sql --help", nowhere, 0),
    ("doctor", nowhere, 4),
    ("doctor --sample 3", captured, 64),
    ("doctor --deep", damaged, 4),
    ("verify", nowhere, 4),
    ("verify", ingested, 0),
    ("contract", nowhere, 0),
    ("settings", captured, 0),
    ("settings --set min_idle_s=-1", captured, 64),
    ("prompts list", captured, 0),
    ("models list", processed, 0),
    ("models promote default {idle}", processed, 2),
    ("models promote default {idle}", at_work, 6),
    ("models promote nobody {idle}", processed, 64),
    ("models list", nowhere, 4),
    ("workers status", captured, 0),
    ("workers up vlm --set vlm_server=own", captured, 5),
    ("workers up nothing", captured, 64),
    ("workers up ocr", nowhere, 4),
    ("landscape build", nowhere, 4),
    ("bundle create {out}", nowhere, 4),
    ("bundle verify {root}/metadata.db", captured, 4),
    ("bundle create {out}", ingested, 0),
    ("nothing", captured, 64),
    ("", captured, 64),
]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        yield Place(tmp_path, stack)


@pytest.mark.parametrize(
    ("words", "state", "code"), CASES, ids=[f"{words or 'none'} | {state.__name__}" for words, state, _ in CASES]
)
def test_a_command_ends_with_the_code_of_its_contract(
    place: Place, words: str, state: Callable[[Place], None], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.reports.plan.made_by_now", no_model)
    state(place)
    filled = words.format(
        idle=IDLE, now=" ".join(NOW), spool=place.path / "spool", root=place.root, out=place.path / "out.zip"
    )
    where = ["--data-root", str(place.root)] if words else []
    assert pipeline([*where, *filled.split()]) == code


def test_the_matrix_has_every_code_but_that_of_a_bug() -> None:
    assert {code for _, _, code in CASES} == {int(code) for code in ExitCode} - {ExitCode.BUG}


@pytest.mark.parametrize(
    ("codes", "gravest"),
    [
        ((0, 2), 0),
        ((2, 2), 2),
        ((7, 5, 6), 6),
        ((6, 3), 3),
        ((3, 4, 0), 4),
        ((4, 64), 64),
        ((5, 7, 2), 5),
        ((64, 1), 1),
    ],
)
def test_of_several_codes_the_gravest_counts(codes: tuple[int, ...], gravest: int) -> None:
    assert combine_exit_codes([ExitCode(code) for code in codes]) == gravest
