"""Every tunable: its default, its help. Read from flag, environment, `DATA_ROOT/pipeline.toml`, default, in order."""

from __future__ import annotations

import json
import os
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from pipeline.errors import UsageError

ENVIRONMENT_PREFIX = "PIPELINE_"


class OcrModel(BaseModel):
    """An OCR model that a run can be told to ask: which engine reads, and what is set for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["rapidocr", "paddleocr", "paddleocr-vl"] = "rapidocr"
    parameters: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] = {}


class Settings(BaseSettings):
    """What can be set. Each is `PIPELINE_<NAME>` in the environment and `<name>` in `pipeline.toml`."""

    # Made ready when it is first used: `load_settings` uses a class below it.
    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, extra="forbid", frozen=True, defer_build=True)

    profile: Literal["embedded", "full"] = Field(
        default="embedded", description="embedded: OCR and embeddings; full: a VLM too, and nothing may be missing"
    )
    settle_s: float = Field(
        default=2.0, ge=0, description="seconds for which a handoff must be unchanged before it is marked"
    )
    ingest_threads: int = Field(
        default=2,
        ge=0,
        le=64,
        description="threads of the process that works on the files of an ingest with many; 0 does without it",
    )
    signal_max_age_s: float = Field(
        default=2.0, gt=0, le=2.0, description="seconds after which the activity signal is too old to be believed"
    )
    min_idle_s: float = Field(
        default=0.0, ge=0, description="seconds of idleness to ask for beyond the sidecar's own word"
    )
    resume_hold_s: float = Field(
        default=5.0, ge=0, description="seconds of idleness after which work goes on that was paused"
    )
    shard_frames: int = Field(
        default=0, ge=0, description="frames in a shard, the unit of commit; 0 sizes shards by measured work"
    )
    shard_seconds: float = Field(
        default=20.0, gt=0, description="seconds of work to aim at in a shard sized by measured work"
    )
    max_attempts: int = Field(default=3, ge=1, description="tries before a sample that keeps failing is parked")
    retry_backoff_s: float = Field(
        default=2.0, ge=0, description="seconds before the second try; doubled for each further one"
    )
    oldest_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="share of a model's work that goes to the oldest day that waits",
    )
    window_days: float = Field(default=6.0, gt=0, description="days within which what was captured is to be processed")
    window_margin: float = Field(
        default=0.2, ge=0, description="how much longer than projected a backlog may take and still be in time"
    )
    idle_hours_per_day: float | None = Field(
        default=None,
        gt=0,
        le=24,
        description="idle hours a day to reckon with in plans; unset takes what runs have seen",
    )
    ocr_threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description="threads of a model's runtime, the embedding model's apart; 0 takes half of the processors",
    )
    cpu_share: float = Field(
        default=0.5, gt=0, le=1, description="part of the processors that a run with all its processes may use"
    )
    memory_share: float = Field(
        default=0.5, gt=0, le=1, description="part of the memory that a run with all its processes may use"
    )
    budget_by: Literal["auto", "governor"] = Field(
        default="auto",
        description="what holds a run to that: auto takes control groups where they can be made; else a governor",
    )
    metrics_port: int = Field(
        default=0, ge=0, le=65_535, description="port on loopback where a run tells its metrics; 0 tells them nowhere"
    )
    stage_minutes_per_idle: dict[str, float] = Field(
        default={},
        description="minutes a model stage, by its name, may work each time the user is away; others have no limit",
    )
    worker_nice: int = Field(default=10, ge=0, le=19, description="niceness of the model servers")
    worker_silence_s: float = Field(
        default=60.0, gt=0, description="seconds a model server may leave a health check unanswered until it is killed"
    )
    ocr_models: dict[str, OcrModel] = Field(
        default={},
        description="OCR models by name, for `run --engine-model`: engine and parameters (docs/operating.md)",
    )
    ocr_runtime: Literal["auto", "openvino", "onnxruntime"] = Field(
        default="auto",
        description="what runs the OCR model; auto takes OpenVINO where it is installed and faster (AVX-512)",
    )
    ocr_memo_mb: int = Field(
        default=512, ge=0, description="MiB on disk for what OCR read in pixels that may come again; 0 keeps nothing"
    )
    ocr_memo_file: Path | None = Field(
        default=None, description="where that lies, to share it between DataRoots; unset is derived/cache/ocr.db"
    )
    worker_start_s: float = Field(default=120.0, gt=0, description="seconds a model server may take until it is ready")
    worker_idle_exit_s: float = Field(
        default=600.0, gt=0, description="seconds without a request after which a server exits"
    )
    embed_idle_exit_s: float = Field(
        default=14_400.0, gt=0, description="the same for the embedding server, which questions use too"
    )
    request_timeout_s: float = Field(default=120.0, gt=0, description="seconds a model request may take")
    request_concurrency: int = Field(default=4, ge=1, le=64, description="model requests in flight at once")
    keyframes_per_hour: int = Field(
        default=60, ge=12, le=3600, description="frames of an hour that are shown to the VLM at most"
    )
    vlm_server: Literal["endpoint", "own"] = Field(
        default="endpoint",
        description="endpoint: the VLM behind vlm_url is asked; own: one is started on vlm_model_path, by transformers",
    )
    vlm_device: Literal["cpu", "cuda"] = Field(default="cpu", description="where our own VLM server computes")
    vlm_dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="numbers of our own VLM server; auto takes float32 on cpu, bfloat16 on cuda"
    )
    vlm_image_pixels: int = Field(
        default=1_003_520, ge=784, description="pixels to which our own VLM server shrinks a larger picture"
    )
    vlm_url: str = Field(
        default="",
        description="the VLM's endpoint, on loopback; empty takes EXTERNAL_VLLM_BASE_URL, else http://127.0.0.1:8000",
    )
    vlm_model_path: str = Field(default="", description="folder of the VLM's weights, which its server was given")
    vlm_model: str = Field(
        default="", description="name under which the endpoint serves the VLM; empty takes the model of that folder"
    )
    vlm_token_file: str = Field(default="", description="file with the endpoint's API key, private to the user")
    vlm_prompt: str = Field(default="v1", description="version of the prompt describe_screen")
    vlm_needs_gpu: bool = Field(default=False, description="whether the profile full requires a GPU")
    vlm_concurrency: int = Field(default=8, ge=1, le=64, description="VLM requests in flight at once, at most")
    vlm_timeout_s: float = Field(default=180.0, gt=0, description="seconds a VLM request may take")
    vlm_outage_s: float = Field(
        default=120.0, ge=0, description="seconds that a run waits for a VLM endpoint that went away"
    )
    ray_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="private networks, with commas between, that nodes of a Ray cluster may be on, such as"
        " 192.168.7.0/24; empty: loopback only",
    )
    index_max_age_s: float = Field(
        default=3600.0,
        ge=0,
        description="seconds after which a run that finds the published indexes behind renews them before it reads on",
    )
    sql_timeout_s: float = Field(default=30.0, gt=0, description="seconds a `pipeline sql` query may take")
    sql_max_rows: int = Field(default=10_000, ge=1, description="rows that `pipeline sql` returns at most")
    sql_memory_mb: int = Field(default=1024, ge=64, description="MiB of memory that `pipeline sql` may use")

    @field_validator("ocr_models", "stage_minutes_per_idle", mode="before")
    @classmethod
    def _from_flag(cls, value: object) -> object:
        """A flag gives JSON as text."""
        return json.loads(value) if isinstance(value, str) else value

    @field_validator("ray_networks", mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        """A flag and the environment give them with commas between."""
        return tuple(item.strip() for item in value.split(",") if item.strip()) if isinstance(value, str) else value

    @field_validator("ray_networks")
    @classmethod
    def _private(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from pipeline.networks import parse_networks  # late: few set any, and it stands on an HTTP client

        parse_networks(value)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


def load_settings(toml_file: Path, flags: dict[str, Any] | None = None) -> Settings:
    """Read the settings; `flags` holds what the command line gave. Raises UsageError for a bad value or name."""

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=toml_file)

    try:
        return FromFile(**_given(flags))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise UsageError(f"bad setting {where}: {problem['msg']}", remedy="see: pipeline settings") from error
    except SettingsError as error:
        raise UsageError(f"bad setting: {error}", remedy="see: pipeline settings") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"cannot read {toml_file}: {error}", remedy="mend the file, or remove it") from error


def explain_settings(toml_file: Path, flags: dict[str, Any] | None = None) -> list[tuple[str, Any, str, str]]:
    """List (name, value, where it came from, help) of every setting. Raises UsageError."""
    settings = load_settings(toml_file, flags)
    in_environment = {name.lower() for name in os.environ}
    in_file = tomllib.loads(toml_file.read_text()) if toml_file.exists() else {}
    rows = []
    for name, field in Settings.model_fields.items():
        source = "default"
        if name in _given(flags):
            source = "flag"
        elif (ENVIRONMENT_PREFIX + name).lower() in in_environment:
            source = f"environment {ENVIRONMENT_PREFIX}{name.upper()}"
        elif name in in_file:
            source = str(toml_file)
        rows.append((name, getattr(settings, name), source, field.description or ""))
    return rows


def _given(flags: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (flags or {}).items() if value is not None}


def choose_ocr_runtime(wanted: str, processor: Path = Path("/proc/cpuinfo")) -> str:
    """What runs the OCR model: `openvino` or `onnxruntime`.

    For `auto` OpenVINO where it is installed and the processor has AVX-512: without that it is no faster (decision 15).
    """
    if wanted != "auto":
        return wanted
    try:
        wide = "avx512f" in processor.read_text(errors="replace").split()
    except OSError:
        wide = False
    return "openvino" if wide and find_spec("openvino") is not None else "onnxruntime"
