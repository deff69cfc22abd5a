import io
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from pipeline.errors import Unavailable, UsageError
from pipeline.settings import choose_ocr_runtime
from schemas.serving import ReadFailed, ReadText
from workers.ocr import load_reader
from workers.ocr_lines import LINE_PARAMETERS
from workers.pp_ocr import PARAMETERS, PpOcr, longest_side_read
from workers.read_frame import FrameReader
from workers.text_model import Interrupted

WORDS = {"Meeting at 14:30 in room B": (40, 30), "Second line": (40, 90), "Total 1,250.00": (420, 90)}


@pytest.fixture(scope="module")
def engine() -> FrameReader:
    return load_reader(threads=2)


def drawing() -> bytes:
    image = Image.new("RGB", (800, 160), "white")
    font = ImageFont.load_default(24)
    for text, place in WORDS.items():
        ImageDraw.Draw(image).text(place, text, "black", font)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def unread() -> bytes:
    image = Image.new("RGB", (300, 80), "white")
    ImageDraw.Draw(image).text((20, 20), "never read before", "black", ImageFont.load_default(24))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def blank() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (320, 200), "white").save(stream, "PNG")
    return stream.getvalue()


def read(engine: FrameReader, image: bytes) -> ReadText:
    result = engine.read(image)
    assert isinstance(result, ReadText)
    return result


def test_text_is_read_in_reading_order_where_it_stands(engine: FrameReader) -> None:
    result = read(engine, drawing())
    assert (result.width, result.height) == (800, 160)
    assert [line.text for line in result.lines] == list(WORDS)
    for line in result.lines:
        left, top, right, bottom = line.bbox
        x, y = WORDS[line.text]
        assert abs(left - x) < 12
        assert top <= y + 8 < y + 20 <= bottom <= y + 40
        assert left < right <= 800
        assert line.score > 9_000


def test_reading_again_and_after_another_image_gives_the_same(engine: FrameReader) -> None:
    first = read(engine, drawing()).lines
    assert read(engine, blank()).lines == []
    assert read(engine, drawing()).lines == first


def test_a_damaged_image_leaves_the_engine_usable(engine: FrameReader) -> None:
    assert isinstance(engine.read(b"\x89PNG damaged"), ReadFailed)
    assert read(engine, blank()).lines == []


def test_an_interrupted_engine_reads_again_once_rearmed(engine: FrameReader) -> None:
    engine.interrupt()
    with pytest.raises(Interrupted):
        engine.read(unread())
    engine.rearm()
    assert [line.text for line in read(engine, unread()).lines] == ["never read before"]


def test_the_digest_tells_models_not_threads_apart(engine: FrameReader, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_reader(threads=1).identity == engine.identity
    monkeypatch.setitem(PARAMETERS, "Det.box_thresh", 0.55)
    assert load_reader(threads=1).identity.model_digest != engine.identity.model_digest


def test_the_digest_tells_how_lines_are_set_right(engine: FrameReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LINE_PARAMETERS, "revision", "another")
    assert load_reader(threads=1).identity.model_digest != engine.identity.model_digest


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(Unavailable, match="rapidocr") as caught:
        load_reader(threads=1)
    assert caught.value.remedy == "pip install 'autocapture-pipeline[ocr]'"


@pytest.mark.parametrize(
    ("width", "height", "longest"), [(3840, 2160, 3840), (7680, 2160, 7680), (7680, 4320, 5497), (10_000, 100, 10_000)]
)
def test_only_huge_images_are_shrunk(width: int, height: int, longest: int) -> None:
    assert longest_side_read(width, height) == longest


@pytest.mark.parametrize(
    ("wanted", "flags", "installed", "chosen"),
    [
        ("auto", "fpu avx2 avx512f", True, "openvino"),
        ("auto", "fpu avx2 avx512f", False, "onnxruntime"),
        ("auto", "fpu avx2", True, "onnxruntime"),
        ("openvino", "fpu", True, "openvino"),
        ("onnxruntime", "avx512f", True, "onnxruntime"),
    ],
)
def test_openvino_runs_the_model_where_it_is_installed_and_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, flags: str, installed: bool, chosen: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr("pipeline.settings.find_spec", lambda _: object() if installed else None)
    assert choose_ocr_runtime(wanted, tmp_path / "cpuinfo") == chosen
    assert choose_ocr_runtime("auto", tmp_path / "absent") == "onnxruntime"


def test_other_parameters_are_another_model() -> None:
    changed = load_reader(1, changes={"Det.unclip_ratio": 2.5, "Det.score_mode": "slow"})
    assert changed.identity.model_digest != load_reader(1).identity.model_digest
    assert load_reader(1, changes={"Det.unclip_ratio": 1.8}).identity == load_reader(1).identity


@pytest.mark.parametrize("changes", [{"Det.box_tresh": 0.5}, {"Det.max_candidates": "3000"}, {"Global.use_cls": 1}])
def test_a_parameter_that_there_is_not_is_refused(changes: dict[str, float | int | str]) -> None:
    with pytest.raises(UsageError, match="no parameter") as error:
        PpOcr(1, changes=changes)
    assert "Det.max_candidates (int)" in error.value.remedy
