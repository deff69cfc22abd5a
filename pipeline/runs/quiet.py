"""Has the model servers keep quiet while the user is active: each keeper sees to it for its own server.

Who waits for an answer hangs up, which a server that was stopped sees when it goes on.
"""

from __future__ import annotations

from pipeline.dataroot import DataRoot
from pipeline.runs.server_process import BE_QUIET, tell_keeper
from pipeline.runs.servers import KINDS


def quiet_servers(root: DataRoot) -> None:
    """From now on no server is to work until somebody uses it again; one that does is stopped where it stands."""
    for kind in KINDS:
        tell_keeper(root, kind, BE_QUIET)
