"""Getting a model ready: start or adopt its server, and make a reader that asks the gate before every request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import tenacity

from pipeline.clients.embed import EmbedClient
from pipeline.clients.vlm_endpoint import VlmServer
from pipeline.dataroot import DataRoot
from pipeline.engines.served import screen_model, text_model
from pipeline.engines.shards import Model, ScreenModel
from pipeline.engines.spans import EmbedModel
from pipeline.errors import NotInstalled, Unavailable
from pipeline.gate import Gate
from pipeline.prompts import Prompt
from pipeline.runs.model_choice import DEFAULT_MODEL, described
from pipeline.runs.node_servers import text_server_on_node, vlm_on_node
from pipeline.runs.servers import ensure_server, missing_package, not_installed
from pipeline.runs.vlm import find_vlm
from pipeline.runs.work import EmbedSource, ModelSource, require_idle
from pipeline.settings import Settings
from pipeline.stores.embeddings import EmbeddingMemo
from schemas.serving import Embedding, ModelIdentity, SampleFailure, TextEmbedder

_LOOK_AT_GATE_EVERY_S = 0.25


def served_models(root: DataRoot, settings: Settings, gate: Gate, name: str = DEFAULT_MODEL) -> ModelSource:
    """Make the source of models on loopback `[model-1]`: in our own servers, and a VLM behind its endpoint.

    `name` says which OCR model.
    """
    vlm = _VlmSource(root, settings, gate)

    def ready(kind: str) -> Model:
        if kind == "vlm":
            return vlm.ready()
        told = described(settings, name)
        server = ensure_server(root, settings, kind, told, lambda: require_idle(gate))
        model = text_model(root, settings, server, gate, settings.request_concurrency)
        return replace(model, on_node=text_server_on_node(kind, told))

    return ready


@dataclass
class _VlmSource:
    """Finds the VLM. Once it was there, an outage is a pause: it is waited for, while the user is idle."""

    root: DataRoot
    settings: Settings
    gate: Gate
    was_there: bool = False

    def ready(self) -> ScreenModel:
        """The VLM, ready to be asked. Raises Unavailable, ContractInvalid, Blocked when the gate closes meanwhile."""
        server = self._patiently(self._find) if self.was_there else self._find()
        self.was_there = True
        model = screen_model(self.root, self.settings, server, self.gate, self.settings.vlm_concurrency)
        return replace(model, on_node=vlm_on_node())

    def _find(self) -> VlmServer:
        return find_vlm(self.root, self.settings, lambda: require_idle(self.gate))

    def _patiently(self, find: Callable[[], VlmServer]) -> VlmServer:
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Unavailable),
            stop=tenacity.stop_after_delay(self.settings.vlm_outage_s),
            wait=tenacity.wait_exponential(multiplier=0.25, max=5),
            sleep=self._sleep,
            reraise=True,
        )(find)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            require_idle(self.gate)
            time.sleep(min(left, _LOOK_AT_GATE_EVERY_S))


def prompted_vlm(root: DataRoot, settings: Settings, gate: Gate, prompt: Prompt) -> ScreenModel:
    """The VLM, ready to be asked with a prompt of its own. Raises Unavailable, ContractInvalid."""
    server = find_vlm(root, settings, lambda: require_idle(gate))
    return screen_model(root, settings, server, gate, settings.vlm_concurrency, prompt)


def served_embedder(root: DataRoot, settings: Settings, gate: Gate) -> EmbedSource | NotInstalled:
    """Make the source of the embedding model in our own server, which is asked for no text twice.

    Where the model was not installed, the error that says so.
    """
    package = missing_package("embed")
    if package is not None:
        return not_installed("embed", package)

    def ready(producer: str) -> EmbedModel:
        server = ensure_server(root, settings, "embed", keep_waiting=lambda: require_idle(gate))
        client = EmbedClient(server, may_send=gate, timeout_s=settings.request_timeout_s)
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
