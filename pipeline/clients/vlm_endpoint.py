"""A VLM behind an OpenAI-compatible endpoint: what it says of itself `[model-2]`."""

from __future__ import annotations

import http.client
from dataclasses import dataclass, field

from pydantic import Field, ValidationError

from pipeline.clients.endpoint import exchange
from pipeline.errors import Unavailable
from schemas.fields import Foreign, Sha256
from schemas.serving import ModelIdentity

START = "start it: docs/operating.md, 'A vision model'; or run with --profile embedded"

_REFUSED = (401, 403)
_TIMEOUT_S = 5.0
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class VlmServer:
    """A VLM that is ready: where, under which name it is served, who it is. The key shows in no text."""

    url: str
    served: str
    identity: ModelIdentity
    token: str = field(default="", repr=False)


class ModelCard(Foreign):
    """What `/v1/models` says of a model; `root` is what the server loaded it from."""

    id: str = Field(min_length=1, max_length=1_000)
    root: str | None = Field(default=None, max_length=4_000)
    owned_by: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")
    model_digest: Sha256 | None = Field(default=None, description="given by our own server only")


class _ModelList(Foreign):
    data: list[ModelCard] = Field(max_length=1_000)


class _Version(Foreign):
    version: str = Field(pattern=r"^[A-Za-z0-9._+-]{1,64}$")


@dataclass(frozen=True, slots=True)
class Told:
    """What an endpoint says of itself; the version is empty where it tells none."""

    models: list[ModelCard]
    version: str


def ask_endpoint(url: str, token: str, timeout_s: float = _TIMEOUT_S) -> Told:
    """Ask an endpoint how it is, which models it serves and which version it is of.

    Raises Unavailable when it does not answer as such an endpoint would, ContractInvalid for one that is not on
    loopback, before anything is sent `[model-1]`.
    """
    health, _ = _get(url, "/health", token, timeout_s)
    if health != 200 and health not in _REFUSED:
        raise Unavailable(f"the VLM endpoint {url} is not well: /health answers {health}", remedy=START)
    status, body = _get(url, "/v1/models", token, timeout_s)
    if health in _REFUSED or status in _REFUSED:
        raise Unavailable(
            f"the VLM endpoint {url} refuses the key that it was given",
            remedy="pipeline run --set vlm_token_file=FILE, with the key that its server was started with",
        )
    try:
        if status != 200:
            raise ValueError(f"/v1/models answers {status}")
        models = _ModelList.model_validate_json(body).data
    except ValidationError as error:
        raise Unavailable(f"the VLM endpoint {url} lists no models as OpenAI's API does", remedy=START) from error
    except ValueError as error:
        raise Unavailable(f"the VLM endpoint {url} lists no models: {error}", remedy=START) from error
    return Told(models, _version(url, token, timeout_s))


def is_alive(url: str, token: str) -> bool:
    """Whether an endpoint answers that it is well."""
    try:
        return _get(url, "/health", token)[0] == 200
    except Unavailable:
        return False


def _version(url: str, token: str, timeout_s: float) -> str:
    status, body = _get(url, "/version", token, timeout_s)
    try:
        return _Version.model_validate_json(body).version if status == 200 else ""
    except ValidationError:
        return ""


def _get(url: str, path: str, token: str, timeout_s: float = _TIMEOUT_S) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return exchange(url, path, headers=headers, timeout_s=timeout_s, max_bytes=_MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"no VLM endpoint answers at {url} ({type(error).__name__})", remedy=START) from error
