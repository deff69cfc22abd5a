"""How a keeper takes a server's silence: late is well, never is not."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from workers import ask_health
from workers.ask_health import Health


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.setattr(ask_health, "_ASK_EVERY_S", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(5)
        yield made


@pytest.fixture
def asked(listener: socket.socket) -> Iterator[Health]:
    made = Health(f"http://127.0.0.1:{listener.getsockname()[1]}", "token")
    yield made
    made.close()


def answer(listener: socket.socket, reply: bytes) -> bytes:
    connection, _ = listener.accept()
    with connection:
        question = connection.recv(4_096)
        connection.sendall(reply)
        return question


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_one_question_is_asked_and_waited_for_and_a_late_answer_is_one(listener: socket.socket, asked: Health) -> None:
    assert until(lambda: asked.silent_s() > 0.3)
    question = answer(listener, b"HTTP/1.1 200 OK\r\n\r\n")
    assert question.startswith(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer token\r\n" in question
    assert until(lambda: asked.silent_s() == 0.0)
    assert not select.select([listener], [], [], 0.05)[0]  # there was no second one


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 401 Unauthorized\r\n\r\n", b"SSH-2.0"])
def test_an_answer_that_is_none_is_silence_and_is_asked_for_again(
    listener: socket.socket, asked: Health, reply: bytes
) -> None:
    silences = []
    for _ in range(3):
        assert until(lambda: asked.silent_s() >= 0 and bool(select.select([listener], [], [], 0)[0]))
        answer(listener, reply)
        time.sleep(0.02)
        silences.append(asked.silent_s())
    assert 0 < silences[0] < silences[1] < silences[2]


def test_a_server_that_does_not_listen_is_silent(listener: socket.socket, asked: Health) -> None:
    listener.close()
    asked.silent_s()
    time.sleep(0.05)
    assert asked.silent_s() >= 0.05
