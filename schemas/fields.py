"""Field types that the contracts share, with the Arrow type where Python's own type does not tell it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints


class ArrowType:
    """Marks a pydantic field with the Arrow type to store it as, by name: `int32`, `float32`."""

    def __init__(self, name: str) -> None:
        self.name = name


def _require_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment


Int32 = Annotated[int, ArrowType("int32")]
Float32 = Annotated[float, ArrowType("float32")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
UtcTime = Annotated[datetime, AfterValidator(_require_zone)]


class Contract(BaseModel):
    """Base of what we write ourselves: unknown fields are an error. A model is made ready when it is first used."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Foreign(BaseModel):
    """Base of what other programs write: unknown fields are kept, nothing is coerced from another type.

    A model is made ready when it is first used.
    """

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)


def utc_microseconds(moment: datetime) -> int:
    """Count microseconds since 1970-01-01 UTC, exactly (no float on the way)."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_utc_microseconds(microseconds: int) -> datetime:
    """The moment that is so many microseconds after 1970-01-01 UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def utc_text(moment: datetime) -> str:
    """Write a moment as ISO-8601 UTC with milliseconds and `Z`; years before 1000 keep four digits."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """Read an ISO-8601 moment with a zone. Raises ValueError for anything else, a bare local time too."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {text!r}")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"a time outside years 1 to 9999 in UTC: {text!r}") from error
