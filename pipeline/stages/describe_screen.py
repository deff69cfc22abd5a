"""What is on a frame, as a VLM says it, in canonical records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.stages.batch import Batch
from pipeline.stages.model_record import Making, model_record, record_batch
from schemas.facts import keyframe_id
from schemas.screen import DescribedScreen, ScreenReader, canonical_screen_output
from schemas.serving import FrameRef, SampleFailure

MODALITY = "vlm"


def describe_screen(frames: Sequence[FrameRef], describe: ScreenReader, making: Making) -> Batch:
    """Have frames described and write one record for each that was `[row-1]`.

    `output_json` is a `Screen`: boxes in pixels of the frame, elements in the model's order. The record is of the
    frame, the outcome of the keyframe: when the frame is no longer chosen, the record stays. A frame that `describe`
    does not yield stays pending.
    """
    answered = ((frames[index], reply) for index, reply in describe(frames))
    return record_batch(
        (keyframe_id(frame.run_id, frame.frame_id), _record(frame, reply, making)) for frame, reply in answered
    )


def _record(frame: FrameRef, reply: DescribedScreen | SampleFailure, making: Making) -> dict[str, Any] | SampleFailure:
    if isinstance(reply, SampleFailure):
        return reply
    return model_record(
        making,
        modality=MODALITY,
        run_id=frame.run_id,
        ts_utc=frame.ts_utc,
        sample_id=frame.frame_id,
        output=canonical_screen_output(reply.screen),
        metrics={
            "elapsed_us": reply.elapsed_us,
            "prompt_tokens": reply.prompt_tokens,
            "reply_tokens": reply.reply_tokens,
        },
        evidence={frame.frame_id: frame.content_hash},
    )
