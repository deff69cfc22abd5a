"""Real OCR on a Ray cluster of two nodes beside one node and the local engine: every row is compared.

The nodes are network namespaces on this machine and share its processors, so that no speed-up can be seen: what is
measured is that the rows are the same and that both nodes work, each with a model server of its own. Needs root.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "engines")]

from bench_machine import describe_machine  # noqa: E402
from bench_recording import compare_facts, compare_row_hashes  # noqa: E402
from two_nodes import ADDRESSES, NETWORK, PORT, Node, two_machines, why_not  # noqa: E402

from pipeline.dag import STAGES  # noqa: E402
from pipeline.dataroot import DataRoot  # noqa: E402

ALL_OF_IT = {"PIPELINE_CPU_SHARE": "1"}
OPTIONS = ("--assume-idle-when-missing", "--set", "shard_frames=2")


def main() -> int:
    """Run the comparison; prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spool", nargs="?", type=Path, default=REPOSITORY / "dataroot_fixtures" / "desk" / "spool")
    spool = parser.parse_args().spool
    reason = why_not()
    if reason:
        sys.stderr.write(f"error: {reason}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        roots = _ingest(spool, Path(folder))
        with two_machines() as (one, other):
            found = {"local": _run(one, roots["local"], "--engine", "local")}
            one.start_ray("--head", "--port", str(PORT), "--include-dashboard", "false")
            joined = ("--ray-address", f"{ADDRESSES[0]}:{PORT}", "--set", f"ray_networks={NETWORK}")
            found["one_node"] = _run(one, roots["one_node"], *joined)
            other.start_ray("--address", f"{ADDRESSES[0]}:{PORT}")
            found["two_nodes"] = _run(one, roots["two_nodes"], *joined)
        compared = {name: _compare(roots["local"].path, roots[name].path) for name in ("one_node", "two_nodes")}
    told = {
        "benchmark": "a Ray cluster of two nodes on one machine, with real OCR",
        "machine": describe_machine(),
        "runs": found,
        "compared_with_local": compared,
    }
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    return 0 if all(item["equal"] for item in compared.values()) else 1


def _ingest(spool: Path, folder: Path) -> dict[str, DataRoot]:
    """The same evidence in three DataRoots, with nothing read and nothing remembered."""
    copy, first = shutil.copytree(spool, folder / "spool"), DataRoot(folder / "local")
    ingest = [sys.executable, "-m", "pipeline", "--data-root", str(first), "ingest", str(copy), "--set", "settle_s=0"]
    subprocess.run(ingest, check=True, cwd=REPOSITORY, stdout=sys.stderr)
    others = {name: DataRoot(shutil.copytree(first.path, folder / name)) for name in ("one_node", "two_nodes")}
    return {"local": first, **others}


def _run(node: Node, root: DataRoot, *options: str) -> dict[str, Any]:
    stages = [item for stage in STAGES if stage.model in ("", "ocr") for item in ("--stage", stage.name)]
    command = [sys.executable, "-m", "pipeline", "--data-root", str(root), "run", "--until-done", *stages]
    process = node.start([*command, *OPTIONS, *options], ALL_OF_IT)
    _, told = process.communicate()
    sys.stderr.write(told)
    node.run(sys.executable, "-m", "pipeline", "--data-root", str(root), "workers", "down")
    (manifest,) = [json.loads(path.read_bytes()) for path in root.manifests.glob("run-*.json")]
    read = manifest["stages"]["find_text_lines"]
    frames, by_node = sum(read["counts"].values()), re.search(r"samples were worked on by nodes: (.*)", told)
    return {
        "exit_code": process.returncode,
        "frames": frames,
        "model_stage_frames_per_s": round(frames / read["elapsed_ms"] * 1000, 2),
        "by_node": by_node[1] if by_node else "",
    }


def _compare(first: Path, second: Path) -> dict[str, Any]:
    tables, hashes = compare_facts(first, second), compare_row_hashes(first, second)
    equal = hashes["in_one_only"] == 0 and all(item["rows_that_differ"] == 0 for item in tables.values())
    return {"row_hashes": hashes, "rows": sum(item["rows"] for item in tables.values()), "equal": equal}


if __name__ == "__main__":
    sys.exit(main())
