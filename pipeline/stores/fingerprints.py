"""What a fingerprint of a stage was made of, so that it can be told what changed."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.stores.catalog import Catalog


@dataclass(frozen=True, slots=True)
class MadeBy:
    """The configuration, model and prompt behind a fingerprint; `prompt_hash` is empty for models without one."""

    config_hash: str
    model_id: str
    model_digest: str
    prompt_hash: str


def note_fingerprint(catalog: Catalog, stage: str, fingerprint: str, made_by: MadeBy) -> None:
    """Note what a fingerprint was made of."""
    catalog.connection.execute(
        "INSERT OR IGNORE INTO fingerprints VALUES (?,?,?,?,?,?)",
        (stage, fingerprint, made_by.config_hash, made_by.model_id, made_by.model_digest, made_by.prompt_hash),
    )


def made_by(catalog: Catalog, stage: str, fingerprint: str) -> MadeBy | None:
    """What a fingerprint was made of; None where that was not noted."""
    query = (
        "SELECT config_hash, model_id, model_digest, prompt_hash FROM fingerprints WHERE stage = ? AND fingerprint = ?"
    )
    row = catalog.connection.execute(query, (stage, fingerprint)).fetchone()
    return MadeBy(*row) if row else None
