"""Text lines of frames, as a text model reads them, in canonical records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.stages.batch import Batch
from pipeline.stages.model_record import Making, model_record, record_batch
from schemas.serving import FrameRef, ReadText, SampleFailure, TextReader, canonical_text_output

MODALITY = "ocr"


def find_text_lines(frames: Sequence[FrameRef], read: TextReader, making: Making) -> Batch:
    """Have frames read and write one record for each that was `[row-1]`.

    `output_json` is `{"height", "lines": [{"bbox": [l, t, r, b], "score", "text"}], "width"}`, boxes in pixels,
    scores in 1/10,000, lines in reading order. A frame that `read` does not yield stays pending.
    """
    answered = ((frames[index], reply) for index, reply in read(frames))
    return record_batch((frame.frame_id, _record(frame, reply, making)) for frame, reply in answered)


def _record(frame: FrameRef, reply: ReadText | SampleFailure, making: Making) -> dict[str, Any] | SampleFailure:
    if isinstance(reply, SampleFailure):
        return reply
    return model_record(
        making,
        modality=MODALITY,
        run_id=frame.run_id,
        ts_utc=frame.ts_utc,
        sample_id=frame.frame_id,
        output=canonical_text_output(reply),
        metrics={"elapsed_us": reply.elapsed_us},
        evidence={frame.frame_id: frame.content_hash},
    )
