"""The office memory, ingested and run with a reader that knows what stands on each screen.

`python tests/query/processed_office.py FOLDER` makes it in a folder, to be scored with `scripts/score_answers`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests")]

from office_memory import LINES, build_spool  # noqa: E402
from screen_memory import open_gate  # noqa: E402

from pipeline.cli.main import run as run_command  # noqa: E402
from pipeline.dataroot import DataRoot  # noqa: E402
from pipeline.engines.local import LocalEngine  # noqa: E402
from pipeline.engines.shards import TextModel  # noqa: E402
from pipeline.runs.loop import run  # noqa: E402
from pipeline.runs.progress import LogProgress  # noqa: E402
from pipeline.runs.report import RunOptions  # noqa: E402
from pipeline.settings import Settings  # noqa: E402
from schemas.serving import FrameRef, ModelIdentity, ReadText, TextLine  # noqa: E402


def process_office(folder: Path) -> DataRoot:
    """Make a DataRoot of the office in a folder."""
    root = DataRoot(folder / "root")
    build_spool(folder / "spool")
    assert run_command(["--data-root", str(root.path), "ingest", str(folder / "spool")]) == 0
    model = TextModel(ModelIdentity(provider_id="truth", model_id="truth", model_digest="0" * 64), _read)
    options = RunOptions(until_done=True)
    run(root, Settings(), options, LocalEngine(root), open_gate(root), lambda _: model, LogProgress())
    return root


def _read(frames: Sequence[FrameRef]) -> Iterator[tuple[int, ReadText]]:
    for index, frame in enumerate(frames):
        lines = [TextLine(text=line.text, bbox=line.bbox, score=10_000) for line in LINES[frame.frame_id]]
        yield index, ReadText(width=frame.width, height=frame.height, lines=lines, elapsed_us=0)


if __name__ == "__main__":
    sys.stdout.write(f"{process_office(Path(sys.argv[1])).path}\n")
