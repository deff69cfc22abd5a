"""What ends requests: a server that is stuck or gone, a gate that closes, a consumer that stops."""

from __future__ import annotations

import threading
import time

import pytest
from text_server import (
    FRAMES,
    client,
    read_all,
    serving,
    words,
)

from pipeline.clients import ServerGone


def test_only_the_oldest_request_times_out_while_the_server_is_stuck_on_it() -> None:
    turn = threading.Lock()

    def answer(images: list[bytes]) -> tuple[int, bytes]:
        with turn:
            time.sleep(1.0 if images == [b"frame 0"] else 0.0)
            return read_all(images)

    with serving(answer) as url:
        outcomes = dict(client(url, concurrency=3, timeout_s=0.5)(FRAMES[:3]))
    assert [words(outcomes[index]) for index in range(3)] == ["request_timeout", "read frame 1", "read frame 2"]


def test_nothing_is_sent_once_the_gate_is_closed() -> None:
    asked: list[bytes] = []

    def answer(images: list[bytes]) -> tuple[int, bytes]:
        asked.extend(images)
        return read_all(images)

    with serving(answer) as url:
        assert list(client(url, may_send=lambda: False)(FRAMES)) == []
    assert asked == []


def test_requests_in_flight_are_given_up_when_the_gate_closes() -> None:
    closing, stuck = threading.Event(), threading.Event()

    def answer(images: list[bytes]) -> tuple[int, bytes]:
        if images != [b"frame 0"]:
            closing.set()
            stuck.wait(10)
        return read_all(images)

    with serving(answer) as url:
        try:
            outcomes = list(client(url, may_send=lambda: not closing.is_set(), concurrency=1)(FRAMES))
        finally:
            stuck.set()
    assert [index for index, _ in outcomes] == [0]


def test_closing_the_generator_ends_the_requests() -> None:
    stuck = threading.Event()

    def answer(images: list[bytes]) -> tuple[int, bytes]:
        if images != [b"frame 0"]:
            stuck.wait(10)
        return read_all(images)

    with serving(answer) as url:
        try:
            outcomes = iter(client(url)(FRAMES))
            assert next(outcomes)[0] == 0
            outcomes.close()  # type: ignore[attr-defined]
            assert "text-client" not in [thread.name for thread in threading.enumerate()]
        finally:
            stuck.set()


def test_a_broken_connection_names_the_frames_that_were_with_the_server() -> None:
    def answer(images: list[bytes]) -> tuple[int, bytes]:
        if images == [b"frame 2"]:
            raise ConnectionAbortedError
        time.sleep(0.2)  # one image a request
        return read_all(images)

    with serving(answer) as url, pytest.raises(ServerGone) as caught:
        list(client(url, concurrency=1)(FRAMES))
    assert caught.value.in_flight == (2,)


def test_what_was_answered_before_the_server_went_is_kept() -> None:
    def answer(images: list[bytes]) -> tuple[int, bytes]:
        if images == [b"frame 2"]:
            raise ConnectionAbortedError
        time.sleep(0.2)
        return read_all(images)

    with serving(answer) as url:
        outcomes = iter(client(url, concurrency=1)(FRAMES))
        assert [next(outcomes)[0], next(outcomes)[0]] == [0, 1]
        with pytest.raises(ServerGone):
            next(outcomes)


def test_a_server_that_cannot_be_reached_blames_no_frame() -> None:
    with serving(read_all) as url:
        pass
    with pytest.raises(ServerGone) as caught:
        list(client(url)(FRAMES))
    assert caught.value.in_flight == ()


def test_a_server_that_does_not_know_the_token_blames_no_frame() -> None:
    with serving(lambda _: (401, b"")) as url, pytest.raises(ServerGone) as caught:
        list(client(url)(FRAMES))
    assert caught.value.in_flight == ()
