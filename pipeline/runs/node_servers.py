"""Servers of models on other nodes of a Ray cluster than the run's: each asks its own, on its own loopback `[model-1]`.

A worker of Ray's cannot start a server itself: Ray ends what a worker started when it ends the worker, which it does
when it likes. So a process between the two starts it, `python -m pipeline.runs.node_servers`, and is gone at once.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from pipeline.budget.hold import Budget
from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.dataroot import DataRoot
from pipeline.engines.shards import KeepWaiting, ServerOnNode
from pipeline.errors import PipelineError, Unavailable
from pipeline.runs.manifest import code_sha256
from pipeline.runs.server_process import GO_ON, tell_keeper
from pipeline.runs.servers import OWN_VLM, ensure_server, find_server, let_server_stay, own_servers
from pipeline.runs.vlm import find_vlm
from pipeline.settings import Settings
from schemas.serving import RunFile

_POLL_S = 0.1
_NEEDED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "AP_CPU_LIMIT", "AP_MEM_LIMIT_MB",
           "AP_NO_NETWORK")  # fmt: skip
"""What a server that is started by Ray's worker keeps of its environment, which is full of Ray's own settings."""


def text_server_on_node(kind: str, model: str) -> ServerOnNode:
    """How a node gets its own server of a kind, with the model that is given to it as `--model`."""
    return partial(_text_server, code_sha256(), kind, model)


def vlm_on_node() -> ServerOnNode:
    """How a node finds its own VLM: the endpoint of the same URL on its loopback, or a server of its own."""
    return partial(_vlm, code_sha256())


def _text_server(
    code: str, kind: str, model: str, root: DataRoot, settings: Settings, keep_waiting: KeepWaiting
) -> RunFile:
    _require_code(code)
    return _own_server(kind, model, root, settings, keep_waiting)


def _vlm(code: str, root: DataRoot, settings: Settings, keep_waiting: KeepWaiting) -> VlmServer:
    _require_code(code)
    if settings.vlm_server == OWN_VLM:
        _own_server("vlm", "", root, settings, keep_waiting)
    return find_vlm(root, settings, keep_waiting)


def _require_code(wanted: str) -> None:
    """Another version of this code could make other rows `[row-2]`. Raises Unavailable."""
    if code_sha256() != wanted:
        raise Unavailable(
            "another version of autocapture-pipeline is installed than the run's",
            remedy="install the same version on every node",
        )


def _own_server(kind: str, model: str, root: DataRoot, settings: Settings, keep_waiting: KeepWaiting) -> RunFile:
    """Raises Unavailable, and what `keep_waiting` raises; then the server that was being started ends too."""
    tell_keeper(root, kind, GO_ON)
    server = find_server(root, kind)
    if server is None or server.asked != model:
        _start_apart(kind, model, root, settings, keep_waiting)
        server = find_server(root, kind)
    if server is None:
        raise Unavailable(f"the {kind} server is gone again (log: {root.logs / f'{kind}.log'})", remedy="run again")
    return server


def _start_apart(kind: str, model: str, root: DataRoot, settings: Settings, keep_waiting: KeepWaiting) -> None:
    given = {
        "root": str(root.path),
        "node": root.node,
        "kind": kind,
        "model": model,
        # One machine's memo is never another's: SQLite is not for two machines at once.
        "settings": settings.model_copy(update={"ocr_memo_file": None}).model_dump(mode="json"),
    }
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    # -P: the current directory must not be able to stand in for our modules.
    starter = subprocess.Popen(
        [sys.executable, "-P", "-m", "pipeline.runs.node_servers", json.dumps(given)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True,
        start_new_session=True, umask=0o077,
    )  # fmt: skip
    with starter:
        try:
            while starter.poll() is None:
                keep_waiting()
                time.sleep(_POLL_S)
        except BaseException:
            starter.kill()
            raise
        assert starter.stdout is not None
        said = starter.stdout.read()
    _raise_what(kind, said)


def _raise_what(kind: str, said: str) -> None:
    """Raises Unavailable for what the starter said went wrong, or when it said nothing."""
    try:
        problem = json.loads(said)
    except ValueError:
        problem = {"message": f"the {kind} server could not be started", "remedy": "pipeline doctor"}
    if problem:
        raise Unavailable(problem["message"], remedy=problem["remedy"])


def main(given: str) -> dict[str, str]:
    """Start a server of this node and let it stay, held to its part of this machine; returns why it cannot, if so."""
    told = json.loads(given)
    root = DataRoot(Path(told["root"])).on_node(told["node"])
    settings = Settings(**told["settings"])
    try:
        with Budget(root, settings, own_servers(root), part=f"nodes/{told['node']}").held(always_set=False):
            ensure_server(root, settings, told["kind"], told["model"])
            let_server_stay(root, told["kind"])
    except PipelineError as error:
        return {"message": error.message, "remedy": error.remedy}
    return {}


if __name__ == "__main__":
    logging.disable()
    sys.stdout.write(json.dumps(main(sys.argv[1])))
