"""Getting a model ready: start or adopt its server, and make a reader that asks the gate before every request."""

from __future__ import annotations

from pipeline.clients import TextClient
from pipeline.dataroot import DataRoot
from pipeline.engines.shards import TextModel
from pipeline.gate import Gate
from pipeline.runs.loop import ModelSource
from pipeline.runs.servers import ensure_server
from pipeline.settings import Settings
from pipeline.stores.evidence import load_blob
from schemas.serving import FrameRef


def served_models(root: DataRoot, settings: Settings, gate: Gate) -> ModelSource:
    """Make the source of models that run in our own servers on loopback `[model-1]`."""

    def load(frame: FrameRef) -> bytes:
        return load_blob(root, frame.blob_path, frame.content_hash)

    def ready(kind: str) -> TextModel:
        server = ensure_server(root, settings, kind)
        client = TextClient(
            server,
            load=load,
            may_send=lambda: gate.ask().open,
            concurrency=settings.request_concurrency,
            timeout_s=settings.request_timeout_s,
        )
        return TextModel(server.model, client)

    return ready
