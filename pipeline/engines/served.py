"""A text model behind one of our servers, for the process that holds it."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.clients import TextClient
from pipeline.dataroot import DataRoot
from pipeline.engines.shards import TextModel
from pipeline.settings import Settings
from pipeline.stores.evidence import load_blob
from schemas.serving import FrameRef, RunFile


def import_client() -> None:
    """Import what requests need, before the first one; a command that only looks never does."""
    import pipeline.clients.text_calls  # noqa: F401


def text_model(
    root: DataRoot, settings: Settings, server: RunFile, may_send: Callable[[], bool], concurrency: int
) -> TextModel:
    """Make a model that a server answers for; `may_send` is asked before every request `[model-1]`."""

    def load(frame: FrameRef) -> bytes:
        return load_blob(root, frame.blob_path, frame.content_hash)

    client = TextClient(
        server, load=load, may_send=may_send, concurrency=concurrency, timeout_s=settings.request_timeout_s
    )
    return TextModel(server.model, client, server)
