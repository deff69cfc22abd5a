"""What this process needs around Ray: its settings before it is imported, its token, a gentle end."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from pipeline.errors import NotInstalled, Terminated

INSTALL = "pip install 'autocapture-pipeline[ray]'"
LOCAL = "pipeline run --engine local"
_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 a name
_BEFORE_IMPORT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # with it every listener of Ray's is on loopback
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # a thread that comes late would start another Ray, elsewhere
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_AUTH_MODE": "token",
}
_TO_JOIN = {"RAY_NUM_REDIS_GET_RETRIES": "1"}  # Ray would wait ten minutes for one with another token


def import_ray() -> Any:
    """Import Ray with Ray Data, with what it must know before. Raises NotInstalled."""
    _tell_before_import()
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise _not_installed() from error
    logging.getLogger("ray").setLevel(logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def require_installed() -> None:
    """Check, without the second that importing takes, that Ray is there. Raises NotInstalled."""
    if importlib.util.find_spec("ray") is None:
        raise _not_installed()


@contextmanager
def ray_environment(*, own: bool) -> Iterator[None]:
    """Environment for a Ray of our `own`, whose processes inherit the token so that no file holds it, or to join one.

    It is changed here, before other threads look at it; model servers that are started meanwhile go without the token.
    """
    _tell_before_import()
    ours = {_TOKEN: _token()} if own else _TO_JOIN
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Have SIGTERM end the run as an exception would, so that what was started is ended too."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _: object) -> None:
    signal.alarm(0)  # Ray's own handler calls this one, and would abort the process three seconds later
    raise Terminated(number)


def _tell_before_import() -> None:
    os.environ.update(_BEFORE_IMPORT)
    os.environ.pop("RAY_ADDRESS", None)  # where Ray is to be found is said on the command line only


def _not_installed() -> NotInstalled:
    return NotInstalled("the Ray engine needs the package ray with Ray Data, which is not installed", remedy=INSTALL)


@cache
def _token() -> str:
    """One token for the life of this process: Ray reads it once."""
    return secrets.token_hex(32)
