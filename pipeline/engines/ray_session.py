"""Ray for one run: started on loopback only, with a token of its own, or joined; ended with all its processes."""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from pipeline.dataroot import DataRoot
from pipeline.engines.ray_environment import LOCAL, import_ray
from pipeline.engines.ray_folder import link_to, make_folder, processes_of, remove_folder
from pipeline.errors import ContractInvalid, Unavailable
from pipeline.loopback import is_loopback, require_loopback

START_ONE = (
    "(umask 077; ray get-auth-token --generate >/dev/null); RAY_AUTH_MODE=token RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0"
    " ray start --head --node-ip-address 127.0.0.1"
)
OBJECT_STORE_BYTES = 160 << 20
_GONE_S = 5.0
_CONNECT_S = 2.0


class RaySession:
    """Ray, started for this run, or joined on loopback. Raises Unavailable, ContractInvalid."""

    def __init__(self, root: DataRoot, cpus: int, address: str = "") -> None:
        self._folder: Path | None = None
        self._session_folder: Path | None = None
        try:
            if address:
                self._join(address)
            else:
                self._start(root, cpus)
        except BaseException:
            self.close()
            raise

    def _start(self, root: DataRoot, cpus: int) -> None:
        ray = import_ray()
        self._folder = make_folder(root)
        link = link_to(self._folder)
        with _umask(), _as_unavailable("Ray did not start", remedy=LOCAL):
            ray.init(
                address="local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False, logging_level=logging.ERROR, _temp_dir=str(link),
            )  # fmt: skip
        self._session_folder = self._folder
        self.require_loopback_only()

    def _join(self, address: str) -> None:
        reachable = require_loopback_address(address)
        require_private_token()
        ray = import_ray()
        with _as_unavailable(f"no Ray could be joined at {address}", remedy=START_ONE):
            _require_listener(reachable)
            joined = ray.init(address=reachable, log_to_driver=False, logging_level=logging.ERROR)
        outside = [node["NodeManagerAddress"] for node in ray.nodes() if not is_loopback(node["NodeManagerAddress"])]
        if outside:
            raise ContractInvalid(
                f"the Ray at {address} has nodes that are not on loopback: {', '.join(sorted(outside))}",
                remedy=START_ONE,
            )
        self._session_folder = Path(joined.address_info["session_dir"])
        self.require_loopback_only()

    def require_loopback_only(self) -> None:
        """Check that Ray's processes listen on loopback only. Raises ContractInvalid."""
        if self._session_folder is not None:
            require_loopback_only(self._session_folder, remedy=LOCAL if self._folder else START_ONE)

    def close(self) -> None:
        """End Ray, or leave the one that was joined; returns once its processes and files are gone."""
        ray = sys.modules.get("ray")
        if ray is not None:
            ray.shutdown()
        if self._folder is not None:
            remove_folder(self._folder, patience_s=_GONE_S)


def require_loopback_only(folder: Path, remedy: str = LOCAL) -> None:
    """Check that the processes that write into a folder listen on loopback only. Raises ContractInvalid."""
    for process in processes_of(folder):
        with suppress(psutil.Error):
            listening = [item for item in process.net_connections("inet") if item.status == psutil.CONN_LISTEN]
            if any(not is_loopback(item.laddr.ip) for item in listening):
                raise ContractInvalid("Ray listens on more than loopback", remedy=remedy)


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
