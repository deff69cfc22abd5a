"""The bundled desk, ingested and run with a reader that knows what stands on each screen."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import TextModel
from pipeline.gate import Gate
from pipeline.query.ask import Asking, ask
from pipeline.runs.loop import run
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings
from schemas.answer import Answer
from schemas.serving import FrameRef, ModelIdentity, ReadText, TextLine

REPOSITORY = Path(__file__).resolve().parent.parent
FIXTURES = REPOSITORY / "dataroot_fixtures" / "desk"
NOW = datetime(2026, 3, 16, 18, 30, tzinfo=UTC)


def process_desk(folder: Path) -> DataRoot:
    """Make a DataRoot of the desk in a folder."""
    spool, root = shutil.copytree(FIXTURES / "spool", folder / "spool"), DataRoot(folder / "root")
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "ingest", str(spool)]
    subprocess.run(command, check=True, cwd=REPOSITORY, capture_output=True)
    run_desk(root)
    return root


def run_desk(root: DataRoot, *, max_frames: int | None = None) -> None:
    """Run all stages with the truth as the model."""
    truth = {item["record_id"]: item for item in map(json.loads, (FIXTURES / "truth.jsonl").read_text().splitlines())}

    def read(frames: Sequence[FrameRef]) -> Iterator[tuple[int, ReadText]]:
        for index, frame in enumerate(frames):
            shown = [line for line in truth[frame.frame_id]["lines"] if "bbox" in line]
            lines = [TextLine(text=line["text"], bbox=tuple(line["bbox"]), score=10_000) for line in shown]
            yield index, ReadText(width=frame.width, height=frame.height, lines=lines, elapsed_us=0)

    gate = Gate(root.activity_signal, assume_idle_when_missing=True)
    model = TextModel(ModelIdentity(provider_id="truth", model_id="truth", model_digest="0" * 64), read)
    options = RunOptions(until_done=True, max_frames=max_frames)
    run(root, Settings(), options, LocalEngine(root), gate, lambda _: model, LogProgress())


def answer_of(root: DataRoot, question: str, **asking: object) -> Answer:
    """Ask on the evening of the last day."""
    return ask(root, question, Asking(NOW, UTC, **asking))[0]  # type: ignore[arg-type]


def texts_of(answer: Answer) -> str:
    """All that an answer says."""
    return "\n".join([answer.summary, *answer.bullets, *(claim.text for claim in answer.claims)])
