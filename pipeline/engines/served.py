"""A model behind a server, for the process that holds it."""

from __future__ import annotations

from pipeline.clients import TextClient
from pipeline.clients.permission import Permission
from pipeline.clients.screens import ScreenClient
from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.dataroot import DataRoot
from pipeline.engines.shards import Model, ScreenModel, TextModel
from pipeline.prompts import Prompt, load_prompt
from pipeline.settings import Settings
from pipeline.stores.evidence import load_blob
from schemas.serving import FrameRef, RunFile


def import_client() -> None:
    """Import what requests need, before the first one; a command that only looks never does."""
    import pipeline.clients.text_calls  # noqa: F401


def served_model(
    root: DataRoot, settings: Settings, server: RunFile | VlmServer, may_send: Permission, concurrency: int
) -> Model:
    """Make the model that a server answers for, whichever kind it is."""
    if isinstance(server, VlmServer):
        return screen_model(root, settings, server, may_send, concurrency)
    return text_model(root, settings, server, may_send, concurrency)


def text_model(
    root: DataRoot, settings: Settings, server: RunFile, may_send: Permission, concurrency: int
) -> TextModel:
    """Make a model that a server answers for; `may_send` is asked before every request, and ends them `[model-1]`."""

    def load(frame: FrameRef) -> bytes:
        return load_blob(root, frame.blob_path, frame.content_hash)

    client = TextClient(
        server, load=load, may_send=may_send, concurrency=concurrency, timeout_s=settings.request_timeout_s
    )
    return TextModel(server.model, client, server)


def screen_model(
    root: DataRoot, settings: Settings, server: VlmServer, may_send: Permission, concurrency: int,
    prompt: Prompt | None = None,
) -> ScreenModel:  # fmt: skip
    """Make a VLM that an endpoint answers for; `may_send` is asked before every request, and ends them `[model-1]`.

    Without a `prompt` it is given the one that is set. Raises UsageError for a version of it that there is not.
    """

    def load(frame: FrameRef) -> bytes:
        return load_blob(root, frame.blob_path, frame.content_hash)

    prompt = prompt or load_prompt("describe_screen", settings.vlm_prompt)
    client = ScreenClient(
        server, prompt, load=load, may_send=may_send, concurrency=concurrency, timeout_s=settings.vlm_timeout_s
    )
    return ScreenModel(server.identity, prompt, client, server)
