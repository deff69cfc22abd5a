"""Replies of models that could not be used, kept for a person to look at: private, and shown nowhere."""

from __future__ import annotations

import orjson

from pipeline.dataroot import DataRoot
from pipeline.stores.atomic import make_directories, replace_bytes


def keep_reply(root: DataRoot, stage: str, sample_id: str, code: str, fingerprint: str, reply: bytes) -> None:
    """Keep the newest bad reply about a sample below `derived/quarantine`, for its owner only."""
    path = root.kept_reply(stage, sample_id)
    make_directories(path.parent)
    content = {
        "stage": stage,
        "sample_id": sample_id,
        "error_code": code,
        "fingerprint": fingerprint,
        "reply": reply.decode(errors="replace"),
    }
    replace_bytes(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
