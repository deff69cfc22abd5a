"""Names of record types, the sidecar's and ours; apart from their models, which take a moment to load."""

from __future__ import annotations

FRAME = "evidence.capture.frame"
WINDOW = "evidence.window.meta"
INPUT = "derived.input.summary"
UIA_SNAPSHOT = "evidence.uia.snapshot"
MODEL_OUTPUT = "derived.model.output"

SPAN = "derived.span"
"""The record type of rows of `spans`: models are shown them as samples."""

KEYFRAME = "derived.keyframe"
"""The record type of rows of `keyframes`: a VLM is shown their frames as samples."""
