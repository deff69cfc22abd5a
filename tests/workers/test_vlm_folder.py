"""A folder that is no vision language model is refused with one sentence and the step that mends it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.errors import Unavailable
from workers import vlm_folder
from workers.vlm_folder import check_memory, count_weights, digest_files, find_weights, read_config


@pytest.fixture
def folder(tiny_vlm: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_vlm, tmp_path / "Tiny-VL")


def unavailable(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Unavailable) as caught:
        call()
    return caught.value.message, caught.value.remedy


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    message, remedy = unavailable(lambda: read_config(tmp_path / "none"))
    assert message == f"there is no model folder {tmp_path / 'none'}"
    assert "workers up vlm" in remedy


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "preprocessor_config.json"])
def test_a_file_that_every_model_has_is_missing(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message, remedy = unavailable(lambda: read_config(folder))
    assert message == f"the model folder {folder} has no {name}"
    assert "workers up vlm" in remedy


def test_a_model_that_does_not_see(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')
    message, _ = unavailable(lambda: read_config(folder))
    assert message == f"{folder} holds a model of type 'llama', expected one that sees: qwen2_vl, qwen2_5_vl, qwen3_vl"


@pytest.mark.parametrize("content", ["", "[]", "{", "nonsense"])
def test_a_damaged_config(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    message, remedy = unavailable(lambda: read_config(folder))
    assert (message, remedy) == (f"{folder / 'config.json'} is no JSON object", "download the model again")


def test_weights_in_another_form_are_not_taken(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert unavailable(lambda: find_weights(folder))[0] == f"the model folder {folder} has no model.safetensors"


def test_a_part_that_the_index_names_is_missing(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    message, _ = unavailable(lambda: find_weights(folder))
    assert message == f"the model folder {folder} has no model-00002-of-00002.safetensors"


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00[]"])
def test_damaged_weights(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    message, _ = unavailable(lambda: count_weights(folder))
    assert message == f"{folder / 'model.safetensors'} is no safetensors file"


def test_too_little_memory_says_how_much_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = count_weights(folder)
    assert weights > 3_000_000
    monkeypatch.setattr(vlm_folder, "count_weights", lambda _: 3_000_000_000)
    memory = psutil.virtual_memory()._replace(total=16 << 30, available=9 << 30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    message, remedy = unavailable(lambda: check_memory(folder, "float32"))
    assert message == f"the model in {folder} needs 12.2 GiB of memory as float32, and 8.0 GiB may be used"
    assert "vlm_dtype=bfloat16" in remedy
    check_memory(folder, "bfloat16")


def test_the_digest_covers_what_decides_and_nothing_else(folder: Path) -> None:
    before = digest_files(folder)
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= before.keys()
    (folder / "README.md").write_text("a model")
    assert digest_files(folder) == before
    with (folder / "chat_template.jinja").open("a") as stream:
        stream.write(" ")
    assert [name for name, digest in digest_files(folder).items() if digest != before[name]] == ["chat_template.jinja"]
