"""A memory whose spans have embeddings, and a server that embeds questions the same way, without a model.

A text is the sum of its words, and words that mean the same have one direction: `SAME`.
"""

from __future__ import annotations

import base64
import json
import math
import os
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from loopback_server import Replying, served
from screen_memory import InProcessModel, Memory, open_gate, read_text

from pipeline.clients.embed import EmbedClient
from pipeline.clients.run_file import started_at
from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.spans import EmbedModel
from pipeline.gate import Lookout
from pipeline.query.words import words_of
from pipeline.runs.loop import run
from pipeline.runs.models import remembering
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings
from pipeline.stores.atomic import make_directories
from schemas.canonical import sha256_hex
from schemas.evidence import WINDOW
from schemas.serving import Embedding, ModelIdentity, RunFile, SampleFailure

DIMENSIONS = 64
SAME = [
    {"kept", "stored", "held"}, {"spare", "replacement"}, {"opened", "closed"}, {"shelf", "rack"},
    {"backup", "backups"},
]  # fmt: skip
"""Like a model, it takes opposites for the same: 'opened' and 'closed'."""
PARTLY = {"guarded": ("kept", 0.3)}
"""Words that mean nearly another one."""


def vector_of(text: str) -> array[float]:
    """A vector of length 1, made of the words of a text."""
    values = [0.0] * DIMENSIONS
    for word in words_of(text.casefold()):
        like, share = PARTLY.get(word, (word, 0.0))
        for concept, part in ((like, share), (word, 1 - share)):
            for at, value in enumerate(_direction(concept)):
                values[at] += value * part
    length = math.sqrt(math.fsum(value * value for value in values)) or 1.0
    return array("f", [value / length for value in values] if any(values) else [1.0, *[0.0] * (DIMENSIONS - 1)])


def _direction(word: str) -> list[float]:
    concept = next((min(group) for group in SAME if word in group), word)
    digest = bytes.fromhex(sha256_hex(concept.encode()) + sha256_hex(f"{concept} again".encode()))
    return [byte - 127.5 for byte in digest]


def identity(name: str = "concepts") -> ModelIdentity:
    """The model that a server or a run says it is."""
    return ModelIdentity(provider_id="test", model_id=name, model_digest=sha256_hex(name.encode()))


def process_with_meaning(memory: Memory, lines: Mapping[str, Sequence[str]], server: RunFile | None = None) -> None:
    """Run all stages: `lines` says what stands on each frame, by its id. With `server` it embeds, else `vector_of`."""
    root = memory.root
    model = InProcessModel(root)
    model.replies = {frame_id: lambda shown=shown: read_text(*shown) for frame_id, shown in lines.items()}  # type: ignore[misc]

    def alone(texts: Sequence[str]) -> Iterator[tuple[int, Embedding | SampleFailure]]:
        for index, text in enumerate(texts):
            yield index, Embedding(vector_of(text), len(text.split()), False)

    who = server.model if server else identity()
    embed = EmbedClient(server, may_send=Lookout(lambda: True), timeout_s=60) if server else alone

    def embedder(producer: str) -> EmbedModel:
        return EmbedModel(who, remembering(root, who, producer, embed))

    run(root, Settings(), RunOptions(until_done=True), LocalEngine(root), open_gate(root), model, LogProgress(),
        embedder)  # fmt: skip


def titled_frame(memory: Memory, number: int, ts_utc: str, title: str, app: str = "editor") -> str:
    """A frame whose active window, over the whole screen, has a title; each title is a window of its own."""
    window = {"title": title, "process_path": f"/usr/bin/{app}", "hwnd": sum(title.encode()), "rect": [0, 0, 640, 480]}
    return memory.frame(number, ts_utc, window_ref={"record_id": f"w/{WINDOW}/{number}", "window": window})


@contextmanager
def embedding_server(root: DataRoot, name: str = "concepts", delay_s: float = 0.0) -> Iterator[list[str]]:
    """A server on loopback that `query` finds; gives the texts that it was asked for."""
    asked: list[str] = []

    class Handler(Replying):
        def answer(self, method: str) -> None:
            texts = json.loads(self.body())["texts"]
            asked.extend(texts)
            time.sleep(delay_s)
            self.reply(200, json.dumps({"results": [_embedded(text) for text in texts]}).encode())

    with served(Handler) as place:
        make_directories(root.workers)
        began = started_at(os.getpid())
        assert began is not None
        found = RunFile(kind="embed", pid=os.getpid(), created_at=began, url=place, token="t", model=identity(name))
        root.worker_file("embed").write_text(found.model_dump_json())
        try:
            yield asked
        finally:
            root.worker_file("embed").unlink()


def _embedded(text: str) -> dict[str, Any]:
    return {"vector": base64.b64encode(vector_of(text).tobytes()).decode(), "tokens": 1, "cut": False}
