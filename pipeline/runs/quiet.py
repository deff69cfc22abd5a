"""Has the model servers keep quiet while the user is active: each keeper sees to it for its own server.

Who waited for an answer has hung up by then, so that a server that yields is quiet already.
"""

from __future__ import annotations

from pipeline.dataroot import DataRoot
from pipeline.runs.server_process import BE_QUIET, tell_keeper
from pipeline.runs.servers import KINDS


def quiet_servers(root: DataRoot, wait_s: float = 0.0) -> None:
    """From now on no server is to work until somebody uses it again; one that goes on is stopped where it stands.

    `wait_s` is for a server that is just being started: how long its processes may take to be known.
    """
    for kind in KINDS:
        tell_keeper(root, kind, BE_QUIET, wait_s)
