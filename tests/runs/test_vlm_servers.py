"""Screens described by real servers, run to rows: ours through transformers, and a real vLLM.

The model has random weights: what it says means nothing, but it is decoded, held to the schema, validated and kept as
any other's would be. The same tests for each server. vLLM's are slow, and skipped where it was not installed.

Real are: what is said, another model, another schema, a picture that is refused, a death, a start. A server cannot be
made to answer 500 or to hang: that is done by one that stands between.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from real_vllm import HOW_TO_INSTALL, KEY, is_installed, real_vllm
from screen_memory import Memory, folder_in_memory, rows
from served_vlm import Served, described, fates, fill, said, screens
from text_models import PixelModel
from vlm_between import Answer, Between, Pass, standing_between, with_another_schema
from vlm_memory import kept_replies
from vlm_server import picture

from pipeline.errors import Unavailable
from pipeline.runs.servers import stop_server
from schemas.screen import Screen
from schemas.serving import RunFile
from workers.paddle_ocr_vl import PaddleOcrVl

PLAIN, UNLUCKY, DISOBEYED, HANGING = (picture(64, 48, shade) for shade in range(4))
NARROW, HUGE = picture(1_000, 4), picture(17_000, 90)


@pytest.fixture(scope="module", params=["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def served(
    request: pytest.FixtureRequest, tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("served")
    key_file = place / "key"
    key_file.touch(mode=0o600)
    if request.param == "transformers":
        server: RunFile = request.getfixturevalue("vlm_worker")
        key_file.write_text(server.token)
        yield Served(server.url, key_file, tiny_vlm, frames=4)
        return
    if not is_installed():
        pytest.skip(f"there is no vLLM for tests here; to make one: {HOW_TO_INSTALL}")
    key_file.write_text(KEY)
    with real_vllm(tiny_vlm, place / "vllm.log") as vllm:
        yield Served(vllm.url, key_file, tiny_vlm, frames=20, vllm=vllm)


@pytest.fixture
def between(served: Served) -> Iterator[Between]:
    with standing_between(served.url) as found:
        yield found


def test_screens_are_described_and_a_second_time_the_same(served: Served, memory: Memory) -> None:
    images = screens()[: served.frames]
    assert len(images) == served.frames
    fill(memory, images)
    report = served.run(memory.root)
    assert report.samples["describe_screen"] == Counter(done=served.frames)
    first = described(memory.root)
    assert len(first) == len(rows(memory.root, "screens")) == served.frames
    for text in said(memory.root):
        screen = Screen.model_validate_json(text, strict=False)
        for element in screen.elements:
            left, top, right, bottom = element.bbox
            assert 0 <= left < right <= screen.width
            assert 0 <= top < bottom <= screen.height
    with folder_in_memory() as folder:
        other = Memory(folder / "other")
        fill(other, images, order=-1)
        served.run(other.root, shard_frames=3, vlm_concurrency=1)
        assert described(other.root) == first


def test_what_goes_wrong_costs_only_the_frame_that_it_befalls(served: Served, between: Between, memory: Memory) -> None:
    tried: Counter[bytes] = Counter()

    def spoil(image: bytes, body: bytes, pass_on: Pass) -> Answer:
        tried[image] += 1
        if image == UNLUCKY and tried[image] < 3:
            return 500, b'{"error": "out of luck"}'
        return pass_on(with_another_schema(body) if image == DISOBEYED else body)

    between.spoil = spoil
    fill(memory, [PLAIN, UNLUCKY, DISOBEYED, NARROW, HUGE])
    served.run(memory.root, between.url)
    assert fates(memory.root) == {
        "0": ("done", None),
        "1": ("done", None),
        "2": ("parked", "reply_invalid"),
        "3": ("parked", "request_refused"),
        "4": ("parked", "image_too_large"),
    }
    assert tried == Counter({PLAIN: 1, UNLUCKY: 3, DISOBEYED: 1, NARROW: 1})
    assert Counter(kept["error_code"] for kept in kept_replies(memory.root)) == Counter(
        reply_invalid=1, request_refused=1
    )


def test_another_model_than_the_one_that_is_wanted_ends_the_run_before_it_begins(
    served: Served, between: Between, memory: Memory
) -> None:
    fill(memory, [PLAIN])
    with pytest.raises(Unavailable, match="serves tiny-vlm, and not qwen") as caught:
        served.run(memory.root, between.url, vlm_model="qwen")
    assert "vlm_model" in caught.value.remedy
    assert between.chats == 0


def test_pictures_of_lines_are_read_through_vllm_and_our_own_server_says_that_it_cannot(served: Served) -> None:
    described = {"model_dir": str(served.folder), "url": served.url, "token_file": str(served.key_file)}
    line = np.full((20, 200, 3), 255, np.uint8)
    line[4:16, 10:90:3] = 0
    if served.vllm is None:  # it gives no chances of tokens
        with pytest.raises(Unavailable, match="does not read a picture: it answers 400"):
            PaddleOcrVl(PixelModel, described)
        return
    first, second = (PaddleOcrVl(PixelModel, described).recognize(line) for _ in range(2))
    assert first == second
    assert 0 <= first.score <= 1


@pytest.mark.slow
def test_a_request_that_hangs_fails_alone_and_is_tried_again(served: Served, between: Between, memory: Memory) -> None:
    hung: list[bytes] = []

    def spoil(image: bytes, body: bytes, pass_on: Pass) -> Answer:
        if image == HANGING and not hung:
            hung.append(image)
            time.sleep(25)
        return pass_on(body)

    between.spoil = spoil
    fill(memory, [PLAIN, HANGING, UNLUCKY])
    served.run(memory.root, between.url, vlm_timeout_s=20.0)
    assert set(fates(memory.root).values()) == {("done", None)}
    assert hung == [HANGING]


@pytest.mark.slow
def test_a_vllm_that_is_killed_in_the_middle_and_started_again_is_a_pause(
    served: Served, between: Between, memory: Memory
) -> None:
    vllm = served.vllm
    if vllm is None:
        pytest.skip("our own server is started again by the run itself: see below")
    images = screens()[: served.frames]

    def kill_and_start() -> None:
        vllm.kill()
        vllm.start()

    restart = threading.Thread(target=kill_and_start)

    def spoil(image: bytes, body: bytes, pass_on: Pass) -> Answer:
        if between.chats == 7:
            restart.start()
            raise ConnectionAbortedError
        return pass_on(body)

    between.spoil = spoil
    fill(memory, images)
    report = served.run(memory.root, between.url)
    restart.join()
    assert report.samples["describe_screen"]["done"] == served.frames
    assert set(fates(memory.root).values()) == {("done", None)}
    with folder_in_memory() as folder:
        undisturbed = Memory(folder / "undisturbed")
        fill(undisturbed, images)
        served.run(undisturbed.root)
        assert described(undisturbed.root) == described(memory.root)


@pytest.mark.slow
def test_vllm_and_transformers_say_the_same_of_every_screen(served: Served, memory: Memory, tiny_vlm: Path) -> None:
    if served.vllm is None:
        pytest.skip("it is vLLM that is compared")
    fill(memory, screens())
    served.run(memory.root)
    with folder_in_memory() as folder:
        ours = Memory(folder / "ours")
        fill(ours, screens())
        served.run(ours.root, vlm_server="own")
        stop_server(ours.root, "vlm")
        assert said(ours.root) == said(memory.root)
        assert described(ours.root).keys().isdisjoint(described(memory.root))
