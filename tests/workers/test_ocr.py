import io
import sys

import pytest
from PIL import Image, ImageDraw, ImageFont

from pipeline.errors import Unavailable, UsageError
from schemas.serving import ReadFailed, ReadText
from workers.ocr import OcrEngine, longest_side_read
from workers.ocr_lines import LINE_PARAMETERS

WORDS = {"Meeting at 14:30 in room B": (40, 30), "Second line": (40, 90), "Total 1,250.00": (420, 90)}


@pytest.fixture(scope="module")
def engine() -> OcrEngine:
    return OcrEngine(threads=2)


def drawing() -> bytes:
    image = Image.new("RGB", (800, 160), "white")
    font = ImageFont.load_default(24)
    for text, place in WORDS.items():
        ImageDraw.Draw(image).text(place, text, "black", font)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def blank() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (320, 200), "white").save(stream, "PNG")
    return stream.getvalue()


def read(engine: OcrEngine, image: bytes) -> ReadText:
    result = engine.read(image)
    assert isinstance(result, ReadText)
    return result


def test_text_is_read_in_reading_order_where_it_stands(engine: OcrEngine) -> None:
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


def test_reading_again_and_after_another_image_gives_the_same(engine: OcrEngine) -> None:
    first = read(engine, drawing()).lines
    assert read(engine, blank()).lines == []
    assert read(engine, drawing()).lines == first


def test_a_damaged_image_leaves_the_engine_usable(engine: OcrEngine) -> None:
    assert isinstance(engine.read(b"\x89PNG damaged"), ReadFailed)
    assert read(engine, blank()).lines == []


def test_an_interrupted_engine_reads_again_once_rearmed(engine: OcrEngine) -> None:
    engine.interrupt()
    with pytest.raises(Exception, match="terminate"):
        engine.read(drawing())
    engine.rearm()
    assert [line.text for line in read(engine, drawing()).lines] == list(WORDS)


def test_the_digest_tells_models_not_threads_apart(engine: OcrEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OcrEngine(threads=1).identity == engine.identity
    monkeypatch.setitem(sys.modules["workers.ocr"].PARAMETERS, "Det.box_thresh", 0.55)
    assert OcrEngine(threads=1).identity.model_digest != engine.identity.model_digest


def test_the_digest_tells_how_lines_are_set_right(engine: OcrEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LINE_PARAMETERS, "revision", "another")
    assert OcrEngine(threads=1).identity.model_digest != engine.identity.model_digest


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    with pytest.raises(Unavailable, match="rapidocr") as caught:
        OcrEngine(threads=1)
    assert caught.value.remedy == "pip install 'autocapture-pipeline[ocr]'"


@pytest.mark.parametrize(
    ("width", "height", "longest"), [(3840, 2160, 3840), (7680, 2160, 7680), (7680, 4320, 5497), (10_000, 100, 10_000)]
)
def test_only_huge_images_are_shrunk(width: int, height: int, longest: int) -> None:
    assert longest_side_read(width, height) == longest


def test_other_parameters_are_another_model() -> None:
    changed = OcrEngine(1, {"Det.limit_side_len": 640, "Det.limit_type": "max"})
    assert changed.identity.model_digest != OcrEngine(1).identity.model_digest
    assert OcrEngine(1, {"Det.limit_side_len": 736}).identity == OcrEngine(1).identity


@pytest.mark.parametrize("changes", [{"Det.limit_side": 640}, {"Det.limit_side_len": "640"}, {"Global.use_cls": 1}])
def test_a_parameter_that_there_is_not_is_refused(changes: dict[str, int | str]) -> None:
    with pytest.raises(UsageError, match="no parameter") as error:
        OcrEngine(1, changes)
    assert "Det.limit_side_len (int)" in error.value.remedy
