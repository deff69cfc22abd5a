"""Where a worker process is: beside the driver, or on another node of the cluster; and what that decides.

Beside the driver it asks the gate itself and the server that the run started. On another node neither can be reached:
there it goes by the driver's word, and its frames go to a server of its own on that node's loopback.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.dataroot import DataRoot
from pipeline.engines.ray_cluster import CLUSTER, require_allowed_nodes, require_no_public_address
from pipeline.engines.ray_environment import import_ray
from pipeline.engines.shards import KeepWaiting, Server, ServerOnNode
from pipeline.errors import Unavailable
from pipeline.loopback import is_loopback
from pipeline.settings import Settings
from schemas.serving import ModelIdentity


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process is: the kernel that runs it, and the processes and the loopback that it sees."""

    kernel: str
    processes: int
    network: int


def here() -> Place:
    """Where this process is."""
    spaces = Path("/proc/self/ns")
    return Place(
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        (spaces / "pid").stat().st_ino,
        (spaces / "net").stat().st_ino,
    )


def node_address() -> str:
    """The address of the node that this worker process is on."""
    ray = import_ray()  # there already: this is a process of Ray's
    return str(ray.util.get_node_ip_address())


def require_allowed_node(node: str, networks: Sequence[str]) -> None:
    """Check, on another node than the driver's, that it may take part. Raises ContractInvalid."""
    require_allowed_nodes("this address", [node], networks)
    if not is_loopback(node):
        require_no_public_address(node)


def require_same_dataroot(node: str, root: DataRoot, wanted: Path) -> None:
    """Check that a node has the DataRoot where the driver has it, with the folder `wanted` that it made there.

    Raises Unavailable.
    """
    if not (os.access(root.metadata_db, os.R_OK) and os.access(wanted, os.R_OK | os.X_OK)):
        raise Unavailable(
            f"the node {node} does not see the DataRoot {root} that this run works on",
            remedy=f"mount it at the same path on every node, for the same user id ({CLUSTER})",
        )


def server_on(
    node: str, find: ServerOnNode, root: DataRoot, settings: Settings, wanted: ModelIdentity, keep_waiting: KeepWaiting
) -> Server:
    """The server of a model on this node, another one than the driver's; it must be the same model `[row-2]`.

    Raises Unavailable, naming the node, and what `keep_waiting` raises.
    """
    try:
        server = find(root.on_node(node), settings, keep_waiting)
    except Unavailable as error:
        raise Unavailable(f"on the node {node}: {error.message}", remedy=error.remedy) from error
    found = identity_of(server)
    if found != wanted:
        raise Unavailable(
            f"the node {node} has the model {found.model_id} with the digest {found.model_digest[:12]}, this run's is"
            f" {wanted.model_id}, {wanted.model_digest[:12]}",
            remedy=f"install the same packages and models on every node, and set ocr_runtime ({CLUSTER})",
        )
    return server


def identity_of(server: Server) -> ModelIdentity:
    """Who the model behind a server is."""
    return server.identity if isinstance(server, VlmServer) else server.model
