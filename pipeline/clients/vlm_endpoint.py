"""The VLM behind an OpenAI-compatible endpoint `[model-2]`."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.chat_endpoint import Called, Told, ask_chat_endpoint, is_well
from schemas.serving import ModelIdentity

START = "start it: docs/operating.md, 'A vision model'; or run with --profile embedded"

_CALLED = Called(
    "VLM endpoint", START, "pipeline run --set vlm_token_file=FILE, with the key that its server was started with"
)
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class VlmServer:
    """A VLM that is ready: where, under which name it is served, who it is. The key shows in no text."""

    url: str
    served: str
    identity: ModelIdentity
    token: str = field(default="", repr=False)


def ask_endpoint(url: str, token: str, timeout_s: float = _TIMEOUT_S) -> Told:
    """Ask the VLM's endpoint how it is. Raises as `ask_chat_endpoint` does."""
    return ask_chat_endpoint(url, token, _CALLED, timeout_s)


def is_alive(url: str, token: str) -> bool:
    """Whether an endpoint answers that it is well."""
    return is_well(url, token, _CALLED)
