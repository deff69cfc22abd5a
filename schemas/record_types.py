"""Names of the sidecar's record types; apart from their models, which take a moment to load."""

from __future__ import annotations

FRAME = "evidence.capture.frame"
WINDOW = "evidence.window.meta"
INPUT = "derived.input.summary"
UIA_SNAPSHOT = "evidence.uia.snapshot"
MODEL_OUTPUT = "derived.model.output"
