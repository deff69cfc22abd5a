"""The bundled screens against their truth: windows, titles and addresses exactly, text by its words."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from command_line import RunCli, Spool

FIXTURES = Path(__file__).resolve().parent.parent / "dataroot_fixtures"
TRUTH: list[dict[str, Any]] = [
    json.loads(line) for line in (FIXTURES / "desk" / "truth.jsonl").read_text(encoding="utf-8").splitlines()
]
DAYS = sorted(path.name for path in (FIXTURES / "desk" / "spool").iterdir())
WITHOUT_A_MODEL = ["--stage", "list_frames", "--stage", "list_windows", "--stage", "visit_urls"]


class Desk:
    """A DataRoot that holds the bundled screens."""

    def __init__(self, run_cli: RunCli, spool: Spool, path: Path) -> None:
        self._run_cli = run_cli
        self._path = path
        handoffs = spool(*(f"desk/spool/{day}" for day in DAYS))
        self.call("ingest", handoffs, "--set", "settle_s=0")

    def call(self, *arguments: object, timeout: float = 120) -> str:
        """Run a command that must succeed."""
        done = self._run_cli("--data-root", self._path, *arguments, timeout=timeout)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Rows of a query."""
        return list(json.loads(self.call("sql", query, "--json"))["rows"])


@pytest.fixture
def desk(run_cli: RunCli, spool: Spool, tmp_path: Path) -> Desk:
    return Desk(run_cli, spool, tmp_path / "root")


def test_windows_titles_and_addresses_are_exact(desk: Desk) -> None:
    desk.call("run", "--assume-idle-when-missing", *WITHOUT_A_MODEL)
    frames = desk.rows("SELECT frame_id, app, window_title FROM frames")
    assert {(row["frame_id"], row["app"], row["window_title"]) for row in frames} == {
        (item["record_id"], item["app"], item["title"]) for item in TRUTH
    }
    visits = desk.rows(
        "SELECT frame_id, url FROM frames JOIN url_visits USING (run_id, window_hwnd)"
        " WHERE ts_utc BETWEEN first_seen_utc AND last_seen_utc"
    )
    assert sorted((row["frame_id"], row["url"]) for row in visits) == sorted(
        (item["record_id"], item["url"].removeprefix("http://")) for item in TRUTH if "url" in item
    )


def test_every_window_row_is_one_of_the_recording(desk: Desk) -> None:
    desk.call("run", "--assume-idle-when-missing", *WITHOUT_A_MODEL)
    recorded = []
    for day in DAYS:
        store = FIXTURES / "desk" / "spool" / day / "metadata.db"
        connection = sqlite3.connect(f"{store.as_uri()}?mode=ro&immutable=1", uri=True)
        query = "SELECT id, payload FROM metadata WHERE record_type = 'evidence.window.meta'"
        recorded += [(name, json.loads(payload)["window"]["title"]) for name, payload in connection.execute(query)]
        connection.close()
    kept = desk.rows("SELECT window_record_id, title FROM windows")
    assert sorted((row["window_record_id"], row["title"]) for row in kept) == sorted(recorded)


def _words(texts: list[str]) -> Counter[str]:
    return Counter(word for text in texts for word in re.findall(r"[a-z0-9]+", text.lower()))


@pytest.mark.slow
def test_nineteen_of_twenty_words_are_read(desk: Desk) -> None:
    try:
        desk.call("run", "--until-done", "--assume-idle-when-missing", timeout=900)
        rows = desk.rows("SELECT frame_id, list(text) AS texts FROM ocr_lines GROUP BY frame_id")
    finally:
        desk.call("workers", "down")
    read = {row["frame_id"]: _words(row["texts"]) for row in rows}
    wanted = {item["record_id"]: _words([line["text"] for line in item["lines"]]) for item in TRUTH}
    found = sum((words & read[frame]).total() for frame, words in wanted.items())
    assert read.keys() == wanted.keys()
    assert found / sum(words.total() for words in wanted.values()) >= 0.95
