"""Draw the lines that were read on a frame: `scripts/draw_frame DATA_ROOT FRAME_ID OUT.png`. The README's picture."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from PIL import Image, ImageDraw

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from pipeline.dataroot import DataRoot  # noqa: E402
from pipeline.reports.sql import query_facts  # noqa: E402
from pipeline.settings import Settings  # noqa: E402

SURE, UNSURE = (0, 140, 90), (215, 95, 0)
SURE_SCORE = 9_000


def main() -> int:
    """Parse, draw, say where the picture is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_root", type=Path)
    parser.add_argument("frame_id")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    count = draw_frame(DataRoot(arguments.data_root), arguments.frame_id, arguments.out)
    print(f"{arguments.out}: {count} lines")
    return 0 if count else 2


def draw_frame(root: DataRoot, frame_id: str, out: Path) -> int:
    """Draw the boxes of a frame's lines on its picture, green where the model was sure; returns how many there are."""
    name = frame_id.replace("'", "''")
    lines = query_facts(root, f"SELECT * FROM ocr_lines WHERE frame_id = '{name}'", Settings()).rows.to_pylist()
    frames = query_facts(root, f"SELECT blob_path FROM frames WHERE frame_id = '{name}'", Settings()).rows.to_pylist()
    if not frames:
        return 0
    picture = Image.open(root.path / frames[0]["blob_path"]).convert("RGB")
    pen = ImageDraw.Draw(picture)
    for line in lines:
        colour = SURE if line["score"] >= SURE_SCORE else UNSURE
        box = (line["left"] - 1, line["top"] - 1, line["right"], line["bottom"])
        pen.rectangle(box, outline=colour, width=2)
    picture.quantize(128).save(out, optimize=True)
    return len(lines)


if __name__ == "__main__":
    sys.exit(main())
