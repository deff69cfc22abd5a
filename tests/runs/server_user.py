"""Uses the null server of a DataRoot until stdin ends: `server_user.py DATA_ROOT [stay] [-- COMMAND…]`."""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.dataroot import DataRoot
from pipeline.runs.server_process import Limits
from pipeline.runs.servers import let_server_stay, start_server

NULL_SERVER = [sys.executable, str(Path(__file__).parents[2] / "scripts" / "null_ocr_server.py")]


def main() -> None:
    """Say the server's process, and end in order when told to."""
    root, options = DataRoot(Path(sys.argv[1])), sys.argv[2:]
    command = options[options.index("--") + 1 :] if "--" in options else NULL_SERVER
    whole = [*command, "--run-file", str(root.worker_file("ocr"))]
    server = start_server(root, "ocr", whole, 30, Limits(start_s=30, silence_s=1.0, threads=1))
    if "stay" in options:
        let_server_stay(root, "ocr")
    sys.stdout.write(f"{server.pid}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
