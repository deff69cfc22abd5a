"""A server of a node's own: started apart from who asked, found again, with its files beside those of other nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.dataroot import DataRoot
from pipeline.errors import Blocked, Unavailable
from pipeline.runs import node_servers
from pipeline.runs.node_servers import text_server_on_node, vlm_on_node
from pipeline.runs.server_process import holders
from pipeline.runs.servers import stop_server
from pipeline.settings import Settings
from schemas.serving import RunFile

NODE = "10.77.0.2"


@pytest.fixture
def root(tmp_path: Path) -> DataRoot:
    return DataRoot(tmp_path / "root").create()


def test_it_outlives_who_asked_for_it_and_is_found_again(root: DataRoot) -> None:
    there = root.on_node(NODE)
    asks = (
        "import sys; from pathlib import Path\n"
        "from pipeline.dataroot import DataRoot\n"
        "from pipeline.runs.node_servers import text_server_on_node\n"
        "from pipeline.settings import Settings\n"
        "there = DataRoot(Path(sys.argv[1])).on_node(sys.argv[2])\n"
        "found = text_server_on_node('ocr', '')(there, Settings(ocr_runtime='onnxruntime'), lambda: None)\n"
        "print(found.pid, flush=True)\n"
        "import os; os._exit(9)\n"
    )
    asked = subprocess.run(
        [sys.executable, "-c", asks, str(root), NODE], capture_output=True, text=True, check=False,
        env={**os.environ, "RAY_JOB_ID": "1", "AP_NO_NETWORK": "1"},
    )  # fmt: skip
    try:
        assert asked.returncode == 9, asked.stderr
        again = text_server_on_node("ocr", "")(there, Settings(), lambda: None)
        assert isinstance(again, RunFile)
        environment = Path(f"/proc/{again.pid}/environ").read_bytes()
        processes = [process.pid for process in holders(there, "ocr")]
    finally:
        stop_server(there, "ocr")
    assert again.pid == int(asked.stdout) == processes[0]
    assert b"AP_NO_NETWORK=1" in environment
    assert b"RAY_JOB_ID" not in environment
    assert not root.workers.exists()
    assert sorted(item.name for item in (root.derived / "nodes" / NODE).iterdir()) == ["cache", "logs", "workers"]


def test_why_it_cannot_be_had_is_told(root: DataRoot) -> None:
    own = Settings(vlm_server="own")
    with pytest.raises(Unavailable, match="no VLM is configured: vlm_model_path is empty"):
        vlm_on_node()(root.on_node(NODE), own, lambda: None)


def test_who_need_not_wait_any_more_leaves_nothing_behind(root: DataRoot) -> None:
    there = root.on_node(NODE)

    def wanted_no_more() -> None:
        if there.workers.exists():
            raise Blocked("the user is back")

    with pytest.raises(Blocked):
        text_server_on_node("ocr", "")(there, Settings(ocr_runtime="onnxruntime"), wanted_no_more)
    for process in holders(there, "ocr", wait_s=0):
        process.wait(20)
    assert holders(there, "ocr", wait_s=0) == []


def test_a_node_with_another_version_of_the_code_is_refused(root: DataRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    find = text_server_on_node("ocr", "")
    monkeypatch.setattr(node_servers, "code_sha256", lambda: "0" * 64)
    with pytest.raises(Unavailable, match="another version of autocapture-pipeline"):
        find(root.on_node(NODE), Settings(), lambda: None)
