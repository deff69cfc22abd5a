"""Elements of the bundled desk, run without a VLM: each keyframe's by its snapshot, or by its picture."""

from __future__ import annotations

from collections import Counter

from screen_memory import rows

from pipeline.dataroot import DataRoot


def test_keyframes_have_elements_whoever_told_of_them(processed_desk: DataRoot) -> None:
    elements = rows(processed_desk, "ui_elements")
    keyframes = {row["frame_id"]: row for row in rows(processed_desk, "keyframes")}
    frames = {row["frame_id"]: row for row in rows(processed_desk, "frames")}
    told = {frames[row["frame_id"]]["uia_record_id"] is not None for row in elements if row["source"] == "uia"}
    assert told == {True}
    assert {row["frame_id"] for row in elements} <= keyframes.keys()
    assert Counter(row["source"] for row in elements)["uia"] > 50
    assert {row["role"] for row in elements if row["source"] == "layout"} <= {"button"}
    assert len({row["element_id"] for row in elements}) == len(elements)
    for row in elements:
        frame = frames[row["frame_id"]]
        assert 0 <= row["left"] < row["right"] <= frame["width"]
        assert 0 <= row["top"] < row["bottom"] <= frame["height"]
