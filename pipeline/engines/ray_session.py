"""Ray in its driver's process: started on loopback only, with a token of its own, or joined."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.engines.ray_cluster import (
    START_ONE,
    require_allowed_address,
    require_allowed_nodes,
    require_listener,
    require_loopback_only,
    require_no_public_address,
    require_private_token,
    require_token_asked,
)
from pipeline.engines.ray_environment import LOCAL, import_ray
from pipeline.engines.ray_messages import Start
from pipeline.errors import PipelineError, Unavailable
from pipeline.loopback import is_loopback

OBJECT_STORE_BYTES = 160 << 20
MOST_WORKERS = 4
"""Processes of a node that work for a run at once; mostly they wait for its model."""


class RaySession:
    """Ray, started for this run, or joined on loopback or on allowed networks. Raises Unavailable, ContractInvalid."""

    def __init__(self, start: Start) -> None:
        self.node = "127.0.0.1"
        """The address of the node that the driver is on."""
        self.workers = self.workers_of_a_node = workers_for(start.cpus)
        """How many processes may work at once: in all, and on one node at most."""
        self._folder = start.place
        """Where a Ray writes whose processes may be looked at: its folder, or that of its session."""
        self._address, self._networks = start.address, start.networks
        if start.address:
            self._join()
        else:
            self._start(start)

    def _start(self, start: Start) -> None:
        ray = import_ray()
        with _as_unavailable("Ray did not start", remedy=LOCAL):
            ray.init(
                address="local", num_cpus=start.cpus, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES,
                log_to_driver=False, logging_level=logging.ERROR, _temp_dir=str(start.place),
            )  # fmt: skip
        self.require_allowed()

    def _join(self) -> None:
        reachable = require_allowed_address(self._address, self._networks)
        require_private_token()
        ray = import_ray()
        with _as_unavailable(f"no Ray could be joined at {self._address}", remedy=START_ONE):
            self.node = require_listener(reachable)
            require_token_asked(reachable)
            # A machine may have several addresses; one on loopback says nothing of where its node is.
            given = {} if is_loopback(self.node) else {"_node_ip_address": self.node}
            joined = ray.init(address=reachable, log_to_driver=False, logging_level=logging.ERROR, **given)
        self._folder = Path(joined.address_info["session_dir"])
        self.require_allowed()
        by_node = [workers_for(int(node["Resources"]["CPU"])) for node in self._nodes() if _has_processors(node)]
        self.workers, self.workers_of_a_node = sum(by_node) or 1, max(by_node, default=1)

    def require_allowed(self) -> None:
        """Check where Ray's nodes are and what it listens on here. Raises ContractInvalid."""
        addresses = [node["NodeManagerAddress"] for node in self._nodes()] if self._address else [self.node]
        require_allowed_nodes(self._address, addresses, self._networks)
        if not all(is_loopback(address) for address in addresses):
            require_no_public_address(self.node)
        elif self._folder is not None:
            require_loopback_only(self._folder, remedy=START_ONE if self._address else LOCAL)

    def require_well(self) -> None:
        """Check, after a stop, that Ray answers, and that no node has joined that may not. Raises ContractInvalid.

        What a Ray of our own listens on is looked at after each wave; it has done nothing since.
        """
        if self._address:
            self.require_allowed()
        elif not self._nodes():
            raise Unavailable("Ray lost its node", remedy=LOCAL)

    def close(self) -> None:
        """Leave the Ray that was joined, or end the one that was started as far as Ray itself does it."""
        import_ray().shutdown()

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in import_ray().nodes() if node["Alive"]]


def workers_for(cpus: int) -> int:
    """How many processes of a node with so many processors may work for a run at once."""
    return min(MOST_WORKERS, max(2, cpus))


def _has_processors(node: dict[str, Any]) -> bool:
    return bool(node["Resources"].get("CPU", 0) >= 1)


@contextmanager
def _as_unavailable(what: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        raise Unavailable(f"{what}: {type(error).__name__}", remedy=remedy) from error
