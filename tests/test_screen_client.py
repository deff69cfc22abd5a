"""The VLM client against endpoints that behave, and against ones that do not; each a real server on loopback."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from vlm_server import Endpoint, completion, picture, said, serving

from pipeline.clients import ServerGone
from pipeline.clients.request_limit import RequestLimit, read_waiting
from pipeline.clients.screens import ScreenClient
from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.errors import ContractInvalid, SampleError
from pipeline.gate import Lookout
from pipeline.prompts import load_prompt
from schemas.screen import DescribedScreen
from schemas.serving import FrameRef, ModelIdentity, SampleFailure

PROMPT = load_prompt("describe_screen", "v1")
IMAGES = {f"run/frame/{number}": picture(shade=number) for number in range(20)}
Outcomes = dict[int, DescribedScreen | SampleFailure]


def frame(name: str, width: int = 64, height: int = 48) -> FrameRef:
    return FrameRef(name, "run", datetime(2026, 4, 1, tzinfo=UTC), width, height, "", name)


FRAMES = [frame(name) for name in IMAGES]


def load(one: FrameRef) -> bytes:
    return IMAGES[one.frame_id]


def client(
    endpoint: Endpoint,
    may_send: Callable[[], bool] = lambda: True,
    load: Callable[[FrameRef], bytes] = load,
    concurrency: int = 4,
    timeout_s: float = 20.0,
) -> ScreenClient:
    return ScreenClient(
        endpoint.server, PROMPT, load=load, may_send=Lookout(may_send), concurrency=concurrency, timeout_s=timeout_s
    )


def describe(answer: Any, frames: Sequence[FrameRef] = FRAMES[:1], **given: Any) -> Outcomes:
    with serving(answer) as endpoint:
        return dict(client(endpoint, **given)(frames))


def failure(answer: Any, **given: Any) -> SampleFailure:
    (outcome,) = describe(answer, **given).values()
    assert isinstance(outcome, SampleFailure)
    return outcome


def screen(answer: Any) -> Any:
    (outcome,) = describe(answer).values()
    assert isinstance(outcome, DescribedScreen)
    return outcome.screen


def test_every_frame_is_described_in_pixels_of_the_frame() -> None:
    outcomes = describe(said, FRAMES)
    assert sorted(outcomes) == list(range(20))
    first = outcomes[0]
    assert isinstance(first, DescribedScreen)
    assert [item.bbox for item in first.screen.elements] == [(6, 12, 32, 24)]
    assert (first.prompt_tokens, first.reply_tokens, first.screen.dropped) == (9, 5, 0)


def test_a_request_carries_the_picture_as_it_is_and_the_schema() -> None:
    with serving() as endpoint:
        list(client(endpoint)(FRAMES[:1]))
    (request,) = endpoint.requests
    assert endpoint.images == [IMAGES["run/frame/0"]]
    assert request["response_format"]["json_schema"]["schema"] == PROMPT.reply_schema
    assert (request["model"], request["temperature"], request["seed"]) == ("/models/tiny-vl", 0, 0)
    assert "guided_json" not in request
    assert request["messages"][0] == {"role": "system", "content": PROMPT.system}


def test_the_key_is_sent_and_shows_in_no_text() -> None:
    with serving(key="secret-key") as endpoint:
        outcomes = dict(client(endpoint)(FRAMES[:2]))
        assert all(isinstance(item, DescribedScreen) for item in outcomes.values())
        assert "secret-key" not in repr(endpoint.server)


@pytest.mark.parametrize(
    "reply",
    [
        "no JSON",
        "",
        "[]",
        "{}",
        json.dumps(said(b"") | {"sql": "DROP TABLE frames"}),
        json.dumps(said(b"") | {"app_kind": "bank"}),
        json.dumps(said(b"") | {"summary": None}),
        json.dumps(said(b"") | {"summary": "x" * 201}),
        json.dumps(said(b"") | {"summary": "y" * 300_000}),
        json.dumps(said(b"") | {"elements": [{"role": "button"}]}),
        json.dumps(said(b"")).replace("[100, 250, 500, 500]", "[100, 250, 500]"),
        json.dumps(said(b"")).replace("[100, 250, 500, 500]", "[100.5, 250, 500, 500]"),
        json.dumps(said(b"")).replace("[100, 250, 500, 500]", '["100", 250, 500, 500]'),
        json.dumps(said(b"")).replace("[100, 250, 500, 500]", "[1e400, 250, 500, 500]"),
        json.dumps(said(b"")).replace("Save", "\\ud800"),
        json.dumps(said(b"") | {"elements": said(b"")["elements"] * 33}),
        "[" * 5000,
    ],
)
def test_a_reply_beyond_the_schema_fails_its_frame_for_good_and_is_kept(reply: str) -> None:
    failed = failure(lambda _: reply)
    assert (failed.code, failed.retryable) == ("reply_invalid", False)
    assert failed.reply == completion(reply)
    assert "reply" not in repr(failed).replace("reply_invalid", "").replace("the model's reply", "")


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        ((200, b"<html>"), "reply_invalid", False),
        ((200, b'{"choices": []}'), "reply_invalid", False),
        ((200, completion("{", finish_reason="length")), "reply_cut_off", False),
        ((200, b"x" * 1_100_000), "reply_too_large", False),
        ((400, b'{"error": "the prompt is too long"}'), "request_refused", False),
        ((500, b"internal"), "request_refused", True),
        ((302, b"elsewhere"), "request_refused", False),
    ],
)
def test_each_bad_answer_has_its_class(answer: tuple[int, bytes], code: str, retryable: bool) -> None:
    failed = failure(lambda _: answer)
    assert (failed.code, failed.retryable) == (code, retryable)
    assert bool(failed.reply) != retryable


def test_one_bad_frame_costs_only_itself() -> None:
    outcomes = describe(lambda image: "no" if image == IMAGES["run/frame/3"] else said(image), FRAMES)
    assert [index for index, item in outcomes.items() if isinstance(item, SampleFailure)] == [3]
    assert len(outcomes) == 20


def test_boxes_are_clipped_and_what_is_not_in_the_frame_is_dropped_and_counted() -> None:
    boxes = [[-50, -50, 500, 1500], [1000, 0, 1200, 100], [500, 500, 400, 600], [10, 10, 10, 20], [0, 0, 1, 1]]
    elements = [{"role": "icon", "label": "", "bbox": box, "state": "normal"} for box in boxes]
    found = screen(lambda image: said(image, elements=elements, dialogs=[]))
    assert [item.bbox for item in found.elements] == [(0, 0, 32, 48), (0, 0, 1, 1)]
    assert found.dropped == 3


def test_text_is_one_line_of_data() -> None:
    odd = "\x1b[31m<b>a\u202e\u0000\nb</b>\u2028 e\u0301  '); DROP TABLE frames; --"
    found = screen(lambda image: said(image, summary=odd))
    assert found.summary == "[31m<b>a b</b> \u00e9 '); DROP TABLE frames; --"


def test_what_the_picture_is_not_is_said_before_anything_is_sent() -> None:
    images = {"a": b"no picture", "b": picture(100, 50), "c": b"\x89PNG" + b"0" * (25 << 20), "d": picture()}
    with serving() as endpoint:
        outcomes = dict(client(endpoint, load=lambda one: images[one.frame_id])([frame(name) for name in images]))
    codes = {index: item.code for index, item in outcomes.items() if isinstance(item, SampleFailure)}
    assert codes == {0: "image_unreadable", 1: "image_size_differs", 2: "image_too_large"}
    assert endpoint.images == [images["d"]]


def test_a_picture_that_unfolds_to_a_huge_one_is_not_sent() -> None:
    (outcome,) = describe(
        said, [frame("a", 17_000, 10)], load=lambda _: picture(17_000, 10)
    ).values()  # fmt: skip
    assert isinstance(outcome, SampleFailure)
    assert (outcome.code, outcome.retryable) == ("image_too_large", False)


def test_a_frame_that_cannot_be_loaded_fails_alone() -> None:
    def load_some(one: FrameRef) -> bytes:
        if one.frame_id == "run/frame/1":
            raise SampleError("blob_missing", "there is no blob")
        return load(one)

    outcomes = describe(said, FRAMES[:3], load=load_some)
    assert [index for index, item in outcomes.items() if isinstance(item, SampleFailure)] == [1]


def test_a_busy_server_is_asked_again() -> None:
    busy = iter([(503, b""), (429, b"")])
    outcomes = describe(lambda image: next(busy, None) or said(image), FRAMES[:2])
    assert all(isinstance(item, DescribedScreen) for item in outcomes.values())


def test_a_server_that_hangs_up_is_gone_and_the_oldest_request_is_named() -> None:
    def hang_up(image: bytes) -> dict[str, Any]:
        if image == IMAGES["run/frame/2"]:
            raise ConnectionAbortedError
        return said(image)

    with serving(hang_up) as endpoint:
        outcomes: Outcomes = {}
        with pytest.raises(ServerGone) as gone:
            outcomes.update(client(endpoint, concurrency=1)(FRAMES))
    assert gone.value.in_flight == (2,)


def test_no_frame_is_to_blame_for_a_server_that_is_not_there() -> None:
    with serving() as endpoint:
        pass
    with pytest.raises(ServerGone) as gone:
        list(client(endpoint)(FRAMES))
    assert gone.value.in_flight == ()


@pytest.mark.parametrize("status", [401, 404])
def test_another_server_in_its_place_is_an_outage(status: int) -> None:
    with serving(lambda _: (status, b"{}")) as endpoint, pytest.raises(ServerGone) as gone:
        list(client(endpoint)(FRAMES))
    assert gone.value.in_flight == ()


def test_a_request_that_hangs_fails_its_frame_while_the_server_is_well() -> None:
    release = threading.Event()

    def hang(image: bytes) -> dict[str, Any]:
        if image == IMAGES["run/frame/0"]:
            release.wait(20)
        return said(image)

    with serving(hang) as endpoint:
        outcomes = dict(client(endpoint, timeout_s=0.5)(FRAMES[:4]))
        release.set()
    first = outcomes.pop(0)
    assert isinstance(first, SampleFailure)
    assert (first.code, first.retryable) == ("request_timeout", True)
    assert all(isinstance(item, DescribedScreen) for item in outcomes.values())


def test_a_server_that_hangs_altogether_is_an_outage_and_no_fault_of_frames() -> None:
    release = threading.Event()

    def hang(image: bytes) -> dict[str, Any]:
        release.wait(20)
        return said(image)

    with serving(hang, health=500) as endpoint:
        outcomes: Outcomes = {}
        with pytest.raises(ServerGone):
            outcomes.update(client(endpoint, timeout_s=0.3)(FRAMES[:4]))
        release.set()
    assert outcomes == {}


def test_a_gate_that_closes_cancels_what_is_in_flight() -> None:
    release, open_ = threading.Event(), threading.Event()
    open_.set()

    def slow(image: bytes) -> dict[str, Any]:
        if image != IMAGES["run/frame/0"]:
            release.wait(20)
        return said(image)

    with serving(slow) as endpoint:
        found = []
        for index, _ in client(endpoint, may_send=open_.is_set)(FRAMES):
            found.append(index)
            open_.clear()
        sent = len(endpoint.requests)
        release.set()
    assert found == [0]
    assert sent < 20


def test_a_closed_gate_lets_nothing_out() -> None:
    with serving() as endpoint:
        assert list(client(endpoint, may_send=lambda: False)(FRAMES)) == []
    assert endpoint.requests == []


def test_a_consumer_that_stops_early_ends_the_requests() -> None:
    def slow(image: bytes) -> dict[str, Any]:
        time.sleep(0.02)
        return said(image)

    with serving(slow) as endpoint:
        for _ in client(endpoint, concurrency=1)(FRAMES):
            break
    assert len(endpoint.requests) < 20


def test_requests_overlap_up_to_the_limit() -> None:
    def slow(image: bytes) -> dict[str, Any]:
        time.sleep(0.03)
        return said(image)

    with serving(slow, waiting=0) as endpoint:
        list(client(endpoint, concurrency=3)(FRAMES))
    assert endpoint.most_at_once == 3


def test_a_server_that_tells_of_no_queue_gets_two_requests_at_a_time() -> None:
    def slow(image: bytes) -> dict[str, Any]:
        time.sleep(0.03)
        return said(image)

    with serving(slow) as endpoint:
        list(client(endpoint, concurrency=8)(FRAMES))
    assert endpoint.most_at_once == 2


def test_nothing_is_sent_beyond_loopback() -> None:
    identity = ModelIdentity(provider_id="vllm", model_id="m", model_digest="a" * 64)
    server = VlmServer("http://192.0.2.1:8000", "m", identity)
    with pytest.raises(ContractInvalid, match="not on loopback"):
        ScreenClient(server, PROMPT, load=load, may_send=Lookout(lambda: True), concurrency=1, timeout_s=1)


def test_the_limit_grows_by_one_a_round_and_halves_when_refused() -> None:
    limit = RequestLimit(8)
    seen = [limit.now]
    for _ in range(60):
        limit.answered()
        seen.append(limit.now)
    assert seen[0] == 2
    assert all(after - before in (0, 1) for before, after in pairwise(seen))
    assert limit.now == 8
    limit.refused()
    assert limit.now == 4
    for _ in range(9):
        limit.refused()
    assert limit.now == 1


def test_the_limit_gives_back_what_only_waits() -> None:
    limit = RequestLimit(8)
    for _ in range(60):
        limit.answered()
    limit.waiting(3)
    assert limit.now == 5
    limit.answered()
    assert limit.now == 5
    limit.waiting(0)
    for _ in range(6):
        limit.answered()
    assert limit.now == 6


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        (b'vllm:num_requests_waiting{engine="0",model_name="m"} 3.0\nvllm:num_requests_waiting{engine="1"} 4\n', 7),
        (b"vllm:num_requests_waiting 0.0\n", 0),
        (b"# HELP vllm:num_requests_waiting 3\n", None),
        (b"vllm:num_requests_waiting NaN\n", None),
        (b"", None),
    ],
)
def test_waiting_requests_are_read_from_metrics(metrics: bytes, expected: int | None) -> None:
    assert read_waiting(metrics) == expected


def test_the_queue_of_the_server_is_followed() -> None:
    def slow(image: bytes) -> dict[str, Any]:
        time.sleep(0.05)
        return said(image)

    with serving(slow, waiting=50) as endpoint:
        list(client(endpoint, concurrency=8)(FRAMES))
    assert endpoint.most_at_once <= 2
