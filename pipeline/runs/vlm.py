"""Which VLM a run uses: what is configured, what the endpoint serves, and that it is the same `[model-2]`."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.chat_endpoint import ModelCard, Told, find_card, served_names, shown_name
from pipeline.clients.vlm_endpoint import START, VlmServer, ask_endpoint
from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.loopback import require_loopback
from pipeline.runs.model_files import WEIGHTS, folder_digest, model_files
from pipeline.runs.servers import OWN_VLM, KeepWaiting, ensure_server
from pipeline.settings import Settings
from schemas.canonical import canonical_sha256
from schemas.serving import ModelIdentity

DEFAULT_URL = "http://127.0.0.1:8000"
URL_VARIABLE = "EXTERNAL_VLLM_BASE_URL"
CONFIGURE = "pipeline run --profile full --set vlm_model_path=FOLDER (or set it in pipeline.toml)"


def find_vlm(root: DataRoot, settings: Settings, keep_waiting: KeepWaiting = lambda: None) -> VlmServer:
    """Find the VLM that is configured, ready to be asked; our own is started, and `keep_waiting` asked meanwhile.

    Raises Unavailable, ContractInvalid beyond loopback, and what `keep_waiting` raises.
    """
    folder = model_folder(settings)
    if settings.vlm_server == OWN_VLM:
        return _own_vlm(root, settings, folder, keep_waiting)
    url, token = vlm_url(settings), read_token(settings)
    told = ask_endpoint(url, token)
    card = served_card(told, settings, url)
    return VlmServer(url, card.id, _identity(root, folder, card, told), token)


def _own_vlm(root: DataRoot, settings: Settings, folder: Path, keep_waiting: KeepWaiting) -> VlmServer:
    """Our own server, started if it does not run yet; it knows itself who its model is. Raises Unavailable."""
    server = ensure_server(root, settings, "vlm", keep_waiting=keep_waiting)
    card = find_card(ask_endpoint(server.url, server.token).models, settings.vlm_model, folder)
    if card is not None:
        return VlmServer(server.url, card.id, server.model, server.token)
    named = shown_name(server.model.model_id)
    raise Unavailable(
        f"our VLM server, process {server.pid}, serves {named}, and not the model in {folder}",
        remedy="pipeline workers down vlm",
    )


def vlm_url(settings: Settings) -> str:
    """Where the endpoint is, without the `/v1` that some write behind it. Raises ContractInvalid beyond loopback."""
    given = settings.vlm_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
    return require_loopback(given.rstrip("/").removesuffix("/v1"))


def model_folder(settings: Settings) -> Path:
    """The folder of the model's files. Raises Unavailable when it is not set, not there or holds no model."""
    if not settings.vlm_model_path:
        raise Unavailable("no VLM is configured: vlm_model_path is empty", remedy=CONFIGURE)
    folder = Path(settings.vlm_model_path)
    if not folder.is_dir():
        raise Unavailable(f"the VLM's folder {folder} is not there", remedy=CONFIGURE)
    names = {path.name for path in model_files(folder)}
    if "config.json" not in names:
        raise Unavailable(f"the VLM's folder {folder} holds no config.json", remedy=CONFIGURE)
    if not any(name.endswith(WEIGHTS) for name in names):
        raise Unavailable(f"the VLM's folder {folder} holds no weights (*.safetensors)", remedy=CONFIGURE)
    return folder


def read_token(settings: Settings) -> str:
    """The endpoint's key; empty without one. Raises Unavailable for a file that cannot be read, or that others may."""
    if not settings.vlm_token_file:
        return ""
    path = Path(settings.vlm_token_file)
    try:
        if path.stat().st_mode & 0o077:
            raise Unavailable(f"the VLM's key file {path} may be read by others", remedy=f"chmod 600 {path}")
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the VLM's key file {path} cannot be read ({type(error).__name__})", remedy="set vlm_token_file right"
        ) from error


def served_card(told: Told, settings: Settings, url: str) -> ModelCard:
    """The model that is wanted, as the endpoint serves it. Raises Unavailable when it serves others only."""
    folder = Path(settings.vlm_model_path)
    found = find_card(told.models, settings.vlm_model, folder)
    if found is not None:
        return found
    raise Unavailable(
        f"the VLM endpoint {url} serves {served_names(told.models)}, and not {settings.vlm_model or folder}",
        remedy=f"vllm serve {folder} (docs/operating.md), or set vlm_model to the name it is served under",
    )


def _identity(root: DataRoot, folder: Path, card: ModelCard, told: Told) -> ModelIdentity:
    """Who the model is: its files, and what the endpoint tells of the runtime. Where the files lie does not matter."""
    name = Path(card.id).name if card.id.startswith("/") else card.id
    provider = card.owned_by or "openai-compatible"
    try:
        files = folder_digest(root, folder)
    except OSError as error:
        raise Unavailable(f"the VLM's folder {folder} cannot be read ({error.strerror})", remedy=START) from error
    digest = canonical_sha256({
        "files": files,
        "model": name,
        "provider": provider,
        "version": told.version,
        "runtime": card.model_digest or "",
    })  # fmt: skip
    return ModelIdentity(provider_id=provider, model_id=name, model_digest=digest)
