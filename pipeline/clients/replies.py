"""Checks what a text server answered, as untrusted input."""

from __future__ import annotations

from pydantic import ValidationError

from schemas.serving import FrameRef, ReadFailed, ReadText, ReadTextReply, SampleFailure

_REASONS = {
    "image_unreadable": SampleFailure("image_unreadable", "the image cannot be decoded", retryable=False),
    "image_too_large": SampleFailure("image_too_large", "the image is larger than the server reads", retryable=False),
    "model_failed": SampleFailure("model_failed", "the model failed on this image", retryable=True),
}


def parse_reply(body: bytes, images: int) -> list[ReadText | ReadFailed] | None:
    """Read a reply to a request of so many images; None when it is not one."""
    try:
        results = ReadTextReply.model_validate_json(body, strict=True).results
    except ValidationError:
        return None
    return results if len(results) == images else None


def check_result(frame: FrameRef, result: ReadText | ReadFailed) -> ReadText | SampleFailure:
    """Hold a result against the frame that was sent.

    A box that is empty or leaves the frame fails the whole frame: our servers clip, so such a reply is not to be
    believed in its other lines either.
    """
    if isinstance(result, ReadFailed):
        return _REASONS[result.error]
    if (result.width, result.height) != (frame.width, frame.height):
        found, expected = f"{result.width} x {result.height}", f"{frame.width} x {frame.height}"
        return SampleFailure(
            "image_size_differs", f"the image is {found} pixels, its record says {expected}", retryable=False
        )
    for line in result.lines:
        left, top, right, bottom = line.bbox
        if not (left < right <= frame.width and top < bottom <= frame.height):
            return SampleFailure("box_outside_frame", "the server gave a box that is not in the frame", retryable=False)
    return result
