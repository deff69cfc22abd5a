"""What runs models runs them here, and tells nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import sys
from workers.runtimes import OpenVinoRuntime
OpenVinoRuntime(1)
print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""


def test_openvino_runs_without_the_package_that_would_call_home() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
