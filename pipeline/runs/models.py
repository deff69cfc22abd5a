"""Getting a model ready: start or adopt its server, and make a reader that asks the gate before every request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.clients.embed import EmbedClient
from pipeline.dataroot import DataRoot
from pipeline.engines.served import text_model
from pipeline.engines.shards import TextModel
from pipeline.engines.spans import EmbedModel
from pipeline.errors import NotInstalled
from pipeline.gate import Gate
from pipeline.runs.model_choice import DEFAULT_MODEL, described
from pipeline.runs.servers import ensure_server, missing_package, not_installed
from pipeline.runs.work import EmbedSource, ModelSource
from pipeline.settings import Settings
from pipeline.stores.embeddings import EmbeddingMemo
from schemas.serving import Embedding, ModelIdentity, SampleFailure, TextEmbedder


def served_models(root: DataRoot, settings: Settings, gate: Gate, name: str = DEFAULT_MODEL) -> ModelSource:
    """Make the source of models that run in our own servers on loopback `[model-1]`; `name` says which OCR model."""

    def ready(kind: str) -> TextModel:
        server = ensure_server(root, settings, kind, described(settings, name))
        return text_model(root, settings, server, lambda: gate.ask().open, settings.request_concurrency)

    return ready


def served_embedder(root: DataRoot, settings: Settings, gate: Gate) -> EmbedSource | NotInstalled:
    """Make the source of the embedding model in our own server, which is asked for no text twice.

    Where the model was not installed, the error that says so.
    """
    package = missing_package("embed")
    if package is not None:
        return not_installed("embed", package)

    def ready(producer: str) -> EmbedModel:
        server = ensure_server(root, settings, "embed")
        client = EmbedClient(server, may_send=lambda: gate.ask().open, timeout_s=settings.request_timeout_s)
        return EmbedModel(server.model, remembering(root, server.model, producer, client))

    return ready


def remembering(root: DataRoot, model: ModelIdentity, producer: str, embed: TextEmbedder) -> TextEmbedder:
    """Ask `embed` only for texts that the model has not embedded before, in the records that `producer` wrote."""

    def answer(texts: Sequence[str]) -> Iterator[tuple[int, Embedding | SampleFailure]]:
        with EmbeddingMemo(root, model.model_digest, producer) as memo:
            known = memo.find(texts)
            yield from known.items()
            new = [index for index in range(len(texts)) if index not in known]
            for position, reply in embed([texts[index] for index in new]):
                index = new[position]
                if isinstance(reply, Embedding):
                    memo.add(texts[index], reply)
                yield index, reply

    return answer
