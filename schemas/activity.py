"""Whether the user is there, as the sidecar says; apart from the evidence, whose models take a moment to load."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from schemas.fields import Foreign

Seconds = Annotated[StrictInt | StrictFloat, Field(ge=0, le=1e9, allow_inf_nan=False)]


class ActivitySignal(Foreign):
    """Is the user there: written by the sidecar 4 to 20 times a second `[gate-1]`."""

    ts_utc: StrictStr
    idle_seconds: Seconds
    user_active: StrictBool
    source: StrictStr | None = None
    seq: StrictInt | None = None
