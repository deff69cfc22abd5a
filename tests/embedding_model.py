"""An embedding model in this process, and runs that embed with it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence

from screen_memory import InProcessModel, open_gate

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.spans import EmbedModel
from pipeline.errors import NotInstalled
from pipeline.gate import Gate
from pipeline.runs.loop import run
from pipeline.runs.models import remembering
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions, RunReport
from pipeline.settings import Settings
from schemas.canonical import sha256_hex
from schemas.serving import Embedding, ModelIdentity, SampleFailure

FAILURE = SampleFailure("model_failed", "made for a test", True)


class Embedder:
    """An embedding model that is a function of the text; counts what it was asked."""

    def __init__(self, root: DataRoot, name: str = "a", remember: bool = True) -> None:
        self.root = root
        self.identity = ModelIdentity(provider_id="test", model_id=name, model_digest=sha256_hex(name.encode()))
        self.asked: list[str] = []
        self.may_send: Callable[[], bool] = lambda: True
        self.failures: dict[str, int] = {}
        self.remember = remember

    def __call__(self, producer: str) -> EmbedModel:
        if not self.remember:
            return EmbedModel(self.identity, self.embed)
        return EmbedModel(self.identity, remembering(self.root, self.identity, producer, self.embed))

    def embed(self, texts: Sequence[str]) -> Iterator[tuple[int, Embedding | SampleFailure]]:
        for index, text in enumerate(texts):
            if not self.may_send():
                return
            self.asked.append(text)
            if self.failures.get(text, 0):
                self.failures[text] -= 1
                yield index, FAILURE
                continue
            digest = sha256_hex(f"{self.identity.model_id} {text}".encode())
            angle = int(digest[:4], 16) / 65_536
            yield index, Embedding(array("f", [math.cos(angle), math.sin(angle)]), len(text.split()), False)


def process_with(
    root: DataRoot,
    embedder: Embedder | NotInstalled | None,
    model: InProcessModel | None = None,
    gate: Gate | None = None,
    shard_frames: int = 0,
    **options: object,
) -> RunReport:
    """Run all stages until done, spans too."""
    settings = Settings(shard_frames=shard_frames, retry_backoff_s=0)
    chosen = RunOptions(**{"until_done": True, **options})  # type: ignore[arg-type]
    return run(root, settings, chosen, LocalEngine(root), gate or open_gate(root), model or InProcessModel(root),
               LogProgress(), embedder)  # fmt: skip
