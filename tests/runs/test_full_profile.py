"""The profile `full`: each missing thing is one sentence, its mend, and exit 5, before any work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from screen_memory import Memory, minutes
from vlm_memory import full_settings, model_folder, process_full, show
from vlm_server import MODEL, Endpoint, serving

from pipeline.errors import ContractInvalid, ExitCode, PipelineError, Unavailable, UsageError
from pipeline.runs import full_profile
from pipeline.runs.full_profile import require_full, require_gpu
from pipeline.runs.model_files import folder_digest
from pipeline.runs.servers import not_installed
from pipeline.runs.vlm import find_vlm, vlm_url
from pipeline.settings import Settings


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """All packages are there, whatever this installation was made with."""
    monkeypatch.setattr(full_profile, "find_spec", lambda name: True)
    monkeypatch.setattr(full_profile, "missing_package", lambda kind: None)
    monkeypatch.setattr(full_profile, "absent_weights", list)


def without(*names: str) -> Callable[[str], Any]:
    return lambda name: None if name in names else find_spec("sys")


def problem(settings: Settings) -> PipelineError:
    with pytest.raises(PipelineError) as raised:
        require_full(settings)
    return raised.value


def told(memory: Memory, endpoint: Endpoint, **changes: Any) -> tuple[str, str]:
    """The sentence and its mend; always exit 5."""
    error = problem(full_settings(memory.root, endpoint, **changes))
    assert error.exit_code == ExitCode.UNAVAILABLE
    assert error.message.startswith("the profile full cannot run: ")
    return error.message.removeprefix("the profile full cannot run: "), error.remedy


def test_nothing_is_missing(memory: Memory, endpoint: Endpoint) -> None:
    require_full(full_settings(memory.root, endpoint))


@pytest.mark.parametrize("package", ["rapidocr", "onnxruntime", "PIL"])
def test_a_missing_ocr_package(
    package: str, memory: Memory, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full_profile, "find_spec", without(package))
    assert told(memory, endpoint) == (
        f"OCR needs the package {package}, which is not installed",
        "pip install 'autocapture-pipeline[ocr]'",
    )


def test_the_runtime_of_ocr_that_is_set(memory: Memory, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_profile, "find_spec", without("openvino"))
    require_full(full_settings(memory.root, endpoint))
    sentence, _ = told(memory, endpoint, ocr_runtime="openvino")
    assert sentence == "OCR needs the package openvino, which is not installed"


def test_missing_weights_of_ocr(memory: Memory, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_profile, "absent_weights", lambda: ["PP-OCRv6_rec_small.onnx"])
    assert told(memory, endpoint) == (
        "OCR needs PP-OCRv6_rec_small.onnx, which the package rapidocr lacks",
        "pip install 'autocapture-pipeline[ocr]'",
    )


def test_a_missing_embedding_package(memory: Memory, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full_profile, "missing_package", lambda kind: "torch")
    expected = not_installed("embed", "torch")
    assert told(memory, endpoint) == (expected.message, expected.remedy)
    assert "torch" in expected.message


CONFIGURE = "pipeline run --profile full --set vlm_model_path=FOLDER (or set it in pipeline.toml)"


def test_no_model_path(memory: Memory, endpoint: Endpoint) -> None:
    expected = ("no VLM is configured: vlm_model_path is empty", CONFIGURE)
    assert told(memory, endpoint, vlm_model_path="") == expected


def test_a_model_path_that_is_not_there(memory: Memory, endpoint: Endpoint, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    assert told(memory, endpoint, vlm_model_path=str(gone)) == (f"the VLM's folder {gone} is not there", CONFIGURE)


@pytest.mark.parametrize(
    ("name", "what"), [("config.json", "no config.json"), ("model.safetensors", "no weights (*.safetensors)")]
)
def test_a_folder_that_holds_no_model(name: str, what: str, memory: Memory, endpoint: Endpoint, tmp_path: Path) -> None:
    settings = full_settings(memory.root, endpoint)
    (model_folder(tmp_path) / name).unlink()
    error = problem(settings)
    assert error.message == f"the profile full cannot run: the VLM's folder {tmp_path / 'tiny-vl'} holds {what}"
    assert error.remedy == CONFIGURE


def test_a_missing_gpu(memory: Memory, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(full_profile, "require_gpu", lambda: require_gpu(tmp_path))
    require_full(full_settings(memory.root, endpoint))
    sentence, mend = told(memory, endpoint, vlm_needs_gpu=True)
    assert sentence == "vlm_needs_gpu is set, and this machine has no GPU that a driver knows"
    assert mend == "install the GPU's driver, or run with --set vlm_needs_gpu=false"
    (tmp_path / "nvidia0").touch()
    require_full(full_settings(memory.root, endpoint, vlm_needs_gpu=True))


START = "start it: docs/operating.md, 'A vision model'; or run with --profile embedded"


def test_an_endpoint_that_is_down(memory: Memory, endpoint: Endpoint) -> None:
    with serving() as gone:
        pass
    expected = f"no VLM endpoint answers at {gone.url} (ConnectionRefusedError)"
    assert told(memory, endpoint, vlm_url=gone.url) == (expected, START)


def test_an_endpoint_that_is_not_well(memory: Memory, endpoint: Endpoint) -> None:
    endpoint.health = 503
    expected = f"the VLM endpoint {endpoint.url} is not well: /health answers 503"
    assert told(memory, endpoint) == (expected, START)


def test_the_wrong_model(memory: Memory, endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.models = [{"id": "other\x1b[31m-model"}, {"id": "x" * 900}]
    sentence, mend = told(memory, endpoint)
    assert sentence == (
        f"the VLM endpoint {endpoint.url} serves other\\x1b[31m-model, {'x' * 80}, and not {MODEL}"
    )  # fmt: skip
    assert mend.startswith(f"vllm serve {tmp_path / 'tiny-vl'}")


def test_the_right_name_loaded_from_another_folder(memory: Memory, endpoint: Endpoint, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    endpoint.models = [{"id": MODEL, "root": str(tmp_path / "other")}]
    assert "serves /models/tiny-vl, and not /models/tiny-vl" in told(memory, endpoint)[0]


def test_no_model_at_all(memory: Memory, endpoint: Endpoint) -> None:
    endpoint.models = []
    assert told(memory, endpoint)[0] == f"the VLM endpoint {endpoint.url} serves nothing, and not {MODEL}"


def test_without_a_name_the_folder_tells_the_model(memory: Memory, endpoint: Endpoint, tmp_path: Path) -> None:
    settings = full_settings(memory.root, endpoint, vlm_model="")
    for card in (
        {"id": "any", "root": str(tmp_path / "tiny-vl")},
        {"id": str(tmp_path / "tiny-vl")},
        {"id": "tiny-vl"},
    ):
        endpoint.models = [card]
        require_full(settings)
    endpoint.models = [{"id": "any"}]
    assert "serves any, and not" in problem(settings).message


def test_an_endpoint_of_another_kind(memory: Memory, endpoint: Endpoint) -> None:
    endpoint.models = [{"name": "llava"}]
    expected = f"the VLM endpoint {endpoint.url} lists no models as OpenAI's API does"
    assert told(memory, endpoint) == (expected, START)


def test_the_wrong_key(memory: Memory, endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.key = "right"
    key = tmp_path / "key"
    key.write_text("wrong\n")
    key.chmod(0o600)
    sentence, mend = told(memory, endpoint, vlm_token_file=str(key))
    assert sentence == f"the VLM endpoint {endpoint.url} refuses the key that it was given"
    assert mend.startswith("pipeline run --set vlm_token_file=FILE")
    key.write_text("right\n")
    require_full(full_settings(memory.root, endpoint, vlm_token_file=str(key)))


def test_a_key_that_others_may_read_or_that_is_not_there(memory: Memory, endpoint: Endpoint, tmp_path: Path) -> None:
    key = tmp_path / "key"
    assert told(memory, endpoint, vlm_token_file=str(key)) == (
        f"the VLM's key file {key} cannot be read (FileNotFoundError)",
        "set vlm_token_file right",
    )
    key.write_text("right\n")
    key.chmod(0o644)
    assert told(memory, endpoint, vlm_token_file=str(key)) == (
        f"the VLM's key file {key} may be read by others",
        f"chmod 600 {key}",
    )


def test_an_unknown_version_of_the_prompt_is_a_wrong_setting(memory: Memory, endpoint: Endpoint) -> None:
    error = problem(full_settings(memory.root, endpoint, vlm_prompt="v0"))
    assert isinstance(error, UsageError)
    assert error.message == "the profile full cannot run: no prompt 'describe_screen' in version 'v0'"


def test_an_endpoint_beyond_loopback_is_refused(memory: Memory, endpoint: Endpoint) -> None:
    error = problem(full_settings(memory.root, endpoint, vlm_url="http://192.0.2.1:8000"))
    assert isinstance(error, ContractInvalid)
    assert "is not on loopback" in error.message


def test_several_missing_things_are_one_sentence_that_counts_them(memory: Memory, endpoint: Endpoint) -> None:
    endpoint.health = 503
    settings = full_settings(memory.root, endpoint, vlm_prompt="v0")
    assert problem(settings).message.endswith("in version 'v0' (and 1 more: pipeline doctor)")


def test_nothing_is_done_when_anything_is_missing(
    memory: Memory, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    show(memory, 0, minutes(10, 0)[0])
    monkeypatch.setattr(full_profile, "find_spec", without("rapidocr"))
    with pytest.raises(Unavailable, match="rapidocr"):
        process_full(memory.root, endpoint)
    assert not memory.root.facts.exists()
    assert endpoint.requests == []


def test_the_endpoint_is_the_setting_else_the_environment_else_the_usual_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXTERNAL_VLLM_BASE_URL", raising=False)
    assert vlm_url(Settings()) == "http://127.0.0.1:8000"
    monkeypatch.setenv("EXTERNAL_VLLM_BASE_URL", "http://127.0.0.1:9001/v1/")
    assert vlm_url(Settings()) == "http://127.0.0.1:9001"
    assert vlm_url(Settings(vlm_url="http://127.0.0.1:9002/v1")) == "http://127.0.0.1:9002"
    monkeypatch.setenv("EXTERNAL_VLLM_BASE_URL", "http://192.0.2.1:8000/v1")
    with pytest.raises(ContractInvalid):
        vlm_url(Settings())


def test_the_digest_covers_files_name_and_server_and_not_where_they_lie(memory: Memory, endpoint: Endpoint) -> None:
    settings = full_settings(memory.root, endpoint)
    first = find_vlm(memory.root, settings).identity
    assert (first.provider_id, first.model_id) == ("vllm", "tiny-vl")
    assert find_vlm(memory.root, settings).identity == first
    digests = {first.model_digest}
    endpoint.version = "0.33.0"
    digests.add(find_vlm(memory.root, settings).identity.model_digest)
    endpoint.models = [{"id": MODEL, "owned_by": "transformers", "model_digest": "b" * 64}]
    digests.add(find_vlm(memory.root, settings).identity.model_digest)
    (Path(settings.vlm_model_path) / "model.safetensors").write_bytes(b"other weights")
    digests.add(find_vlm(memory.root, settings).identity.model_digest)
    assert len(digests) == 4


def test_the_memo_of_hashes_saves_time_and_decides_nothing(memory: Memory, tmp_path: Path) -> None:
    folder = model_folder(tmp_path)
    first = folder_digest(memory.root, folder)
    for damage in (b"no json", b'{"a": 1}', b"[]"):
        memory.root.model_files.write_bytes(damage)
        assert folder_digest(memory.root, folder) == first
    memory.root.model_files.unlink()
    assert folder_digest(memory.root, folder) == first
    (folder / "README.md").write_text("not part of it")
    assert folder_digest(memory.root, folder) == first
    (folder / "tokenizer.json").write_text("{}")
    assert folder_digest(memory.root, folder) != first


def test_the_key_shows_in_no_text_of_a_server(memory: Memory, endpoint: Endpoint) -> None:
    server = dataclasses.replace(endpoint.server, token="very-secret")
    assert "very-secret" not in f"{server} {server!r}"
