"""`pipeline plan`: what waits, what is stale, what depends on it, and whether it will be done in time."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from screen_memory import InProcessModel, Memory, failing, minutes, process, rows

from pipeline import dag
from pipeline.cli.main import run as pipeline
from pipeline.errors import NotAvailableYet, Unavailable
from pipeline.reports import plan as plan_module
from pipeline.reports.plan import report_plan
from pipeline.reports.sla import report_sla
from pipeline.reports.staleness import stale_samples
from pipeline.reports.status import report_status
from pipeline.runs.model_identity import made_by_now
from pipeline.settings import Settings
from pipeline.stores.catalog import DONE, Catalog, Outcome, Sample
from pipeline.stores.fingerprints import MadeBy, note_fingerprint
from pipeline.stores.idle import idle_hours_per_day, note_idle
from pipeline.stores.paces import KEPT, note_pace, pace_of
from schemas.evidence import FRAME
from schemas.fields import parse_utc, utc_microseconds

NOW = utc_microseconds(parse_utc("2026-03-10T12:00:00Z"))
HOUR = 3_600_000_000
READ = "find_text_lines"


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = Memory(tmp_path / "root")
    for number, moment in enumerate([*minutes(10, 0, 1), *minutes(10, 0, day="2026-03-02")]):
        memory.frame(number, moment)
    return memory


def planned(memory: Memory, model: InProcessModel | None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The plan, where this model would be asked next."""

    def made_by_now(_root: object, _settings: object, stage: dag.Stage) -> tuple[str, MadeBy]:
        if stage.model != "ocr" or model is None:
            raise Unavailable("no model", remedy="get one")
        who = model.identity
        return stage.fingerprint(who), MadeBy(stage.config_hash, who.model_id, who.model_digest, "")

    monkeypatch.setattr(plan_module, "made_by_now", made_by_now)
    return report_plan(memory.root, Settings(), lambda: NOW)


def stages(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["stage"]: row for row in plan["stages"]}


def test_before_the_first_run_there_is_no_plan(memory: Memory) -> None:
    with pytest.raises(NotAvailableYet, match="no run has looked"):
        report_plan(memory.root, Settings())


