"""What Ray's driver finds in its environment: what Ray reads before it is imported, a token; and a gentle end."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
_NOT_ITS = ("RAY_ADDRESS",)
"""Where Ray is to be found is said on the command line only."""

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


def driver_environment(*, own: bool) -> dict[str, str]:
    """The environment of Ray's driver: of a Ray of our `own`, whose processes inherit its token so that no file holds
    it, or of one that is joined."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_ITS}
    return kept | _BEFORE_IMPORT | ({_TOKEN: secrets.token_hex(32)} if own else _TO_JOIN)


@contextmanager
def end_on_sigterm() -> Iterator[None]:
    """Have SIGTERM end the run as an exception would, so that what was started is ended too."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield  # a command that has its own way with it
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _: object) -> None:
    raise Terminated(number)


def _tell_before_import() -> None:
    os.environ.update(_BEFORE_IMPORT)
    for name in _NOT_ITS:
        os.environ.pop(name, None)


def _not_installed() -> NotInstalled:
    return NotInstalled("the Ray engine needs the package ray with Ray Data, which is not installed", remedy=INSTALL)
