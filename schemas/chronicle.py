"""What seals a chronicle session; all else in one is protobuf, in `chronicle.proto` `[handoff-9]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictInt, StrictStr

from schemas.fields import Foreign, Sha256

DETECTIONS = "derived.chronicle.detections"
"""Record type of what the recorder's own detector said about a frame."""

Count = Annotated[StrictInt, Field(ge=0)]


class SessionCounts(Foreign):
    """How many items the recorder wrote into each stream."""

    frames: Count | None = None
    input_events: Count | None = None
    detections: Count | None = None


class SessionComplete(Foreign):
    """`COMPLETE.json`, written last: being there it seals the session; what it says, if anything, is checked."""

    session_id: StrictStr | None = None
    counts: SessionCounts = SessionCounts()
    files: dict[StrictStr, Sha256] = Field(default_factory=dict)
    """Path within the session → sha256."""
