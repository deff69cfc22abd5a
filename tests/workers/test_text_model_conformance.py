"""What every TextModel must hold to; an engine is added by one entry in `ENGINES`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from paddle_models import make_paddle_models
from PIL import Image, ImageDraw, ImageFont
from read_endpoint import make_folder, reading
from text_models import PixelModel

from schemas.canonical import canonical_sha256
from workers.images import Pixels
from workers.paddle_ocr import PaddleOcr
from workers.paddle_ocr_vl import PaddleOcrVl
from workers.pp_ocr import PpOcr
from workers.text_model import Interrupted, TextModel

_open = ExitStack()
"""What engines stand on, until the last test here has ended."""


@pytest.fixture(scope="module", autouse=True)
def _what_is_open_is_closed() -> Iterator[None]:
    with _open:
        yield


@cache
def paddle_models() -> dict[str, str]:
    """Small models of our own, made once by PaddlePaddle, for PaddleOCR to load."""
    return make_paddle_models(Path(_open.enter_context(TemporaryDirectory())))


@cache
def paddle_ocr_vl() -> dict[str, str]:
    """An endpoint on loopback that reads any picture as a word, and the folder of the model that it says to serve."""
    model = make_folder(Path(_open.enter_context(TemporaryDirectory())))
    endpoint = _open.enter_context(reading(model))
    return {"model_dir": str(model), "url": endpoint.url}


ENGINES: dict[str, Callable[[int], TextModel]] = {
    "pixels": lambda _: PixelModel(),
    "pp-ocr-onnxruntime": lambda threads: PpOcr(threads, "onnxruntime"),
    "pp-ocr-openvino": lambda threads: PpOcr(threads, "openvino"),
    "paddleocr": lambda threads: PaddleOcr(threads, paddle_models()),
    "paddleocr-vl": lambda threads: PaddleOcrVl(lambda: PpOcr(threads, "onnxruntime"), paddle_ocr_vl()),
}
"""By name: the engine, given a number of threads."""

NEEDS = {"pp-ocr-openvino": "openvino", "paddleocr": "paddleocr"}
READS = {"pp-ocr-onnxruntime", "pp-ocr-openvino"}
"""Engines that know real letters."""


def make(name: str, threads: int = 1) -> TextModel:
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    return ENGINES[name](threads)


@pytest.fixture(scope="module", params=sorted(ENGINES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> TextModel:
    return make(name)


def drawn(*texts: str, width: int = 420, height: int = 40) -> Pixels:
    image = Image.new("RGB", (width, height * len(texts)), "white")
    for number, text in enumerate(texts):
        ImageDraw.Draw(image).text((12, 8 + number * height), text, "black", ImageFont.load_default(20))
    return np.asarray(image)


LINE = drawn("Total of 1,250.00 for room B")
PAGE = drawn("Meeting at nine", "", "Total of 1,250.00", height=44)


def test_reading_and_finding_are_functions_of_the_pixels_alone(model: TextModel) -> None:
    first = model.recognize(LINE), model.detect(PAGE)
    model.recognize(drawn("another", width=130))
    model.detect(drawn("x", width=900, height=70))
    assert (model.recognize(LINE.copy()), model.detect(PAGE.copy())) == first


def test_a_second_instance_with_other_threads_says_the_same_and_is_the_same(name: str, model: TextModel) -> None:
    other = make(name, threads=2)
    assert canonical_sha256(dict(other.fingerprint)) == canonical_sha256(dict(model.fingerprint))
    assert (other.provider_id, other.model_id) == (model.provider_id, model.model_id)
    assert other.recognize(LINE) == model.recognize(LINE)
    assert other.detect(PAGE) == model.detect(PAGE)


def test_the_input_is_not_changed_and_may_be_read_only(model: TextModel) -> None:
    line, page = LINE.copy(), PAGE.copy()
    line.flags.writeable = page.flags.writeable = False
    model.recognize(line)
    model.detect(page)
    assert (line == LINE).all()
    assert (page == PAGE).all()


def test_boxes_lie_in_the_picture(model: TextModel) -> None:
    height, width = PAGE.shape[:2]
    for left, top, right, bottom in model.detect(PAGE):
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert {type(edge) for edge in (left, top, right, bottom)} == {int}


def test_letters_if_told_make_up_the_text_from_left_to_right(model: TextModel) -> None:
    read = model.recognize(LINE)
    assert 0.0 <= read.score <= 1.0
    assert len(read.letters) == len(read.places)
    if read.letters:
        assert "".join(letter.text for letter in read.letters) == read.text
        assert all(before <= after for before, after in pairwise(read.places))


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (40, 2), (3, 700)])
def test_odd_sizes_are_read_without_an_error(model: TextModel, size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 127, dtype=np.uint8)
    model.recognize(picture)
    model.detect(picture)


def test_an_interrupted_model_refuses_until_it_is_rearmed(model: TextModel) -> None:
    before = model.recognize(LINE)
    model.interrupt()
    try:
        with pytest.raises(Interrupted):
            model.recognize(LINE)
        with pytest.raises(Interrupted):
            model.detect(PAGE)
    finally:
        model.rearm()
    assert model.recognize(LINE) == before


def test_a_running_call_ends_when_another_thread_interrupts(model: TextModel) -> None:
    ended = threading.Event()

    def work() -> None:
        try:
            while True:
                model.detect(PAGE)
        except Interrupted:
            ended.set()

    thread = threading.Thread(target=work)
    thread.start()
    model.interrupt()
    thread.join(30)
    model.rearm()
    assert ended.is_set()


@pytest.mark.parametrize("name", sorted(READS))
def test_words_are_found_and_read(name: str) -> None:
    model = make(name)
    assert model.recognize(LINE).text == "Total of 1,250.00 for room B"
    found = [model.recognize(np.ascontiguousarray(PAGE[t:b, le:r])).text for le, t, r, b in model.detect(PAGE)]
    assert sorted(found) == ["Meeting at nine", "Total of 1,250.00"]
