"""The time that a model may take: an item too many fails alone, and a model that does not come back is noticed."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from null_ocr_server import NullEngine

from schemas.serving import ReadFailed, ReadText
from workers import answering as module
from workers.answering import Answering, Lost
from workers.text_service import TextService

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\x20\x00\x00\x02\x58"


class SlowOn(NullEngine):
    """Works on one image for ever, until it is interrupted; or even then."""

    def __init__(self, image: bytes, *, deaf: bool = False) -> None:
        super().__init__()
        self.image = image
        self.deaf = deaf
        self.begun = threading.Event()
        self.released = threading.Event()

    def read(self, image: bytes) -> ReadText | ReadFailed:
        if image == self.image:
            self.begun.set()
            self.released.wait(20)
        return super().read(image)

    def interrupt(self) -> None:
        if not self.deaf:
            self.released.set()


def answer(answering: Answering, images: list[bytes]) -> list[Any]:
    async def work() -> bytes:
        asked = asyncio.create_task(answering.answer(images))
        while not asked.done():
            assert not answering.is_hung()
            await asyncio.sleep(0.02)
        return asked.result()

    results = json.loads(asyncio.run(work()))["results"]
    assert isinstance(results, list)
    return results


def test_an_item_that_takes_too_long_fails_alone() -> None:
    answering = Answering(TextService(SlowOn(PNG + b"slow")), item_timeout_s=0.5)
    try:
        first, slow, last = answer(answering, [PNG + b"a", PNG + b"slow", PNG + b"b"])
        assert slow == {"error": "model_failed", "message": "TimeoutError"}
        assert len(first["lines"]) == len(last["lines"]) == 40
    finally:
        answering.close()


def test_a_model_that_does_not_come_back_when_it_is_interrupted_counts_as_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COME_BACK_S", 0.1)
    engine = SlowOn(PNG, deaf=True)
    answering = Answering(TextService(engine), item_timeout_s=0.1)

    async def work() -> bool:
        asked = asyncio.create_task(answering.answer([PNG]))
        await asyncio.to_thread(engine.begun.wait, 10)
        found = [answering.is_hung()]
        while not found[-1] and len(found) < 500:
            await asyncio.sleep(0.02)
            found.append(answering.is_hung())
        engine.released.set()
        await asked
        return found[0] is False and found[-1] is True

    try:
        assert asyncio.run(work())
        assert not answering.is_hung()
    finally:
        answering.close()


def test_time_in_which_the_server_was_stopped_counts_against_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COME_BACK_S", 0.1)
    monkeypatch.setattr(module, "_STOOD_S", 0.3)
    engine = SlowOn(PNG, deaf=True)
    answering = Answering(TextService(engine), item_timeout_s=0.05)

    async def work() -> list[bool]:
        asked = asyncio.create_task(answering.answer([PNG]))
        await asyncio.to_thread(engine.begun.wait, 10)
        await asyncio.sleep(0.1)
        found = [answering.is_hung()]  # interrupts it, and nobody looks for a while
        await asyncio.sleep(0.5)
        found.append(answering.is_hung())
        engine.released.set()
        await asked
        return found

    try:
        assert asyncio.run(work()) == [False, False]
    finally:
        answering.close()


class Bereft(NullEngine):
    """Stands on something that is gone."""

    def read(self, image: bytes) -> ReadText | ReadFailed:
        raise Lost("the endpoint is away")


def test_what_the_model_stands_on_and_lost_ends_the_server_and_fails_no_item() -> None:
    answering = Answering(TextService(Bereft()))
    try:
        with pytest.raises(Lost):
            answer(answering, [PNG + b"a", PNG + b"b"])
        assert answering.lost == "the endpoint is away"
    finally:
        answering.close()
