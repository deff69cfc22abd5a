"""How the model servers are: our own, and the VLM of somebody else that is configured `[model-3]`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

import psutil

from pipeline.chat_endpoint import shown_name
from pipeline.clients.vlm_endpoint import ask_endpoint
from pipeline.dataroot import DataRoot
from pipeline.errors import PipelineError
from pipeline.runs import server_process
from pipeline.runs.full_profile import FULL
from pipeline.runs.servers import KINDS, OWN_VLM, probe_server
from pipeline.runs.vlm import URL_VARIABLE, read_token, served_card, vlm_url
from pipeline.settings import Settings

VLM = "vlm"
OURS, FOREIGN = "ours", "foreign"

_ANSWER_S = 2.0
_TOLD = (
    "pid", "since", "restarts", "died_utc", "died_of", "url", "model_id", "model_digest", "requests", "problem",
)  # fmt: skip


def server_status(root: DataRoot, settings: Settings) -> list[dict[str, Any]]:
    """Tell of each kind of server, and of another's VLM when one is configured, in place of our own unless that runs.

    `state` is ready, starting, paused (while the user is active), not answering or stopped; of a foreign VLM also "not
    wanted", when it serves another model, with the reason as `problem`. `since` is when its process was started;
    `restarts` how often it had died before, since it last ended in order.
    """
    servers = own_servers(root)
    if is_foreign_vlm_configured(settings):
        servers = [item for item in servers if item["kind"] != VLM or item["state"] != "stopped"]
        servers.append(_foreign_vlm(settings))
    return servers


def own_servers(root: DataRoot) -> list[dict[str, Any]]:
    """Tell of each kind of our own servers."""
    return [_own(root, kind) for kind in KINDS]


def is_foreign_vlm_configured(settings: Settings) -> bool:
    """Whether a VLM is meant to be asked that is not ours: by the profile, by its address, or by its model."""
    named = settings.vlm_url or settings.vlm_model_path or os.environ.get(URL_VARIABLE)
    return settings.vlm_server != OWN_VLM and bool(named or settings.profile == FULL)


def _own(root: DataRoot, kind: str) -> dict[str, Any]:
    found = probe_server(root, kind)
    history = server_process.read_history(root, kind)
    status = _blank(kind, OURS) | {
        "restarts": history["deaths"],
        "died_utc": history["died_utc"],
        "died_of": history["died_of"],
    }
    processes = server_process.holders(root, kind, wait_s=0)
    if found is not None:
        server, health = found
        model = {"model_id": health.model.model_id, "model_digest": health.model.model_digest}
        status.update(state="ready", pid=server.pid, url=server.url, requests=health.requests, **model)
    elif server_process.is_held(root, kind):
        state = "not answering" if root.worker_file(kind).exists() else "starting"
        if processes and _is_stopped(processes[0]):
            state = "paused"
        status.update(state=state, pid=processes[0].pid if processes else None)
    if status["pid"] is not None:
        status["since"] = _started_utc(status["pid"])
    return status


def _foreign_vlm(settings: Settings) -> dict[str, Any]:
    """Ask it, and say what keeps it from being used; it is never started or stopped by us."""
    status = _blank(VLM, FOREIGN) | {"state": "not answering"}
    try:
        status["url"] = url = vlm_url(settings)
        told = ask_endpoint(url, read_token(settings), _ANSWER_S)
        status.update(state="not wanted", model_id=shown_name(told.models[0].id) if told.models else None)
        if settings.vlm_model or settings.vlm_model_path:
            status["model_id"] = shown_name(served_card(told, settings, url).id)
        status["state"] = "ready"
    except PipelineError as error:
        status["problem"] = error.message
    return status


def _blank(kind: str, owner: str) -> dict[str, Any]:
    return {"kind": kind, "owner": owner, "state": "stopped", **dict.fromkeys(_TOLD)}


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _started_utc(pid: int) -> str | None:
    try:
        return datetime.fromtimestamp(psutil.Process(pid).create_time(), UTC).isoformat(timespec="seconds")
    except psutil.NoSuchProcess:
        return None
