"""Runs ONNX models on the CPU: through OpenVINO where it is installed and faster, else through ONNX Runtime."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.settings import choose_ocr_runtime
from workers.text_model import Interrupted

Tensor = npt.NDArray[np.float32]

OPENVINO_PRECISION = "f32"
"""Fixed: OpenVINO's own choice depends on the processor, and what it reads on the choice."""


class LoadedModel(Protocol):
    """A model with one input and one output."""

    @property
    def characters(self) -> list[str]:
        """The characters that a recognizer's weights carry; empty for other models."""
        ...

    def run(self, tensor: Tensor) -> Tensor:
        """One inference; the result is overwritten by the next. Raises Interrupted."""
        ...


class Runtime(Protocol):
    """Loads models, and ends what they run."""

    name: str
    fingerprint: dict[str, str]

    def load(self, weights: Path) -> LoadedModel: ...

    def interrupt(self) -> None: ...

    def rearm(self) -> None: ...


class OpenVinoRuntime:
    """OpenVINO on the CPU, in single precision: with AVX-512 faster than ONNX Runtime, without it as fast."""

    name = "openvino"

    def __init__(self, threads: int) -> None:
        # OpenVINO sends nothing when this cannot be imported, and works all the same.
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        self._openvino = import_module("openvino")
        self._core = self._openvino.Core()
        self._options = {
            "INFERENCE_PRECISION_HINT": OPENVINO_PRECISION,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        self.fingerprint = {"openvino": metadata.version("openvino"), "precision": OPENVINO_PRECISION}
        self._stop = _Stop()

    def load(self, weights: Path) -> LoadedModel:
        """Read and compile a model."""
        model = self._core.read_model(weights)
        request = self._core.compile_model(model, "CPU", self._options).create_infer_request()
        information = model.get_rt_info()
        framework = information["framework"] if "framework" in information else {}  # noqa: SIM401  it has no get
        characters = framework["character"].value.splitlines() if "character" in framework else []

        def run(tensor: Tensor) -> Tensor:
            request.start_async([tensor], share_inputs=True)
            request.wait()
            result: Tensor = request.get_output_tensor().data
            return result

        return _Model(characters, run, request.cancel, self._stop)

    def interrupt(self) -> None:
        """Cancel the running inference, and those that follow."""
        self._stop.interrupt()

    def rearm(self) -> None:
        """Let inferences run again."""
        self._stop.rearm()


class OnnxRuntime:
    """ONNX Runtime on the CPU."""

    name = "onnxruntime"

    def __init__(self, threads: int) -> None:
        self._runtime = import_module("onnxruntime")
        self._runtime.disable_telemetry_events()
        self._options = self._runtime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        self._options.enable_cpu_mem_arena = False
        self._options.log_severity_level = 4
        self.fingerprint = {"onnxruntime": metadata.version("onnxruntime")}
        self._stop = _Stop()

    def load(self, weights: Path) -> LoadedModel:
        """Read and optimise a model."""
        session = self._runtime.InferenceSession(str(weights), self._options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        characters = session.get_modelmeta().custom_metadata_map.get("character", "").splitlines()
        current: list[Any] = []

        def run(tensor: Tensor) -> Tensor:
            options = self._runtime.RunOptions()
            current[:] = [options]
            if self._stop.is_set:
                options.terminate = True
            result: Tensor = session.run(None, {name: tensor}, options)[0]
            return result

        def cancel() -> None:
            for options in current:
                options.terminate = True

        return _Model(characters, run, cancel, self._stop)

    def interrupt(self) -> None:
        """Terminate the running inference, and those that follow."""
        self._stop.interrupt()

    def rearm(self) -> None:
        """Let inferences run again."""
        self._stop.rearm()


class _Stop:
    """Whether inferences are to end, and what ends the one that runs."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._cancel: Callable[[], None] | None = None
        self.is_set = False

    def begin(self, cancel: Callable[[], None]) -> None:
        with self._guard:
            if self.is_set:
                raise Interrupted("the model was told to terminate")
            self._cancel = cancel

    def end(self) -> None:
        with self._guard:
            self._cancel = None

    def interrupt(self) -> None:
        with self._guard:
            self.is_set = True
            if self._cancel is not None:
                self._cancel()

    def rearm(self) -> None:
        with self._guard:
            self.is_set = False


class _Model:
    def __init__(
        self, characters: list[str], run: Callable[[Tensor], Tensor], cancel: Callable[[], None], stop: _Stop
    ) -> None:
        self.characters = characters
        self._run = run
        self._cancel = cancel
        self._stop = stop

    def run(self, tensor: Tensor) -> Tensor:
        """One inference. Raises Interrupted, also for whatever a runtime raises once it was told to end."""
        self._stop.begin(self._cancel)
        try:
            result = self._run(tensor)
        except Exception as error:
            if self._stop.is_set:
                raise Interrupted("the model was told to terminate") from error
            raise
        finally:
            self._stop.end()
        # A request that was cancelled just before it started has run to its end.
        if self._stop.is_set:
            raise Interrupted("the model was told to terminate")
        return result


def start_runtime(threads: int, name: str = "auto") -> Runtime:
    """Start `openvino`, `onnxruntime`, or for `auto` the one that suits this machine. Raises ImportError."""
    return OpenVinoRuntime(threads) if choose_ocr_runtime(name) == "openvino" else OnnxRuntime(threads)
