"""Whether a span that meaning found is still the one that was embedded.

Landscape, index and facts each tell of it; a claim that was found by it stands only while they agree.
"""

from __future__ import annotations

from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid
from pipeline.query.near_spans import NearSpan
from pipeline.stores.indexed_spans import IndexedSpan, lines_of
from pipeline.stores.text_index import TextIndex
from schemas.canonical import sha256_hex


def told_otherwise(near: NearSpan, index: TextIndex) -> str:
    """What the landscape's row says otherwise than the index; empty when both say the same."""
    span = near.span
    lines = lines_of(index, span)
    text = "\n".join([*([span.heading] if span.heading is not None else []), *(line.text for line in lines)])
    if len(lines) != len(span.tracks):
        return "a line of the span that it was found by is not there"
    if sha256_hex(text.encode()) != span.text_sha256:
        return "the text of the span that it was found by does not hash to its text_sha256"
    if near.told.get("text_sha256") != span.text_sha256:
        return "the landscape has another text for the span that it was found by"
    if near.told.get("record_id") != span.record_id:
        return "the landscape has another embedding for the span that it was found by"
    if near.vector_sha256() != span.vector_sha256:
        return "the landscape has another vector for the span that it was found by than its record"
    return ""


def written_otherwise(root: DataRoot, span: IndexedSpan, table: str) -> str:
    """What the fact file of a span (`spans`) or of its embedding (`records`) says otherwise than the index now.

    For a file that was rewritten since. Slow, and rarely needed: loads Arrow.
    """
    from pipeline.query.records import span_text_sha256, span_vector_sha256

    try:
        if table == "spans":
            if span_text_sha256(root, span.path, span.span_id) != span.text_sha256:
                return "the span that it was found by is not in its fact file as it was indexed"
        elif span_vector_sha256(root, span.record_path, span.record_id) != span.vector_sha256:
            return "the embedding of the span that it was found by is not in its record as it was indexed"
    except ContractInvalid:
        return f"the fact file of the span that it was found by cannot be read ({table})"
    return ""
