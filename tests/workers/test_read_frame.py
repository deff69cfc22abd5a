"""What was kept, in whatever state, never changes what is read `[row-1]`; on the bundled screens."""

import io
import sqlite3
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from text_models import PixelModel

from schemas.serving import ReadFailed, ReadText, TextLine
from workers.memo_file import MemoFile
from workers.pp_ocr import PpOcr
from workers.read_frame import FrameReader
from workers.text_model import Interrupted, RecognizedLine, TextModel

DESK = Path(__file__).parents[2] / "dataroot_fixtures" / "desk" / "spool"
SCREENS = sorted(DESK.glob("**/*.blob"))
MB = 1 << 20


def lines(reader: FrameReader, image: bytes) -> list[TextLine]:
    result = reader.read(image)
    assert isinstance(result, ReadText)
    return result.lines


def screen(number: int) -> bytes:
    return SCREENS[number].read_bytes()


@cache
def alone(number: int) -> list[TextLine]:
    """What is read in a screen by a reader that has seen no other."""
    return lines(FrameReader(PixelModel()), screen(number))


def reader_with(path: Path) -> tuple[FrameReader, MemoFile]:
    memo = MemoFile(path, MB)
    return FrameReader(PixelModel(), lambda _: memo), memo


def damage(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entries SET value = x'5b5d' WHERE rowid % 2 = 0")
    database.close()


@settings(deadline=None, max_examples=6)
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, len(SCREENS) - 1),
            st.integers(0, 1),
            st.sampled_from(["go on", "go on", "go on", "restart", "delete", "damage", "overwrite"]),
        ),
        min_size=1,
        max_size=7,
    )
)
def test_any_screens_in_any_order_through_two_servers_read_as_each_alone(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, str]]
) -> None:
    path = tmp_path_factory.mktemp("memo") / "ocr.db"
    servers = [reader_with(path), reader_with(path)]
    for number, server, event in steps:
        if event == "restart":
            servers[server][1].close()
            servers[server] = reader_with(path)
        elif event == "delete":
            path.unlink(missing_ok=True)
        elif event == "damage" and path.exists():
            servers[server][1].flush()
            damage(path)
        elif event == "overwrite":
            for _, memo in servers:
                memo.close()
            path.write_bytes(b"SQLite format 3\x00 no more")
            servers = [reader_with(path), reader_with(path)]
        assert lines(servers[server][0], screen(number)) == alone(number)
    for _, memo in servers:
        memo.close()


def test_entries_of_the_right_sum_and_the_wrong_form_are_none(tmp_path: Path) -> None:
    reader, memo = reader_with(tmp_path / "ocr.db")
    memo.put(reader._memo.key("frame", b"x"), b"7")
    for kept in (b"7", b"null", b'["a"]', b"{}", b"[1, 2, [[3]]]", b'[[1, 2], "x"]'):
        for key in list(reader._memo._kept):
            reader._memo._kept[key] = kept
        assert lines(reader, screen(0)) == alone(0)
    memo.close()


@pytest.fixture
def counted() -> tuple[FrameReader, PixelModel]:
    model = PixelModel()
    return FrameReader(model), model


def test_the_same_bytes_are_not_even_decoded_again(counted: tuple[FrameReader, PixelModel]) -> None:
    reader, model = counted
    first = lines(reader, screen(0))
    calls, decoded = dict(model.calls), reader.spent["decode"]
    assert lines(reader, screen(0)) == first
    assert (dict(model.calls), reader.spent["decode"]) == (calls, decoded)


def test_the_same_pixels_in_another_file_cost_no_inference(counted: tuple[FrameReader, PixelModel]) -> None:
    reader, model = counted
    first = lines(reader, screen(0))
    calls = dict(model.calls)
    stream = io.BytesIO()
    Image.open(SCREENS[0]).save(stream, "PNG", compress_level=1)
    assert stream.getvalue() != screen(0)
    assert lines(reader, stream.getvalue()) == first
    assert dict(model.calls) == calls


