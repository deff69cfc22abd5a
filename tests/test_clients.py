"""The client against servers that behave, and against ones that do not; each a real server on loopback."""

from __future__ import annotations

import json
import time

import pytest
from text_server import (
    FRAMES,
    client,
    load_name,
    outcome_of,
    read_all,
    results,
    serving,
    text,
    words,
)

from pipeline.clients.grouping import Grouping, split_by_bytes
from pipeline.errors import ContractInvalid, SampleError
from pipeline.loopback import require_loopback
from schemas.serving import FrameRef, ReadText, SampleFailure


def test_every_frame_is_answered_once_with_its_own_text() -> None:
    with serving(read_all) as url:
        outcomes = list(client(url)(FRAMES))
    assert sorted((index, words(outcome)) for index, outcome in outcomes) == [
        (number, f"read frame {number}") for number in range(40)
    ]


def test_a_quick_server_gets_several_images_in_a_request_and_never_more_than_sixteen() -> None:
    sizes: list[int] = []

    def answer(images: list[bytes]) -> tuple[int, bytes]:
        sizes.append(len(images))
        return read_all(images)

    with serving(answer) as url:
        assert len(list(client(url, concurrency=1)(FRAMES * 5))) == 200
    assert sizes[0] == 1
    assert max(sizes) == 16


def test_large_images_arrive_whole() -> None:
    received: list[int] = []

    def answer(images: list[bytes]) -> tuple[int, bytes]:
        received.extend(len(image) for image in images)
        return results(*(text(b"large") for _ in images))

    with serving(answer) as url:
        assert len(list(client(url, load=lambda _: bytes(9 << 20))(FRAMES[:3]))) == 3
    assert received == [9 << 20] * 3


def test_a_slow_server_gets_one_image_in_a_request() -> None:
    sizes: list[int] = []

    def answer(images: list[bytes]) -> tuple[int, bytes]:
        sizes.append(len(images))
        time.sleep(0.16)
        return read_all(images)

    with serving(answer) as url:
        assert len(list(client(url)(FRAMES[:8]))) == 8
    assert sizes == [1] * 8


def test_no_frames_means_no_request() -> None:
    assert list(client("http://127.0.0.1:9")([])) == []


@pytest.mark.parametrize(
    ("error", "code", "retryable"),
    [
        ("image_unreadable", "image_unreadable", False),
        ("image_too_large", "image_too_large", False),
        ("model_failed", "model_failed", True),
    ],
)
def test_what_the_server_could_not_read_is_a_failure_of_that_frame(error: str, code: str, retryable: bool) -> None:
    failure = outcome_of(lambda _: results({"error": error, "message": "words on the screen"}))
    assert (failure.code, failure.retryable) == (code, retryable)
    assert "words" not in failure.message


@pytest.mark.parametrize(
    "reply",
    [
        b"not json",
        b"{}",
        b'{"results": []}',
        json.dumps({"results": [text(b"x"), text(b"x")]}).encode(),
        json.dumps({"results": [text(b"x", more=1)]}).encode(),
        json.dumps({"results": [text(b"x", lines=[{"text": "\x1b[2J", "bbox": [0, 0, 1, 1], "score": 1}])]}).encode(),
        json.dumps({"results": [text(b"x", lines=[{"text": "x", "bbox": [0, 0, 1], "score": 1}])]}).encode(),
        json.dumps({"results": [text(b"x", lines=[{"text": "x", "bbox": [0, 0, 1, 1], "score": 10_001}])]}).encode(),
    ],
)
def test_a_reply_that_is_not_what_was_agreed_on_is_refused(reply: bytes) -> None:
    assert outcome_of(lambda _: (200, reply)).code == "reply_invalid"


def test_an_image_of_another_size_than_its_record_says_is_refused_for_good() -> None:
    failure = outcome_of(lambda images: results(text(images[0], width=101)))
    assert (failure.code, failure.retryable) == ("image_size_differs", False)


@pytest.mark.parametrize("bbox", [[0, 0, 101, 50], [0, 0, 100, 51], [10, 0, 10, 50], [0, 9, 100, 8]])
def test_a_box_that_is_empty_or_leaves_the_frame_is_refused(bbox: list[int]) -> None:
    failure = outcome_of(lambda images: results(text(images[0], lines=[{"text": "x", "bbox": bbox, "score": 1}])))
    assert failure.code == "box_outside_frame"


@pytest.mark.parametrize(("status", "retryable"), [(400, False), (413, False), (500, True)])
def test_a_refused_request_is_a_failure(status: int, retryable: bool) -> None:
    failure = outcome_of(lambda _: (status, b""))
    assert (failure.code, failure.retryable) == ("request_refused", retryable)


def test_a_redirect_is_not_followed() -> None:
    assert outcome_of(lambda _: (307, b"")).code == "request_refused"


def test_one_frame_that_spoils_a_request_of_many_fails_alone() -> None:
    def answer(images: list[bytes]) -> tuple[int, bytes]:
        return (500, b"") if b"frame 30" in images else read_all(images)

    with serving(answer) as url:
        outcomes = dict(client(url, concurrency=2)(FRAMES))
    assert [index for index, outcome in outcomes.items() if isinstance(outcome, SampleFailure)] == [30]
    assert len(outcomes) == 40


def test_a_frame_that_cannot_be_loaded_fails_alone() -> None:
    def load(item: FrameRef) -> bytes:
        if item.frame_id == "frame 3":
            raise SampleError("blob_missing", "there is no blob")
        return load_name(item)

    with serving(read_all) as url:
        outcomes = dict(client(url, load=load)(FRAMES))
    assert outcomes[3] == SampleFailure("blob_missing", "there is no blob", retryable=False)
    assert sum(isinstance(outcome, ReadText) for outcome in outcomes.values()) == 39


def test_an_unexpected_error_while_loading_reaches_the_caller() -> None:
    def load(_: FrameRef) -> bytes:
        raise ZeroDivisionError

    with serving(read_all) as url, pytest.raises(ZeroDivisionError):
        list(client(url, load=load)(FRAMES))


def test_proxies_in_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with serving(read_all) as url:
        assert len(list(client(url)(FRAMES[:2]))) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:8000",
        "http://0.0.0.0:8000",
        "https://127.0.0.1:8000",
        "http://user:password@198.51.100.7/",
        "http://[2001:db8::1]:8000",
        "http://",
        "http://127.0.0.1:99999",
        "ftp://127.0.0.1",
    ],
)
def test_an_endpoint_that_is_not_on_loopback_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ContractInvalid) as caught:
        client(url)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://127.3.2.1", "http://127.3.2.1:80"),
    ],
)
def test_an_endpoint_on_loopback_is_called_by_its_address(url: str, called: str) -> None:
    assert require_loopback(url) == called


def test_grouping_follows_the_servers_pace() -> None:
    grouping = Grouping()
    assert grouping.size() == 1
    grouping.answered(images=1, seconds=0.06)
    assert grouping.size() == 2
    grouping.answered(images=2, seconds=20.0)
    assert grouping.size() == 1


def test_large_images_travel_apart() -> None:
    large = bytes(700 << 10)
    assert [[index for index, _ in group] for group in split_by_bytes([(0, b"x"), (1, large), (2, large)])] == [
        [0, 1],
        [2],
    ]