def test_with_nothing_changed_nothing_is_stale(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    process(memory.root)
    plan = planned(memory, InProcessModel(memory.root), monkeypatch)
    assert {row["pending"] for row in plan["stages"] if row["stage"] != "embed_spans"} == {0}
    assert {(row["stale"], row["stale_days"], *row["follows"]) for row in plan["stages"]} == {(0, 0)}


def test_a_changed_model_shows_its_stage_and_what_stands_on_it(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    process(memory.root)
    plan = stages(planned(memory, InProcessModel(memory.root, "b"), monkeypatch))
    read = plan[READ]
    assert (read["stale"], read["stale_days"], read["changed"], read["needs_reprocess"]) == (3, 2, ["model"], True)
    assert read["redo_s"]["p95"] > 0
    follows = {name for name, row in plan.items() if row["follows"] == [READ]}
    assert follows - {"embed_spans"} == {"track_lines", "build_spans", "choose_keyframes", "find_ui_elements"}
    assert plan["track_lines"]["stale_days"] == 2
    assert not plan["visit_urls"]["follows"]
    assert not plan["visit_urls"]["changed"]


def test_reprocess_makes_exactly_that_pending_and_keeps_what_was(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = InProcessModel(memory.root)
    frames = [f"desk-1/{FRAME}/{number}" for number in range(3)]
    failed.replies[frames[0]] = failing("image_unreadable", retryable=False)
    process(memory.root, failed)
    before = {row["record_id"]: row["row_hash"] for row in rows(memory.root, "records")}
    newer = InProcessModel(memory.root, "b")
    report = process(memory.root, newer, reprocess=True)
    assert sorted(newer.asked) == frames
    assert set(report.samples) == {READ}
    after = {row["record_id"]: row["row_hash"] for row in rows(memory.root, "records")}
    assert before.items() < after.items()
    assert (len(before), len(after)) == (2, 5)
    assert stages(planned(memory, newer, monkeypatch))[READ]["stale"] == 0


def test_a_changed_version_of_a_model_stage_shows_and_is_redone(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(memory.root)
    monkeypatch.setattr(
        dag, "STAGES", tuple(replace(item, version=9) if item.name == READ else item for item in dag.STAGES)
    )
    monkeypatch.setattr(plan_module, "used_stages", lambda _: dag.STAGES)
    plan = stages(planned(memory, InProcessModel(memory.root), monkeypatch))
    assert (plan[READ]["changed"], plan[READ]["stale"]) == (["version"], 3)
    assert plan["track_lines"]["changed"] == ["version"]
    assert not plan["list_frames"]["changed"]
    model = InProcessModel(memory.root)
    process(memory.root, model)
    assert model.asked == []
    process(memory.root, model, reprocess=True)
    assert len(model.asked) == 3


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (MadeBy("config", "qwen", "a" * 64, "prompt"), []),
        (MadeBy("config", "qwen", "a" * 64, "another"), ["prompt"]),
        (MadeBy("config", "qwen", "b" * 64, "prompt"), ["model"]),
        (MadeBy("other", "qwen", "b" * 64, "another"), ["model", "prompt", "version"]),
    ],
)
def test_what_changed_is_told_apart(catalog: Catalog, now: MadeBy, changed: list[str]) -> None:
    stage = dag.stage("vlm")
    before = MadeBy("config", "qwen", "a" * 64, "prompt")
    note_fingerprint(catalog, stage.name, str(before), before)
    sample = Sample("k/1", stage.record_type, "r", 1, "2026-03-01", "10")
    catalog.add_samples([sample])
    catalog.record_outcomes(stage.name, [Outcome(sample, DONE, str(before))])
    found = stale_samples(catalog, stage, str(now), now)
    assert (found.changed, found.samples, len(found.days)) == (changed, int(bool(changed)), int(bool(changed)))


def test_a_model_tells_who_it_is_without_a_server_and_is_not_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Memory(tmp_path / "root").root.require_writable()
    fingerprint, made_by = made_by_now(root, Settings(), dag.stage("ocr"))
    assert made_by.model_id.startswith("PP-OCR")
    monkeypatch.setattr(subprocess, "run", None)
    assert made_by_now(root, Settings(), dag.stage("ocr")) == (fingerprint, made_by)
    assert not root.worker_file("ocr").exists()


def test_a_model_that_cannot_be_had_is_said(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    process(memory.root)
    assert stages(planned(memory, None, monkeypatch))[READ]["model_unknown"].startswith("no model")


@pytest.fixture
def catalog(tmp_path: Path) -> Any:
    root = Memory(tmp_path / "year").root.require_writable()
    with Catalog(root) as catalog:
        days = [f"2026-03-{day:02d}" for day in range(1, 11)]
        catalog.add_samples([
            Sample(f"r/{day}/{n}", FRAME, "r", n, day, "10", size=1000) for day in days for n in range(100)
        ])  # fmt: skip
        yield catalog


def measured(catalog: Catalog, seconds: float) -> None:
    """Every stage takes so long for a sample, and the user is idle for six hours a day."""
    for stage in dag.STAGES:
        for n in range(10):
            note_pace(catalog, stage.name, "f", NOW - n, 100, round(seconds * 1e8))
    for day in range(5):
        start = NOW - day * 24 * HOUR - 12 * HOUR
        end = start + 6 * HOUR
        note_idle(catalog, [(start, end)], since_us=start, until_us=end, is_open=False)


def test_without_a_measurement_the_answer_is_that_it_is_not_known(catalog: Catalog) -> None:
    told = report_sla(catalog, Settings(), NOW)
    assert told["fits"] is None
    assert "no run has measured" in told["sentence"]
    assert (told["drain_days_p95"], told["idle_hours_per_day"], told["work_s_p95"]) == (None, None, None)


def test_without_idle_hours_seen_it_is_not_known_and_a_setting_helps(catalog: Catalog) -> None:
    for stage in dag.STAGES:
        note_pace(catalog, stage.name, "f", NOW, 100, 1_000_000)
    assert "idle_hours_per_day sets it" in report_sla(catalog, Settings(), NOW)["sentence"]
    assert report_sla(catalog, Settings(idle_hours_per_day=8, window_days=30), NOW)["fits"] is True


def test_a_backlog_that_fits_is_told_from_one_that_does_not(catalog: Catalog) -> None:
    measured(catalog, 0.5)
    told = report_sla(catalog, Settings(), NOW)
    assert (told["fits"], told["past_the_window"], told["days_left"]) == (False, 300, 0)
    told = report_sla(catalog, Settings(window_days=30), NOW)
    assert (told["fits"], told["past_the_window"], told["frames_per_day"]) == (True, 0, 105.3)
    assert told["idle_hours_per_day"] == pytest.approx(6.0, abs=1.5)
    assert report_sla(catalog, Settings(window_margin=100_000, window_days=30), NOW)["fits"] is False
    for stage in dag.STAGES:
        note_pace(catalog, stage.name, "f", NOW + 1, 1_000, 400_000 * 1_000_000)
    told = report_sla(catalog, Settings(), NOW)
    assert told["fits"] is False
    assert told["sentence"].startswith("does not fit: a day brings more work than")
    assert told["drain_days_p95"] is None


def test_nothing_that_waits_fits(tmp_path: Path) -> None:
    with Catalog(Memory(tmp_path / "root").root.require_writable()) as catalog:
        assert report_sla(catalog, Settings(), NOW)["fits"] is True


def test_quantiles_are_those_of_samples_and_only_the_newest_stretches_are_kept(catalog: Catalog) -> None:
    for n in range(KEPT + 50):
        note_pace(catalog, READ, "old" if n < 50 else "f", n, 10, 1_000_000 if n % 10 else 9_000_000)
    pace = pace_of(catalog, READ, "f")
    assert pace is not None
    assert (pace.samples, pace.p50_s, pace.p95_s, pace.same_fingerprint) == (10 * KEPT, 0.1, 0.9, True)
    other = pace_of(catalog, READ, "never measured")
    assert other is not None
    assert not other.same_fingerprint
    assert pace_of(catalog, "embed_spans", "f") is None


def test_idle_time_is_counted_by_day_and_what_nobody_watched_for_long_is_not(catalog: Catalog) -> None:
    midnight = utc_microseconds(parse_utc("2026-03-09T00:00:00Z"))
    assert idle_hours_per_day(catalog, NOW) is None

    def seen(since: int, until: int, *, is_open: bool, stretches: Sequence[tuple[int, int]] = ()) -> None:
        note_idle(catalog, stretches, since_us=since, until_us=until, is_open=is_open)

    seen(midnight - HOUR, midnight + HOUR, is_open=True, stretches=[(midnight - HOUR, midnight + HOUR)])
    seen(midnight + 5 * HOUR, midnight + 5 * HOUR, is_open=True)
    seen(midnight + 5 * HOUR + HOUR // 4, midnight + 5 * HOUR + HOUR // 4, is_open=False)
    seen(midnight + 5 * HOUR + HOUR // 3, midnight + 9 * HOUR, is_open=True)
    found = dict(catalog.connection.execute("SELECT day, idle_us FROM idle_days").fetchall())
    assert found == {"2026-03-08": HOUR, "2026-03-09": HOUR + HOUR // 4}


def test_the_gate_of_the_plan_is_an_exit_code(memory: Memory, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--gate", "--data-root", str(memory.root), "--json", "--set", "ocr_runtime=onnxruntime"]
    assert pipeline(words) == 7
    process(memory.root)
    memory.frame(9, minutes(11, 0)[0])
    process(memory.root, stages=("list_frames",))
    hours = ["--set", "idle_hours_per_day=24"]
    with Catalog(memory.root) as catalog:
        for stage in dag.STAGES:
            note_pace(catalog, stage.name, "f", NOW, 100, 1_000_000)
    assert pipeline([*words, *hours]) == 0
    capsys.readouterr()
    assert pipeline([*words, *hours, "--set", "window_days=0.0000001"]) == 4
    assert json.loads(capsys.readouterr().out)["error"].startswith("does not fit")


def test_status_tells_the_same_and_how_long_the_disk_is_enough(memory: Memory) -> None:
    process(memory.root)
    status = report_status(memory.root, Settings(), lambda: NOW)
    assert status["sla"]["fits"] in (True, None)
    disk = status["disk"]
    assert disk["media"] == sum(path.stat().st_size for path in memory.root.media.rglob("*.blob"))
    assert disk["derived"] > 0
    assert disk["growth_per_day"] == round(disk["media"] / 2 * (disk["media"] + disk["handoffs"] + disk["derived"] +
        disk["index"]) / disk["media"])  # fmt: skip
    assert disk["days_left"] > 0
