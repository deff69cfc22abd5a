"""Serves a vision language model where no vLLM is: Qwen2-VL and its successors from a local folder.

    python -m workers.vlm --run-file DATA_ROOT/derived/workers/vlm.json --model-path FOLDER

Asked as vLLM is asked, within a JSON schema too. What is equal between the two and what is not: decision 17.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from workers.chat_service import ChatService
from workers.server import options, serve
from workers.vlm_engine import VlmEngine
from workers.vlm_options import add_options, read_options


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the model until told to end; returns the exit code."""
    parser = options("vlm")
    add_options(parser)
    given = parser.parse_args(argv)
    return serve("vlm", given, lambda: ChatService(VlmEngine(read_options(given))))


if __name__ == "__main__":
    sys.exit(main())
