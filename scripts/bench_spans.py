"""Spans and made-up embeddings for `bench_query`, and how much of an exhaustive fusion the fused search finds.

A text's vector is made of its words alone, each of which has a seeded direction, identifiers three times as long: texts
that share words or an identifier lie near each other, like those of one case. `--serve` embeds questions the same way,
as a server in a process of its own.
"""

from __future__ import annotations

import base64
import random
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from pipeline.dataroot import DataRoot  # noqa: E402
from pipeline.query.ask import Asking, _plan  # noqa: E402
from pipeline.query.covering import may_label, tokens_for  # noqa: E402
from pipeline.query.evidence import Evidence  # noqa: E402
from pipeline.query.findings import Desk  # noqa: E402
from pipeline.query.fusion import fuse  # noqa: E402
from pipeline.query.meant import fused_texts  # noqa: E402
from pipeline.query.near_spans import Meaning  # noqa: E402
from pipeline.stores.text_index import TextIndex  # noqa: E402
from pipeline.stores.text_tokens import match_any  # noqa: E402
from schemas.canonical import sha256_hex  # noqa: E402
from schemas.record import vector_sha256  # noqa: E402
from schemas.record_types import SPAN  # noqa: E402
from schemas.serving import Embedded, ModelIdentity  # noqa: E402
from workers.embed_service import EmbedService  # noqa: E402
from workers.server import options, serve  # noqa: E402

DIMENSIONS = 384
SPANS_A_FRAME, LINES_A_SPAN = 8, 5
MODEL = ModelIdentity(provider_id="made-up", model_id="words", model_digest="1" * 64)
_TOP = 10
_WORD = re.compile(r"[\w-]+")


def vector_of(text: str) -> npt.NDArray[np.float32]:
    """A text's vector: the sum of its words' directions, of length 1."""
    words = _WORD.findall(text)
    total = sum((_direction(word) * (3 if "-" in word else 1) for word in words), np.zeros(DIMENSIONS))
    length = float(np.linalg.norm(total)) or 1.0
    return (total / length if words else _direction("")).astype("<f4")


@lru_cache(maxsize=100_000)
def _direction(word: str) -> npt.NDArray[np.float64]:
    seed = int(sha256_hex(word.casefold().encode())[:15], 16)
    found = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    return found / np.linalg.norm(found)


