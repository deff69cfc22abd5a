"""An OpenAI-compatible endpoint: what it says of itself, and which of its models is the one in a folder `[model-2]`."""

from __future__ import annotations

import http.client
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from pipeline.errors import Unavailable
from pipeline.loopback import exchange
from schemas.fields import Foreign, Sha256

_REFUSED = (401, 403)
_TIMEOUT_S = 5.0
_MAX_BYTES = 1 << 20
_MOST_NAMED = 3
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Called:
    """How messages call an endpoint, how it is started, and what to do when it refuses its key."""

    name: str
    start: str
    key: str


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


def ask_chat_endpoint(url: str, token: str, called: Called, timeout_s: float = _TIMEOUT_S) -> Told:
    """Ask an endpoint how it is, which models it serves and which version it is of.

    Raises Unavailable when it does not answer as such an endpoint would, ContractInvalid for one that is not on
    loopback, before anything is sent `[model-1]`.
    """
    health, _ = _get(url, "/health", token, called, timeout_s)
    if health != 200 and health not in _REFUSED:
        raise Unavailable(f"the {called.name} {url} is not well: /health answers {health}", remedy=called.start)
    status, body = _get(url, "/v1/models", token, called, timeout_s)
    if health in _REFUSED or status in _REFUSED:
        raise Unavailable(f"the {called.name} {url} refuses the key that it was given", remedy=called.key)
    try:
        if status != 200:
            raise ValueError(f"/v1/models answers {status}")
        models = _ModelList.model_validate_json(body).data
    except ValidationError as error:
        raise Unavailable(
            f"the {called.name} {url} lists no models as OpenAI's API does", remedy=called.start
        ) from error
    except ValueError as error:
        raise Unavailable(f"the {called.name} {url} lists no models: {error}", remedy=called.start) from error
    return Told(models, _version(url, token, called, timeout_s))


def is_well(url: str, token: str, called: Called) -> bool:
    """Whether an endpoint answers that it is well."""
    try:
        return _get(url, "/health", token, called, _TIMEOUT_S)[0] == 200
    except Unavailable:
        return False


def find_card(models: list[ModelCard], wanted: str, folder: Path) -> ModelCard | None:
    """The model that is wanted, among those that an endpoint serves.

    By its name where one is set; else by the folder it was loaded from, which may not be another one either way.
    """
    return next((card for card in models if _is_wanted(card, wanted, folder)), None)


def served_names(models: list[ModelCard]) -> str:
    """Which models an endpoint serves, safe to be printed."""
    return ", ".join(shown_name(card.id) for card in models[:_MOST_NAMED]) or "nothing"


def shown_name(name: str) -> str:
    """A name that a server gave, safe to be printed."""
    return ascii(name[:_LONGEST_NAME]).strip("'\"")


def _is_wanted(card: ModelCard, wanted: str, folder: Path) -> bool:
    loaded_from = Path(card.root or card.id)
    if loaded_from.is_absolute() and loaded_from.is_dir() and loaded_from.resolve() != folder.resolve():
        return False
    if wanted:
        return card.id == wanted
    return loaded_from.resolve() == folder.resolve() or card.id == folder.name


def _version(url: str, token: str, called: Called, timeout_s: float) -> str:
    status, body = _get(url, "/version", token, called, timeout_s)
    try:
        return _Version.model_validate_json(body).version if status == 200 else ""
    except ValidationError:
        return ""


def _get(url: str, path: str, token: str, called: Called, timeout_s: float) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return exchange(url, path, headers=headers, timeout_s=timeout_s, max_bytes=_MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"no {called.name} answers at {url} ({type(error).__name__})", remedy=called.start) from error
