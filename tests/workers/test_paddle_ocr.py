"""PaddleOCR as an engine: each thing that may be missing is one sentence, before anything is loaded or looked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.errors import Unavailable, UsageError
from workers.ocr import load_reader
from workers.paddle_ocr import PaddleOcr

FILES = ("inference.yml", "inference.json", "inference.pdiparams")


@pytest.fixture
def described(tmp_path: Path) -> dict[str, str]:
    """Two folders with all files that are needed, of which none is a model."""
    for part in ("det", "rec"):
        (tmp_path / part).mkdir()
        for name in FILES:
            (tmp_path / part / name).write_text("{}")
    return {
        "detection_name": "PP-OCRv5_mobile_det",
        "detection_dir": str(tmp_path / "det"),
        "recognition_name": "PP-OCRv5_mobile_rec",
        "recognition_dir": str(tmp_path / "rec"),
    }


@pytest.mark.parametrize("name", ["detection_name", "detection_dir", "recognition_name", "recognition_dir"])
def test_a_description_that_names_too_little_says_what(described: dict[str, str], name: str) -> None:
    del described[name]
    with pytest.raises(Unavailable) as error:
        PaddleOcr(1, described)
    assert error.value.message == f"the OCR engine paddleocr needs {name} in its description"
    assert error.value.remedy.startswith("in DATA_ROOT/pipeline.toml: parameters = {")


def test_a_parameter_that_there_is_not_is_a_usage_error(described: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="has no parameter 'use_gpu'"):
        PaddleOcr(1, described | {"use_gpu": "yes"})


def test_a_folder_that_is_not_there_is_named(described: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as error:
        PaddleOcr(1, described | {"detection_dir": str(tmp_path / "nowhere")})
    assert error.value.message == f"the detection model's folder {tmp_path / 'nowhere'} is not there"
    assert "inference.pdiparams" in error.value.remedy


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_there_is_named(described: dict[str, str], tmp_path: Path, name: str) -> None:
    (tmp_path / "rec" / name).unlink()
    with pytest.raises(Unavailable, match="the recognition model's folder") as error:
        PaddleOcr(1, described)
    assert name in error.value.message


def test_without_the_package_the_command_that_installs_it(
    described: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paddleocr", None)
    with pytest.raises(Unavailable) as error:
        load_reader(1, changes=described, engine="paddleocr")
    assert error.value.message == "the OCR engine paddleocr needs the package paddleocr"
    assert error.value.remedy == "pip install paddlepaddle==3.3.1 paddleocr==3.7.0"


def test_files_that_are_no_model_are_told_with_their_folder(described: dict[str, str]) -> None:
    pytest.importorskip("paddleocr")
    with pytest.raises(Unavailable, match="PaddleOCR cannot load PP-OCRv5_mobile_det from"):
        PaddleOcr(1, described)
