"""Backup bundles: what the manifest in one says, and what Stage 1 records when one was restored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.fields import Contract, Sha256
from schemas.handoff import SystemRecord

RESTORED = "system.ingest.bundle.restored"
MOST_FAULTS = 100


class BundleMember(Contract):
    """One line of `members.ndjson`: a file of the DataRoot and its content."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=12_288)]
    """As the zip names it: relative, `/` between parts, every other unusual byte percent-encoded."""
    size: int = Field(ge=0, lt=2**63)
    sha256: Sha256


class BundleCounts(Contract):
    """What a bundle holds."""

    rows: int = Field(ge=0)
    media_files: int = Field(ge=0)
    other_files: int = Field(ge=0)
    bytes: int = Field(ge=0)


class BundleManifest(Contract):
    """`bundle.json`, the last member: it vouches for `members.ndjson`, which vouches for all the others."""

    schema_: Literal["autocapture.bundle.v1"] = Field(alias="schema")
    contract_version: Annotated[str, StringConstraints(pattern=r"^\d{1,4}\.\d{1,4}$")]
    counts: BundleCounts
    members_sha256: Sha256
    fault_count: int = Field(ge=0)
    faults: Annotated[list[str], Field(max_length=MOST_FAULTS)]
    """What was missing or wrong in the DataRoot when it was bundled with `--no-strict`; the first hundred."""


class BundleRestored(SystemRecord):
    """`system.ingest.bundle.restored` under run_id `system.ingest`: all of a bundle is in the DataRoot."""

    record_type: Literal["system.ingest.bundle.restored"]
    bundle_id: str
    bundle_manifest_sha256: Sha256
    ingest_run_id: str
    counts: BundleCounts
    started_utc: str
    ended_utc: str
