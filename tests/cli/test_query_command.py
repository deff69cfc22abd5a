"""`pipeline query` and `pipeline cite` as a user or a program meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from command_line import RunCli
from meaning_memory import embedding_server, process_with_meaning, titled_frame
from PIL import Image
from screen_memory import Memory, process

from pipeline.dataroot import DataRoot
from pipeline.stores.landscape_build import build_landscape
from schemas.answer import Answer

NOW = ("--now", "2026-03-16T18:30:00Z")
QUESTION = "Which site was visited most on 2026-03-01?"
TRACKER = "How many pages were loaded on tracker.example.org on 2026-03-04?"
NEVER_LOADED = (
    "torch",
    "ray",
    "lancedb",
    "cv2",
    "pyarrow",
    "duckdb",
    "onnxruntime",
    "rapidocr",
    "PIL",
    "aiohttp",
    "numpy",
)


def test_json_is_the_answer_object(processed_desk: DataRoot, run_cli: RunCli) -> None:
    result = run_cli("query", TRACKER, *NOW, "--json", "--data-root", processed_desk.path)
    assert result.returncode == 0
    content = json.loads(result.stdout)
    answer = Answer.model_validate(content)
    assert (answer.ok, answer.state, answer.query, answer.summary) == (
        True,
        "ok",
        TRACKER,
        "2 page loads on tracker.example.org",
    )
    assert content["coverage"]["from"] == "2026-03-04T00:00:00.000Z"
    assert {
        "claims",
        "citations",
        "bullets",
        "topic",
        "missing",
        "latency_ms_total",
        "scheduled_extract_job_id",
    } <= set(content)


def test_people_get_a_readable_answer(processed_desk: DataRoot, run_cli: RunCli) -> None:
    result = run_cli("query", QUESTION, *NOW, "--explain", "--data-root", processed_desk.path)
    assert result.returncode == 0
    assert "2 page loads" in result.stdout
    assert "[0] 2026-03-01T" in result.stdout
    assert "intent: sites_most_visited" in result.stdout
    assert "4 of 4 frames processed" in result.stdout


def test_the_zone_decides_what_a_day_is(processed_desk: DataRoot, run_cli: RunCli) -> None:
    ask = ("query", "When was OPS-117 last seen?", *NOW, "--json", "--data-root", processed_desk.path)
    summary = json.loads(run_cli(*ask, "--tz", "Europe/Berlin").stdout)["summary"]
    assert summary == "OPS-117 was last seen 2026-03-04 11:15:41 CET"


def test_an_unprocessed_day_exits_with_7_and_says_what_mends_it(tmp_path: Path, run_cli: RunCli) -> None:
    memory = Memory(tmp_path / "root")
    memory.frame(0, "2026-03-01T10:00:00.000Z")
    process(memory.root, stages=("list_frames",))
    result = run_cli(
        "query", "What was said about QX-7 on 2026-03-01?", *NOW, "--json", "--data-root", memory.root.path
    )
    assert result.returncode == 7
    (lack,) = json.loads(result.stdout)["missing"]
    assert (lack["artifact"], lack["reason"], lack["remedy"]) == (
        "line_tracks",
        "not_processed",
        "pipeline run --until-done",
    )
    shown = run_cli("query", "What was said about QX-7 on 2026-03-01?", *NOW, "--data-root", memory.root.path)
    assert "pipeline run --until-done" in shown.stdout


def test_no_evidence_exits_with_0(processed_desk: DataRoot, run_cli: RunCli) -> None:
    result = run_cli("query", "Who won the football match?", *NOW, "--data-root", processed_desk.path)
    assert result.returncode == 0
    assert result.stdout.startswith("no evidence:")


def test_bad_options_are_usage_errors(processed_desk: DataRoot, run_cli: RunCli) -> None:
    root = ("--data-root", processed_desk.path)
    for options in (("--tz", "Mars/Crater"), ("--now", "soon"), ("--since", "soon"), ("--max-citations", "0")):
        assert run_cli("query", QUESTION, *options, *root).returncode == 64, options
    assert run_cli("query", QUESTION, "--data-root", processed_desk.path / "absent").returncode == 4


def test_a_question_loads_no_heavy_library(processed_desk: DataRoot) -> None:
    code = (
        "import sys\nfrom pipeline.cli.main import run\n"
        f"for question in {[QUESTION, TRACKER, 'When was OPS-117 last seen?', 'Who is OPS-117 assigned to?']!r}:\n"
        f"    assert run(['query', question, '--json', '--data-root', {str(processed_desk.path)!r}, *{NOW!r}]) == 0\n"
        f"loaded = [name for name in {NEVER_LOADED!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_meaning_loads_numpy_and_nothing_heavier(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    process_with_meaning(memory, {
        titled_frame(memory, 0, "2026-03-01T10:00:00.000Z", "Notes"): ["Spare rolls for printers are kept on shelf 14"]
    })  # fmt: skip
    build_landscape(memory.root)
    question = "On which shelf are the spare rolls for printers stored?"
    code = (
        "import sys\nfrom datetime import UTC, datetime\nfrom pathlib import Path\n"
        "from pipeline.dataroot import DataRoot\nfrom pipeline.query.ask import Asking, ask\n"
        f"root, asking = DataRoot(Path({str(memory.root.path)!r})), Asking(datetime(2026, 3, 9, tzinfo=UTC), UTC, "
        "embedded_within_s=60)\n"
        f"answer, _ = ask(root, {question!r}, asking)\n"
        "assert answer.parts_used == ['text_index', 'landscape'], answer\n"
        "assert answer.state == 'ok'\n"
        f"loaded = [name for name in {NEVER_LOADED!r} if name in sys.modules]\n"
        "assert loaded == ['numpy'], loaded\n"
    )
    with embedding_server(memory.root):
        subprocess.run([sys.executable, "-c", code], check=True)


def test_a_screens_text_does_not_steer_the_terminal(tmp_path: Path, run_cli: RunCli) -> None:
    memory = Memory(tmp_path / "root")
    window = {"title": "QX-7 \x1b[31mred", "process_path": "/usr/bin/gedit"}
    memory.frame(0, "2026-03-01T10:00:00.000Z", window_ref={"record_id": "w", "window": window})
    process(memory.root)
    result = run_cli("query", "Which windows were active on 2026-03-01?", *NOW, "--data-root", memory.root.path)
    assert "QX-7" in result.stdout
    assert "\x1b" not in result.stdout


def test_cite_draws_the_box_of_a_citation(processed_desk: DataRoot, run_cli: RunCli, tmp_path: Path) -> None:
    root = ("--data-root", processed_desk.path)
    asked = run_cli("query", "When was 'Nightly build 418 passed' last seen?", *NOW, "--json", *root)
    citation = json.loads(asked.stdout)["citations"][0]
    out = tmp_path / "cited.png"
    cited = run_cli("cite", citation["record_id"], "--line", citation["line"], "--png", out, "--json", *root)
    place = json.loads(cited.stdout)
    assert (place["text"], place["bbox"], place["frame_id"]) == (
        citation["text"],
        citation["bbox"],
        citation["frame_id"],
    )
    left, top, right, bottom = citation["bbox"]
    with Image.open(out) as picture:
        assert picture.size == (place["width"], place["height"])
        assert [picture.getpixel(corner) for corner in ((left - 3, top - 3), (right + 2, bottom + 2))] == [
            (215, 40, 40)
        ] * 2


def test_cite_resolves_visits_windows_and_frames(processed_desk: DataRoot, run_cli: RunCli) -> None:
    root = ("--data-root", processed_desk.path)
    answer = json.loads(run_cli("query", QUESTION, *NOW, "--json", *root).stdout)
    visit = answer["claims"][0]["rows"][0]
    assert "/derived.url.visit/" in visit
    assert "/" in json.loads(run_cli("cite", visit, "--json", *root).stdout)["text"]
    frame = "desk_a-20260301/evidence.capture.frame/0"
    assert json.loads(run_cli("cite", frame, "--json", *root).stdout)["text"] == "Inbox (0) - Example Mail - Chromium"
    window = "desk_a-20260308/evidence.window.meta/4"
    assert json.loads(run_cli("cite", window, "--json", *root).stdout)["bbox"] == [542, 370, 1060, 523]


def test_cite_says_what_is_wrong_with_an_id(processed_desk: DataRoot, run_cli: RunCli) -> None:
    root = ("--data-root", processed_desk.path)
    unknown = run_cli("cite", "nobody/knows/1", *root)
    assert (unknown.returncode, "nothing is known" in unknown.stderr) == (64, True)
    answer = json.loads(run_cli("query", "When was OPS-117 last seen?", *NOW, "--json", *root).stdout)
    record = answer["citations"][0]["record_id"]
    assert "--line" in run_cli("cite", record, *root).stderr
    assert run_cli("cite", record, "--line", "9999", *root).returncode == 64


def test_cite_refuses_a_picture_that_is_not_the_one(own_desk: DataRoot, run_cli: RunCli) -> None:
    for blob in own_desk.media.rglob("*.blob"):
        blob.unlink()
        blob.write_bytes(b"another")
    result = run_cli("cite", "desk_a-20260301/evidence.capture.frame/0", "--data-root", own_desk.path)
    assert (result.returncode, "blob_hash_differs" in result.stderr) == (4, True)
