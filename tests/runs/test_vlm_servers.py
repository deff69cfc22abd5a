"""Screens described by real servers, run to rows: ours through transformers, and a real vLLM.

The model has random weights: what it says means nothing, but it is decoded, held to the schema, validated and kept as
any other's would be. The same tests for each server. vLLM's are slow, and skipped where it was not installed.
"""

from __future__ import annotations

import io
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from processed_desk import FIXTURES
from real_vllm import HOW_TO_INSTALL, KEY, Vllm, is_installed, real_vllm
from screen_memory import Memory, folder_in_memory, minutes, rows
from vlm_between import Answer, Between, Pass, standing_between, with_another_schema
from vlm_memory import kept_replies, process_full
from vlm_server import Endpoint, picture

from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.runs.report import RunReport
from pipeline.runs.vlm import find_vlm
from pipeline.settings import Settings
from schemas.screen import Screen
from schemas.serving import RunFile

Cli = Callable[..., "subprocess.CompletedProcess[str]"]

MOMENTS = minutes(10, *range(0, 60, 5)) + minutes(11, *range(0, 60, 5))
PLAIN, UNLUCKY, DISOBEYED = (picture(64, 48, shade) for shade in range(3))
NARROW, HUGE = picture(1_000, 4), picture(17_000, 90)


@dataclass
class Served:
    """A server of the tiny model at an address, and how many frames it is shown."""

    url: str
    key_file: Path
    folder: Path
    frames: int
    vllm: Vllm | None = None

    def run(self, root: DataRoot, url: str = "", **changes: Any) -> RunReport:
        """Run all stages until done."""
        known = {"vlm_model_path": str(self.folder), "vlm_model": "", "vlm_token_file": str(self.key_file)}
        return process_full(root, Endpoint(url=url or self.url), **{**known, "vlm_outage_s": 240.0, **changes})