def test_a_page_that_was_scrolled_costs_only_what_came_into_view(counted: tuple[FrameReader, PixelModel]) -> None:
    reader, model = counted
    page = Image.open(SCREENS[0]).convert("RGB")

    def shown(from_row: int) -> bytes:
        stream = io.BytesIO()
        page.crop((0, from_row, 1600, from_row + 700)).save(stream, "PNG")
        return stream.getvalue()

    lines(reader, shown(100))
    cold = model.calls.total()
    lines(reader, shown(140))
    assert model.calls.total() - cold < cold / 3


def test_a_second_root_with_the_first_ones_memo_makes_no_inference(tmp_path: Path) -> None:
    reader, memo = reader_with(tmp_path / "ocr.db")
    first = [lines(reader, screen(number)) for number in range(4)]
    memo.close()
    model = PixelModel()
    memo = MemoFile(tmp_path / "ocr.db", MB)
    second = FrameReader(model, lambda _: memo)
    assert [lines(second, screen(number)) for number in range(4)] == first
    assert model.calls.total() == 0
    memo.close()


def test_another_model_does_not_read_from_the_first_ones_memo(tmp_path: Path) -> None:
    reader, memo = reader_with(tmp_path / "ocr.db")
    lines(reader, screen(0))
    other = FrameReader(PixelModel("other"), lambda _: memo)
    assert other.identity.model_digest != reader.identity.model_digest
    lines(other, screen(0))
    assert other.model.calls.total() > 0  # type: ignore[attr-defined]
    memo.close()


def test_an_interrupted_frame_is_read_whole_afterwards(counted: tuple[FrameReader, PixelModel]) -> None:
    reader, model = counted
    recognize, left = model.recognize, 5

    def until_then(picture: object) -> object:
        nonlocal left
        left -= 1
        if left == 0:
            reader.interrupt()
        return recognize(picture)  # type: ignore[arg-type]

    model.recognize = until_then  # type: ignore[assignment,method-assign]
    with pytest.raises(Interrupted):
        reader.read(screen(0))
    with pytest.raises(Interrupted):
        reader.read(screen(0))
    reader.rearm()
    assert lines(reader, screen(0)) == alone(0)


def test_a_damaged_image_is_a_result_and_is_not_kept(counted: tuple[FrameReader, PixelModel]) -> None:
    reader, _ = counted
    assert isinstance(reader.read(screen(0)[:5000]), ReadFailed)
    assert isinstance(reader.read(screen(0)[:5000]), ReadFailed)


def test_every_line_lies_in_its_frame_once(counted: tuple[FrameReader, PixelModel]) -> None:
    reader, _ = counted
    for number in range(0, len(SCREENS), 6):
        found = [line.bbox for line in lines(reader, screen(number))]
        assert len(found) == len(set(found))
        for left, top, right, bottom in found:
            assert 0 <= left < right <= 1600
            assert 0 <= top < bottom <= 900


@pytest.mark.parametrize(
    ("text", "score", "kept"), [("X", 0.76, False), ("X", 0.95, True), ("OK", 0.6, True), ("OK", 0.4, False)]
)
def test_a_letter_alone_must_be_surer_than_a_word(text: str, score: float, kept: bool) -> None:
    model = PixelModel()
    model.recognize = lambda line: RecognizedLine(text, score)  # type: ignore[method-assign]
    image = Image.new("RGB", (200, 100), "white")
    ImageDraw.Draw(image).text((80, 40), "O", "black", ImageFont.load_default(20))
    stream = io.BytesIO()
    image.save(stream, "PNG")
    assert [line.text for line in lines(FrameReader(model), stream.getvalue())] == [text] * kept


@pytest.mark.slow
def test_real_models_read_the_screens_the_same_in_any_order() -> None:
    model: TextModel = PpOcr(2)
    forwards, backwards = FrameReader(model), FrameReader(model)
    numbers = range(0, len(SCREENS), 3)
    first = {number: lines(forwards, screen(number)) for number in numbers}
    assert {number: lines(backwards, screen(number)) for number in reversed(numbers)} == first
    for number in (3, 12):
        assert lines(FrameReader(PpOcr(1)), screen(number)) == first[number]
