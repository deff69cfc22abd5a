"""The profile `full`: OCR, embeddings and a VLM, and nothing may be missing: it is never silently OCR only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.clients.vlm_endpoint import ask_endpoint
from pipeline.errors import PipelineError, Unavailable
from pipeline.prompts import load_prompt
from pipeline.runs.servers import OWN_VLM, missing_package, not_installed
from pipeline.runs.vlm import model_folder, read_token, served_card, vlm_url
from pipeline.settings import Settings

FULL = "full"
NO_VLM = "profile embedded: OCR and embeddings; no VLM is configured"

_OCR_WEIGHTS = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")
_GPU_DEVICES = ("nvidia0", "nvidiactl", "kfd", "dxg")
"""What NVIDIA's driver, AMD's, and WSL's give a machine that has a GPU for computing."""

_DEVICES = Path("/dev")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that the profile needs: its name, and what is wrong with it if anything."""

    name: str
    problem: PipelineError | None


def require_full(settings: Settings) -> None:
    """Check that all is there, before any work. Raises the first thing that is missing, and says how many more are.

    Raises Unavailable, ContractInvalid for an endpoint beyond loopback, UsageError for an unknown prompt.
    """
    problems = [item.problem for item in requirements(settings) if item.problem is not None]
    if problems:
        first, more = problems[0], len(problems) - 1
        also = f" (and {more} more: pipeline doctor)" if more else ""
        raise type(first)(f"the profile full cannot run: {first.message}{also}", remedy=first.remedy)


def requirements(settings: Settings) -> Iterator[Requirement]:
    """Look at everything that the profile needs, changing nothing; what stands on a missing thing is left out."""
    yield _look("OCR", lambda: _require_ocr(settings))
    yield _look("embedding packages", lambda: _require_package("embed"))
    folder = _look("VLM folder", lambda: model_folder(settings))
    yield folder
    yield _look("VLM prompt", lambda: load_prompt("describe_screen", settings.vlm_prompt))
    if settings.vlm_needs_gpu:
        yield _look("GPU", require_gpu)
    if settings.vlm_server == OWN_VLM:
        yield _look("VLM packages", lambda: _require_package("vlm"))
        return
    key = _look("VLM key", lambda: read_token(settings))
    yield key
    if folder.problem is None and key.problem is None:
        yield _look("VLM endpoint", lambda: _require_endpoint(settings))


def require_gpu(devices: Path = _DEVICES) -> None:
    """Check that the machine has a GPU for computing, as far as its drivers tell. Raises Unavailable."""
    if not any((devices / name).exists() for name in _GPU_DEVICES):
        raise Unavailable(
            "vlm_needs_gpu is set, and this machine has no GPU that a driver knows",
            remedy="install the GPU's driver, or run with --set vlm_needs_gpu=false",
        )


def absent_weights() -> list[str]:
    """The files of the OCR models that the installed package lacks."""
    spec = find_spec("rapidocr")
    folder = Path(spec.origin).parent / "models" if spec and spec.origin else Path()
    return [name for name in _OCR_WEIGHTS if not (folder / name).is_file()]


def _require_ocr(settings: Settings) -> None:
    remedy = "pip install 'autocapture-pipeline[ocr]'"
    runtime = "openvino" if settings.ocr_runtime == "openvino" else "onnxruntime"
    missing = [name for name in ("rapidocr", runtime, "PIL") if find_spec(name) is None]
    if missing:
        raise Unavailable(f"OCR needs the package {missing[0]}, which is not installed", remedy=remedy)
    if absent := absent_weights():
        raise Unavailable(f"OCR needs {absent[0]}, which the package rapidocr lacks", remedy=remedy)


def _require_package(kind: str) -> None:
    package = missing_package(kind)
    if package is not None:
        raise not_installed(kind, package)


def _require_endpoint(settings: Settings) -> None:
    url = vlm_url(settings)
    served_card(ask_endpoint(url, read_token(settings)), settings, url)


def _look(name: str, check: Callable[[], object]) -> Requirement:
    try:
        check()
    except PipelineError as error:
        return Requirement(name, error)
    return Requirement(name, None)
