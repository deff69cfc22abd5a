"""Settings: flag, environment, `pipeline.toml`, default, in that order."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ExitCode, UsageError
from pipeline.settings import Settings, explain_settings, load_settings


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"PIPELINE_{name.upper()}", raising=False)
    return tmp_path / "pipeline.toml"


def _source(toml: Path, name: str, flags: dict[str, str] | None = None) -> tuple[object, str]:
    return next((value, source) for key, value, source, _ in explain_settings(toml, flags) if key == name)


def test_each_source_wins_over_the_one_below(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(toml).max_attempts == 3
    assert _source(toml, "max_attempts") == (3, "default")
    toml.write_text("max_attempts = 4\n")
    assert load_settings(toml).max_attempts == 4
    assert _source(toml, "max_attempts") == (4, str(toml))
    monkeypatch.setenv("PIPELINE_MAX_ATTEMPTS", "5")
    assert load_settings(toml).max_attempts == 5
    assert _source(toml, "max_attempts") == (5, "environment PIPELINE_MAX_ATTEMPTS")
    assert load_settings(toml, {"max_attempts": "6"}).max_attempts == 6
    assert _source(toml, "max_attempts", {"max_attempts": "6"}) == (6, "flag")


def test_a_flag_that_was_not_given_is_none_and_hides_nothing(toml: Path) -> None:
    toml.write_text("max_attempts = 4\n")
    assert load_settings(toml, {"max_attempts": None}).max_attempts == 4


def test_the_dataroot_in_the_environment_is_no_setting(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings(toml).model_dump()
    monkeypatch.setenv("PIPELINE_DATA_ROOT", "/somewhere")
    assert load_settings(toml).model_dump() == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("max_attempts = 0\n", "max_attempts"),
        ("max_attempts = 'many'\n", "max_attempts"),
        ("max_atempts = 4\n", "max_atempts"),
        ("max_attempts =\n", "pipeline.toml"),
    ],
)
def test_a_bad_file_is_a_usage_error_that_names_the_place(toml: Path, text: str, complaint: str) -> None:
    toml.write_text(text)
    with pytest.raises(UsageError, match=complaint) as caught:
        load_settings(toml)
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.remedy


def test_a_bad_value_in_the_environment_is_a_usage_error(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_SIGNAL_MAX_AGE_S", "3600")
    with pytest.raises(UsageError, match="signal_max_age_s"):
        load_settings(toml)


def test_a_table_is_json_in_the_environment_and_in_a_flag(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toml.write_text("[stage_minutes_per_idle]\nvlm = 3\nocr = 4\n")
    assert load_settings(toml).stage_minutes_per_idle == {"vlm": 3.0, "ocr": 4.0}
    monkeypatch.setenv("PIPELINE_STAGE_MINUTES_PER_IDLE", '{"vlm": 5}')
    assert load_settings(toml).stage_minutes_per_idle == {"vlm": 5.0, "ocr": 4.0}
    assert load_settings(toml, {"stage_minutes_per_idle": '{"ocr": 6}'}).stage_minutes_per_idle == {"ocr": 6.0}
    monkeypatch.setenv("PIPELINE_STAGE_MINUTES_PER_IDLE", "{vlm")
    with pytest.raises(UsageError, match="stage_minutes_per_idle"):
        load_settings(toml)


def test_the_environment_knows_no_case(toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("pipeline_max_attempts", "5")
    assert _source(toml, "max_attempts") == (5, "environment PIPELINE_MAX_ATTEMPTS")


def test_a_file_that_is_no_text_is_a_usage_error(toml: Path) -> None:
    toml.write_bytes(b"max_attempts = \xff\n")
    with pytest.raises(UsageError, match=r"pipeline\.toml"):
        load_settings(toml)


def test_every_setting_is_explained(toml: Path) -> None:
    rows = explain_settings(toml)
    assert [name for name, *_ in rows] == list(Settings.model_fields)
    assert all(text for *_, text in rows)
