"""Stage 1: what a handoff dir holds becomes evidence in the DataRoot, and the marker says so. No model code here.

    look → settle → snapshot → read rows, hash files → check everything → look again        nothing changed so far
    → blobs and files durable → rows in one transaction → journal durable → look again → marker

Every step can be done twice: a run after a crash finds what is there, adds what is missing, and ends in the same state.
"""