@pytest.fixture(scope="module", params=["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def served(
    request: pytest.FixtureRequest, tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("served")
    key_file = place / "key"
    key_file.touch(mode=0o600)
    if request.param == "transformers":
        server: RunFile = request.getfixturevalue("vlm_worker")
        key_file.write_text(server.token)
        yield Served(server.url, key_file, tiny_vlm, frames=4)
        return
    if not is_installed():
        pytest.skip(f"there is no vLLM for tests here; to make one: {HOW_TO_INSTALL}")
    key_file.write_text(KEY)
    with real_vllm(tiny_vlm, place / "vllm.log") as vllm:
        yield Served(vllm.url, key_file, tiny_vlm, frames=20, vllm=vllm)


@pytest.fixture
def between(served: Served) -> Iterator[Between]:
    with standing_between(served.url) as found:
        yield found


@pytest.fixture
def memory() -> Iterator[Memory]:
    with folder_in_memory() as folder:
        yield Memory(folder / "root")


def screens() -> list[bytes]:
    """The bundled screens, each picture once."""
    return sorted({path.read_bytes() for path in (FIXTURES / "spool").rglob("*.blob")})


def fill(memory: Memory, images: Sequence[bytes], order: int = 1) -> None:
    """A frame for each picture, in a window of its own, five minutes after the last: each is a keyframe."""
    for number, image in list(enumerate(images))[::order]:
        with Image.open(io.BytesIO(image)) as opened:
            width, height = opened.size
        window = {"title": f"Window {number}", "hwnd": 7, "process_path": "/usr/bin/editor"}
        fields: dict[str, Any] = {
            "width": width,
            "height": height,
            "window_ref": {"record_id": "w/1", "window": window},
        }
        memory.frame(number, MOMENTS[number], blob=image, **fields)


def described(root: DataRoot) -> dict[str, str]:
    """The hash of each record of the VLM."""
    return {row["record_id"]: row["row_hash"] for row in rows(root, "records") if row["modality"] == "vlm"}


def said(root: DataRoot) -> list[str]:
    """What the VLM said of each frame, in their order."""
    found = [row for row in rows(root, "records") if row["modality"] == "vlm"]
    return [row["output_json"] for row in sorted(found, key=lambda row: str(row["ts_utc"]))]


def fates(root: DataRoot) -> dict[str, tuple[str, str | None]]:
    """Status and error of each keyframe, by the number of its frame."""
    found = [row for row in rows(root, "stage_outcomes") if row["stage"] == "describe_screen"]
    return {row["sample_id"].rsplit("/", 1)[1]: (row["status"], row["error_code"]) for row in found}


def test_screens_are_described_and_a_second_time_the_same(served: Served, memory: Memory) -> None:
    images = screens()[: served.frames]
    assert len(images) == served.frames
    fill(memory, images)
    report = served.run(memory.root)
    assert report.samples["describe_screen"] == Counter(done=served.frames)
    first = described(memory.root)
    assert len(first) == len(rows(memory.root, "screens")) == served.frames
    for text in said(memory.root):
        screen = Screen.model_validate_json(text, strict=False)
        for element in screen.elements:
            left, top, right, bottom = element.bbox
            assert 0 <= left < right <= screen.width
            assert 0 <= top < bottom <= screen.height
    with folder_in_memory() as folder:
        other = Memory(folder / "other")
        fill(other, images, order=-1)
        served.run(other.root, shard_frames=3, vlm_concurrency=1)
        assert described(other.root) == first


def test_what_goes_wrong_costs_only_the_frame_that_it_befalls(served: Served, between: Between, memory: Memory) -> None:
    tried: Counter[bytes] = Counter()

    def spoil(image: bytes, body: bytes, pass_on: Pass) -> Answer:
        tried[image] += 1
        if image == UNLUCKY and tried[image] < 3:
            return 500, b'{"error": "out of luck"}'
        return pass_on(with_another_schema(body) if image == DISOBEYED else body)

    between.spoil = spoil
    fill(memory, [PLAIN, UNLUCKY, DISOBEYED, NARROW, HUGE])
    served.run(memory.root, between.url)
    assert fates(memory.root) == {
        "0": ("done", None),
        "1": ("done", None),
        "2": ("parked", "reply_invalid"),
        "3": ("parked", "request_refused"),
        "4": ("parked", "image_too_large"),
    }
    assert tried == Counter({PLAIN: 1, UNLUCKY: 3, DISOBEYED: 1, NARROW: 1})
    assert Counter(kept["error_code"] for kept in kept_replies(memory.root)) == Counter(
        reply_invalid=1, request_refused=1
    )


def test_another_model_than_the_one_that_is_wanted_ends_the_run_before_it_begins(
    served: Served, between: Between, memory: Memory
) -> None:
    fill(memory, [PLAIN])
    with pytest.raises(Unavailable, match="serves tiny-vlm, and not qwen") as caught:
        served.run(memory.root, between.url, vlm_model="qwen")
    assert "vlm_model" in caught.value.remedy
    assert between.chats == 0


def test_a_run_takes_our_own_server_that_is_up(vlm_worker_root: Memory, vlm_worker: RunFile, tiny_vlm: Path) -> None:
    memory = vlm_worker_root
    fill(memory, [PLAIN, UNLUCKY])
    known: dict[str, Any] = {"vlm_model_path": str(tiny_vlm), "vlm_model": "", "vlm_server": "own"}
    report = process_full(memory.root, Endpoint(), **known)
    assert report.samples["describe_screen"] == Counter(done=2)
    found = [row for row in rows(memory.root, "records") if row["modality"] == "vlm"]
    assert {row["model_digest"] for row in found} == {vlm_worker.model.model_digest}
    assert {row["provider_id"] for row in found} == {"transformers-cpu"}
    with pytest.raises(Unavailable, match="serves tiny-vlm, and not the model in") as caught:
        find_vlm(memory.root, Settings(vlm_server="own", vlm_model_path=str(tiny_vlm), vlm_model="other"))
    assert caught.value.remedy == "pipeline workers down vlm"
