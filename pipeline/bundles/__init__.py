"""Backup bundles: a DataRoot's evidence in one zip, and back. Stage 1's code and rules; no model code.

    create    journal's end → snapshot of the rows → files, in order of their names → manifest → rename
    restore   form, names, hashes → rows against files and DataRoot → files durable → rows → journal

One zip holds one DataRoot in one way only: members in order, nothing compressed, every header byte fixed by name, size
and checksum. A reader that demands exactly that needs no rule for overlapping members, bombs, or headers that disagree.
"""
