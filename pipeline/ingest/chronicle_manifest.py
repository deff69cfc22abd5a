"""What a chronicle session says about itself as a whole: `manifest.json` and the seal `COMPLETE.json` `[handoff-9]`."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf import json_format
from pydantic import ValidationError

from pipeline.errors import ContractInvalid
from pipeline.ingest.chronicle_clock import REMEDY, Anchor, SessionClock
from schemas import chronicle_pb2 as pb
from schemas.chronicle import SessionComplete

MANIFEST = "manifest.json"
COMPLETE = "COMPLETE.json"
SCHEMA_VERSION = "chronicle/v0"

_SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def read_manifest(path: Path) -> pb.SessionManifest:
    """Read the manifest by protobuf's JSON mapping; fields that it does not know are left alone.

    Raises ContractInvalid for anything but a manifest of our version with a session id that can name files.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        manifest = json_format.Parse(text, pb.SessionManifest(), ignore_unknown_fields=True)
    except (json_format.Error, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ContractInvalid("manifest.json is no SessionManifest in JSON", remedy=REMEDY) from error
    if manifest.schema_version not in ("", SCHEMA_VERSION):
        found = manifest.schema_version[:40]
        raise ContractInvalid(
            f"manifest.json has the schema_version {found!r}; expected {SCHEMA_VERSION!r}", remedy=REMEDY
        )
    if not _SESSION_ID.fullmatch(manifest.session_id):
        raise ContractInvalid(
            "manifest.json: session_id is no name of up to 100 letters, digits, dots, dashes and underscores",
            remedy=REMEDY,
        )
    return manifest


def read_complete(path: Path, manifest: pb.SessionManifest) -> SessionComplete:
    """Read the seal. Raises ContractInvalid when it is no JSON object, or is another session's."""
    try:
        complete = SessionComplete.model_validate_json(path.read_bytes())
    except (ValidationError, RecursionError) as error:
        raise ContractInvalid(
            "COMPLETE.json cannot be read: expected a JSON object (docs/chronicle.md)", remedy=REMEDY
        ) from error
    if complete.session_id not in (None, manifest.session_id):
        raise ContractInvalid("COMPLETE.json and manifest.json name different sessions", remedy=REMEDY)
    return complete


def session_clock(manifest: pb.SessionManifest) -> SessionClock:
    """Make the clock that the manifest describes: by its `clock_anchors`, else by the session's start and end.

    Raises ContractInvalid.
    """
    anchors = [Anchor(anchor.qpc_ticks, anchor.unix_ns) for anchor in manifest.clock_anchors]
    if not anchors and manifest.start_unix_ns:
        anchors.append(Anchor(manifest.start_qpc_ticks, manifest.start_unix_ns))
        if manifest.end_unix_ns and manifest.end_qpc_ticks > manifest.start_qpc_ticks:
            anchors.append(Anchor(manifest.end_qpc_ticks, manifest.end_unix_ns))
    return SessionClock(anchors, manifest.qpc_frequency_hz)


def manifest_warnings(manifest: pb.SessionManifest, clock: SessionClock, directory: str) -> list[str]:
    """What is odd about a session, and no reason to refuse it."""
    found = []
    if not manifest.schema_version:
        found.append(f"manifest.json has no schema_version: taken as {SCHEMA_VERSION}")
    if directory != f"session_{manifest.session_id}":
        found.append(f"its directory is not named session_{manifest.session_id}, as its manifest says")
    if clock.was_set:
        found.append("the wall clock was set during the session: times before that are by the earlier clock")
    return found
