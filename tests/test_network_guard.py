"""Processes that may call nobody but this machine, and know it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pipeline.network_guard import is_refused

TRY = """
import socket, sys
from pipeline.network_guard import guard_network
assert guard_network() is (sys.argv[1] == "on")

def outcome(call):
    try:
        call()
    except PermissionError as error:
        return "refused" if "AP_NO_NETWORK" in str(error) else "denied"
    except OSError:
        return "tried"
    return "done"

def with_socket(use, kind=socket.SOCK_STREAM, family=socket.AF_INET):
    with socket.socket(family, kind) as one:
        one.settimeout(0.05)
        return outcome(lambda: use(one))

listener = socket.create_server(("127.0.0.1", 0))
print(with_socket(lambda one: one.connect(listener.getsockname())))
print(with_socket(lambda one: one.connect(("192.0.2.1", 9))))
print(with_socket(lambda one: one.connect_ex(("192.0.2.1", 9))))
print(with_socket(lambda one: one.sendto(b"x", ("192.0.2.1", 9)), socket.SOCK_DGRAM))
print(with_socket(lambda one: one.bind(("0.0.0.0", 0))))
print(with_socket(lambda one: one.bind(("", 0))))
print(with_socket(lambda one: one.connect(("::ffff:192.0.2.1", 9)), family=socket.AF_INET6))
print(outcome(lambda: socket.getaddrinfo("example.invalid", 80)))
print(outcome(lambda: socket.getaddrinfo("localhost", 80)))
print(outcome(lambda: socket.socketpair()[0].close()))
listener.close()
"""


def tried(**environment: str) -> list[str]:
    switch = "on" if environment.get("AP_NO_NETWORK", "0") != "0" else "off"
    command = [sys.executable, "-c", TRY, switch]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout.split()


def test_only_loopback_is_called_once_the_environment_says_so() -> None:
    refused = ["refused"] * 7
    assert tried(AP_NO_NETWORK="1") == ["done", *refused, "done", "done"]


def test_nothing_is_refused_otherwise() -> None:
    assert "refused" not in tried(AP_NO_NETWORK="0")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST.", None, "::ffff:127.0.0.1"])
def test_this_machine_may_be_called(host: str | None) -> None:
    assert not is_refused(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", b"8.8.8.8", 3, "127.1"]
)
def test_nothing_else_may(host: object) -> None:
    assert is_refused(host)
