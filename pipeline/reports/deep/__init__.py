"""Looks at every part of a DataRoot, whoever fills it, and changes nothing in it: `doctor --deep`, `verify`.

    metadata.db ─copy→ private database ─rows→ one row at a time ─claims→ scratch ─→ references, blobs, orphans
    journal, ledger, activity signal, UIA snapshot, contract: each by itself

Whatever is wrong is a finding with a code, never an exception: what is examined may be broken, or hostile.
"""