def make_spans(
    run_id: str, frame_id: str, moment: datetime, app: str, title: str, tracks: Sequence[tuple[str, str]]
) -> list[tuple[str, dict[str, Any]]]:
    """Rows of `spans`, `records` and `stage_outcomes` for a frame's tracks, given by id and text."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for number in range(SPANS_A_FRAME):
        lines = tracks[number * LINES_A_SPAN : (number + 1) * LINES_A_SPAN]
        text = "\n".join([title, *(line for _, line in lines)])
        span_id = f"{run_id}/{SPAN}/{sha256_hex(f'{frame_id} {number}'.encode())[:32]}"
        record_id = f"{run_id}/derived.model.output/embed/{sha256_hex(span_id.encode())[:32]}"
        vector = vector_of(text)
        rows.append(("spans", {
            "span_id": span_id, "run_id": run_id, "first_seen_utc": moment, "last_seen_utc": moment,
            "first_frame_id": frame_id, "last_frame_id": frame_id, "frame_count": 1, "app": app, "window_title": title,
            "track_ids": [track_id for track_id, _ in lines], "text": text, "text_sha256": sha256_hex(text.encode()),
        }))  # fmt: skip
        rows.append(("embeddings", {
            "record_id": record_id, "schema_version": 1, "record_type": "derived.model.output", "run_id": run_id,
            "ts_utc": moment, "sample_id": span_id, "modality": "embed", "provider_id": MODEL.provider_id,
            "model_id": MODEL.model_id, "model_digest": MODEL.model_digest, "output_json": "{}", "metrics": "{}",
            "provenance": f'{{"config_hash": "{"2" * 64}"}}', "row_hash": sha256_hex(record_id.encode()),
            "emb_vectors": [{"kind": "span_text", "dims": DIMENSIONS, "vector": vector,
                             "sha256": vector_sha256(vector.tolist())}],
        }))  # fmt: skip
        rows.append(("stage_outcomes", {
            "stage": "embed_spans", "sample_id": span_id, "run_id": run_id, "ts_utc": moment, "status": "done",
            "fingerprint": "2" * 64, "output_id": record_id,
        }))  # fmt: skip
    return rows


def questions_about_spans(root: DataRoot, count: int) -> list[str]:
    """Questions with two words of a line and the identifier of its window, of spans drawn with a seed."""
    chance = random.Random(7)
    with TextIndex(root.text_index) as index:
        (last,) = index.connection.execute("SELECT max(id) FROM tracks").fetchone()
        found: list[str] = []
        while len(found) < count:
            [track] = index.tracks_numbered([chance.randint(1, last)])
            words = [word for word in track.text.split() if word[0].isalpha() and "-" not in word]
            job = (index.frame(index.record(track.first_record).frame).title or "").split()[0]
            if len(words) > 1:
                found.append(f"Which {' '.join(chance.sample(words, 2))} is there for {job}?")
    return found


def recall(root: DataRoot, asking: Asking, questions: Sequence[str]) -> dict[str, Any]:
    """How many of the first ten texts of an exhaustive fusion the fused search has among its first ten."""
    found, times = [], []
    with TextIndex(root.text_index) as index, Evidence(root) as evidence:
        everything = _Everything(index)
        for question in questions:
            plan = _plan(index, question, asking)
            words = [*plan.phrases, *plan.terms]
            meaning = Meaning(root, index)
            if not meaning.join(question, plan.stretch.start_us, plan.stretch.end_us):
                raise SystemExit(f"the search by meaning {meaning.note}")
            started = time.perf_counter()
            order, _ = fused_texts(plan, Desk(index, evidence, asking.zone, [], meaning), words)
            times.append((time.perf_counter() - started) * 1000)
            best = everything.fused(meaning.scores(), words)
            found.append(len(set(order[:_TOP]) & set(best)) / len(best))
    return {
        "questions": len(found), "at": _TOP, "mean": round(sum(found) / len(found), 4), "worst": min(found),
        "fused_search_median_ms": round(sorted(times)[len(times) // 2], 1),
    }  # fmt: skip


class _Everything:
    """Ranks every text by its words and every span by its likeness, without any cut."""

    def __init__(self, index: TextIndex) -> None:
        self._index = index
        text_of = dict(index.connection.execute("SELECT id, text FROM tracks"))
        rows = index.connection.execute("SELECT tracks FROM spans ORDER BY span_id")
        spans = [np.frombuffer(packed, dtype="<u4") for (packed,) in rows]  # in the order of the landscape's rows
        self._texts = np.array([text_of[int(track)] for tracks in spans for track in tracks])
        self._spans = np.repeat(np.arange(len(spans)), [len(tracks) for tracks in spans])

    def fused(self, scores: npt.NDArray[np.int32], words: Sequence[str]) -> list[int]:
        rankings = [self._ranked(words, labels=True), self._ranked(words, labels=False)]
        ordered = np.sort(scores)
        ranks = 1 + len(scores) - np.searchsorted(ordered, scores, side="right")
        best = np.full(int(self._texts.max()) + 1, 2**31, dtype=np.int64)
        np.minimum.at(best, self._texts, ranks[self._spans])
        near = {int(text): int(best[text]) for text in np.unique(self._texts)}
        return fuse(*rankings, near)[:_TOP]

    def _ranked(self, words: Sequence[str], *, labels: bool) -> dict[int, int]:
        tokens = [token for word in words if may_label(word) is labels for token in tokens_for(word)]
        found = self._index.search(match_any(tokens), 1_000_000_000) if tokens else []
        return {number: rank for rank, (number, _) in enumerate(found, 1)}


class WordsEngine:
    """Embeds as `vector_of` does."""

    identity = MODEL

    def embed(self, text: str) -> Embedded:
        """Embed a text."""
        vector = base64.b64encode(vector_of(text).tobytes()).decode()
        return Embedded(vector=vector, tokens=len(text.split()), cut=False)

    def interrupt(self) -> None:
        """Nothing: it takes no time."""

    def rearm(self) -> None:
        """Nothing was interrupted."""


if __name__ == "__main__":
    sys.exit(serve("embed", options("embed").parse_args(), lambda: EmbedService(WordsEngine())))
