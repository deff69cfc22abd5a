"""Ray for one run: started on loopback only, with a token of its own, or joined; ended with all its processes."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from pipeline.clients.endpoint import is_loopback, require_loopback
from pipeline.dataroot import DataRoot
from pipeline.engines.ray_folder import link_to, make_folder, processes_of, remove_folder
from pipeline.errors import ContractInvalid, NotInstalled, Unavailable

INSTALL = "pip install 'autocapture-pipeline[ray]'"
LOCAL = "pipeline run --engine local"
START_ONE = (
    "ray get-auth-token --generate; RAY_AUTH_MODE=token RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0"
    " ray start --head --node-ip-address 127.0.0.1"
)
OBJECT_STORE_BYTES = 160 << 20
_GONE_S = 5.0
_CONNECT_S = 2.0
_BEFORE_IMPORT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # with it every listener of Ray's is on loopback
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_AUTH_MODE": "token",
}

log = logging.getLogger("pipeline")


class RaySession:
    """Ray, started for this run, or joined on loopback. Raises Unavailable, ContractInvalid."""

    def __init__(self, root: DataRoot, cpus: int, address: str = "") -> None:
        self._folder: Path | None = None
        started = time.monotonic()
        try:
            if address:
                self._join(address)
            else:
                self._start(root, cpus)
        except BaseException:
            self.close()
            raise
        self.startup_s = time.monotonic() - started
        log.info("Ray %s after %.1f s", "joined" if address else "started", self.startup_s)

    def _start(self, root: DataRoot, cpus: int) -> None:
        ray = import_ray()
        self._folder = make_folder(root)
        link = link_to(self._folder)
        with _token_in_environment(), _umask(), _as_unavailable("Ray did not start", remedy=LOCAL):
            ray.init(
                address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False, logging_level=logging.ERROR, _temp_dir=str(link),
            )  # fmt: skip
        self.require_loopback_only()

    def _join(self, address: str) -> None:
        reachable = require_loopback_address(address)
        require_private_token()
        os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "1")  # Ray would wait ten minutes for one with another token
        ray = import_ray()
        with _as_unavailable(f"no Ray could be joined at {address}", remedy=START_ONE):
            _require_listener(reachable)
            ray.init(address=reachable, log_to_driver=False, logging_level=logging.ERROR)
        outside = [node["NodeManagerAddress"] for node in ray.nodes() if not is_loopback(node["NodeManagerAddress"])]
        if outside:
            raise ContractInvalid(
                f"the Ray at {address} has nodes that are not on loopback: {', '.join(sorted(outside))}",
                remedy=START_ONE,
            )

    def require_loopback_only(self) -> None:
        """Check that what Ray started listens on loopback only. Raises ContractInvalid."""
        if self._folder is not None:
            require_loopback_only(self._folder)

    def close(self) -> None:
        """End Ray, or leave the one that was joined; returns once its processes and files are gone."""
        ray = sys.modules.get("ray")
        if ray is not None:
            ray.shutdown()
        if self._folder is not None:
            remove_folder(self._folder, patience_s=_GONE_S)


def require_loopback_only(folder: Path) -> None:
    """Check that the processes that write into a folder listen on loopback only. Raises ContractInvalid."""
    for process in processes_of(folder):
        with suppress(psutil.Error):
            listening = [item for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN]
            if any(not is_loopback(item.laddr.ip) for item in listening):
                raise ContractInvalid("Ray listens on more than loopback; it was stopped", remedy=LOCAL)


def import_ray() -> Any:
    """Import Ray with Ray Data, with what it must know before. Raises NotInstalled."""
    os.environ.update(_BEFORE_IMPORT)
    os.environ.pop("RAY_ADDRESS", None)  # where Ray is to be found is said on the command line only
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


def _not_installed() -> NotInstalled:
    return NotInstalled("the Ray engine needs the package ray with Ray Data, which is not installed", remedy=INSTALL)


def require_loopback_address(address: str) -> str:
    """Check that `HOST:PORT` is on loopback; returns it with the host resolved. Raises ContractInvalid."""
    remedy = "name a Ray on this machine: --ray-address 127.0.0.1:6379"
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in address:
        raise ContractInvalid(f"the Ray address {address} is not HOST:PORT", remedy=remedy)
    try:
        return require_loopback(f"http://{address}").removeprefix("http://")
    except ContractInvalid as error:
        raise ContractInvalid(f"the Ray address {address} is not on loopback", remedy=remedy) from error


def _require_listener(address: str) -> None:
    """Raises OSError when nobody listens there."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()


def require_private_token() -> None:
    """Check that the token file of a Ray to be joined is private. Raises ContractInvalid."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    with suppress(FileNotFoundError):
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ContractInvalid(f"others may read Ray's token {path}", remedy=f"chmod 600 {path}")


@cache
def _token() -> str:
    """One token for the life of this process: Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _token_in_environment() -> Iterator[None]:
    """Ray's processes inherit the token, so that no file holds it; model servers that we start go without."""
    before = os.environ.get("RAY_AUTH_TOKEN")
    os.environ["RAY_AUTH_TOKEN"] = _token()
    try:
        yield
    finally:
        del os.environ["RAY_AUTH_TOKEN"]
        if before is not None:
            os.environ["RAY_AUTH_TOKEN"] = before


@contextmanager
def _umask() -> Iterator[None]:
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _as_unavailable(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise Unavailable(f"{what}: {type(error).__name__}", remedy=remedy) from error
