"""An embedding server without a model: a vector made of the text's hash, at once. For benchmarks and tests.

python scripts/null_embed_server.py --run-file DATA_ROOT/derived/workers/embed.json
"""

from __future__ import annotations

import base64
import hashlib
import math
import sys
import time
from array import array
from collections.abc import Sequence

from schemas.canonical import sha256_hex
from schemas.serving import Embedded, ModelIdentity
from workers.embed_service import EmbedService
from workers.server import options, serve

DIMENSIONS = 32


def null_vector(text: str) -> array[float]:
    """A vector of length 1 that is the same for the same text, and unlike for any other."""
    raw = hashlib.sha256(text.encode()).digest()
    values = [byte - 127.5 for byte in raw]
    length = math.sqrt(math.fsum(value * value for value in values))
    return array("f", [value / length for value in values])


class NullEmbedEngine:
    """Pretends to embed."""

    def __init__(self, delay_s: float = 0.0, name: str = "null-embed") -> None:
        self._delay_s = delay_s
        self.identity = ModelIdentity(provider_id="null", model_id=name, model_digest=sha256_hex(name.encode()))

    def embed(self, text: str) -> Embedded:
        time.sleep(self._delay_s)
        vector = base64.b64encode(null_vector(text).tobytes()).decode()
        return Embedded(vector=vector, tokens=len(text.split()), cut=False)

    def interrupt(self) -> None:
        pass

    def rearm(self) -> None:
        pass


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to end; returns the exit code."""
    parser = options("embed")
    parser.add_argument("--delay-s", type=float, default=0.0, help="seconds to spend on each text")
    parser.add_argument("--name", default="null-embed", help="name of the model")
    given = parser.parse_args(argv)
    return serve("embed", given, lambda: EmbedService(NullEmbedEngine(given.delay_s, given.name)))


if __name__ == "__main__":
    sys.exit(main())
