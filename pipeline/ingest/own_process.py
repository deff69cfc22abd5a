"""Starts Python processes of our own for ingest: isolated from the environment, spoken to by two pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pipeline

_CODE = (
    "import sys; sys.path[:] = sys.argv.pop(1).split('\\n');"
    " from importlib import import_module; import_module(sys.argv.pop(1)).main(*sys.argv[1:])"
)


def start_process(
    module: str, *arguments: str, environment: Mapping[str, str], buffered: bool = False
) -> subprocess.Popen[bytes]:
    """Start the `main` of a module with nothing of our environment but where its libraries lie. Raises OSError."""
    paths = [Path(pipeline.__file__).parent.parent, *(Path(path).absolute() for path in sys.path)]
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-X", "utf8", "-c", _CODE, "\n".join(map(str, paths)), module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=-1 if buffered else 0,
        cwd="/",
        env={**kept, **environment},
        start_new_session=True,  # a Ctrl-C is for ingest, which then ends it
    )
