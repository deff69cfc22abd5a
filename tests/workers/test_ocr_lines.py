"""Lines cut from the frames of a recorded desktop; `lines/` holds them as they were found there."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from workers.images import Pixels, decode_image
from workers.lookalikes import LOOKALIKES, Letter, lookalikes
from workers.ocr_lines import mend_line
from workers.pp_ocr import PpOcr

LINES = Path(__file__).parent / "lines"


@pytest.fixture(scope="module")
def model() -> PpOcr:
    return PpOcr(threads=1)


def picture_of(name: str) -> Pixels:
    pixels = decode_image((LINES / f"{name}.png").read_bytes())
    assert isinstance(pixels, np.ndarray)
    return pixels


@pytest.mark.parametrize(
    ("name", "recognized", "right"),
    [
        (
            "traceback",
            "json.decoder.JsoNDecodeError: Expecting value: line 1 column 22 (char 21)",
            "json.decoder.JSONDecodeError: Expecting value: line 1 column 22 (char 21)",
        ),
        ("select", "sqlite> SELECT dock, COUNT(*) FROM orders", "sqlite> SELECT dock, COUNT(*) FROM orders"),
        ("prompt", "dev@wsl:~$ python3 parse.py", "dev@ws1:~$ python3 parse.py"),
        (
            "commit",
            "commit 3479e04d2b98c5d6celed241994ebb61c969ea41",
            "commit 3479e04d2b98c5d6ce1ed241994ebb61c969ea41",
        ),
        ("line_number", "3Dock 3 printer restarted at 09:20.", "3 Dock 3 printer restarted at 09:20."),
        ("two_windows", "The snapshot drains the qDate:", "The snapshot drains the q Date:"),
        ("sender", "facilities desk", "facilities desk"),
    ],
)
def test_what_the_recognizer_lost_is_set_right(model: PpOcr, name: str, recognized: str, right: str) -> None:
    picture = picture_of(name)
    read = model.recognize(picture)
    assert read.text == recognized
    assert mend_line(picture, list(read.letters), list(read.places)) == right


def fold(text: str) -> str:
    """A text without what may change: spaces, and which of the letters that look alike it is."""
    first = {mark: min(alike) for alike in LOOKALIKES for mark in alike}
    return "".join(first.get(mark, mark) for mark in text if mark != " ")


@settings(deadline=None, max_examples=150)
@given(
    drawn=st.text("aemnrABDEH2345bdhkoOcCsSxXlI10 -.", min_size=1, max_size=24),
    misread=st.data(),
    size=st.integers(10, 30),
)
def test_nothing_changes_but_spaces_and_letters_that_look_alike(drawn: str, misread: st.DataObject, size: int) -> None:
    font = ImageFont.load_default(size)
    picture = Image.new("RGB", (int(font.getlength(drawn)) + 12, size * 2), "white")
    ImageDraw.Draw(picture).text((6, size // 3), drawn, "black", font)
    text = misread.draw(st.one_of(st.just(drawn), st.text("aemABD23bdhoOcC0lI1 ~", max_size=24)))
    chance = misread.draw(st.floats(0, 1))
    letters = [Letter(mark, dict.fromkeys(lookalikes(mark), chance)) for mark in text]
    places = [6 + font.getlength(drawn) * (place + 0.5) / len(text) for place in range(len(text))]
    mended = mend_line(np.asarray(picture), letters, places)
    assert fold(mended) == fold(text)
    assert len(mended) - len(text) == mended.count(" ") - text.count(" ") >= 0
