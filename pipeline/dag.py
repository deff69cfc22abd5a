"""The stages, their order and their fingerprints. Pure: nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, Any, Literal

from pipeline.errors import UsageError
from pipeline.stages.thresholds import KEYFRAMES, SPANS, UI_ELEMENTS
from schemas.canonical import canonical_sha256
from schemas.record_types import FRAME, KEYFRAME, SPAN, WINDOW
from schemas.table_texts import table_text

if TYPE_CHECKING:
    from schemas.serving import ModelIdentity


@dataclass(frozen=True)
class Stage:
    """A stage: what it works on, which table it fills, what it stands on.

    A `sample` stage takes single pieces of evidence of one record type, in any order. A `day` stage builds a whole
    (run, day) again when anything of it changed: its `sources` are stages, or `evidence`. What it `gives` is the record
    type under which a sample stage takes its rows.
    """

    name: str
    version: int
    scope: Literal["sample", "day"]
    table: str
    record_type: str = ""
    sources: tuple[str, ...] = ()
    model: str = ""
    hour_column: str = ""
    seconds_each: float = 0.0005
    gives: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def function(self) -> Callable[..., Any]:
        """The stage itself: the function of its name, in the module of that name under `pipeline.stages`.

        Loaded when it is asked for, and Arrow with it: who only wants to know how far a stage is does without both.
        """
        function: Callable[..., Any] = getattr(import_module(f"pipeline.stages.{self.name}"), self.name)
        return function

    @property
    def config_hash(self) -> str:
        """Hash of the stage, its version, its parameters and the stages it stands on."""
        return canonical_sha256([
            self.name, self.version, dict(self.parameters),
            [stage(name).config_hash for name in self.sources if name != "evidence"],
        ])  # fmt: skip

    @property
    def reads_pictures(self) -> bool:
        """Whether a model is shown frames, and not texts."""
        return bool(self.model) and self.record_type in (FRAME, KEYFRAME)

    def fingerprint(self, model: ModelIdentity | None = None, prompt_hash: str = "") -> str:
        """Hash of all that decides what the stage makes of an input: configuration, table schema, model, prompt.

        A day stage gets the model's doing through its inputs, so it needs no model here.
        """
        return canonical_sha256({
            "config_hash": self.config_hash,
            "schema": table_text(self.table),
            "model_digest": model.model_digest if model else "",
            **({"prompt_hash": prompt_hash} if prompt_hash else {}),
        })  # fmt: skip


STAGES: tuple[Stage, ...] = (
    Stage("list_frames", 1, "sample", "frames", record_type=FRAME),
    Stage("list_windows", 1, "sample", "windows", record_type=WINDOW),
    Stage(
        "visit_urls", 1, "day", "url_visits",
        sources=("evidence", "list_frames", "list_windows"), hour_column="first_seen_utc",
        parameters={"public_suffixes": package_version("publicsuffixlist")},
    ),
    Stage(
        "find_text_lines", 1, "sample", "records",
        record_type=FRAME, model="ocr", seconds_each=2.0,
    ),
    Stage(
        "track_lines", 1, "day", "line_tracks",
        sources=("list_frames", "find_text_lines"), hour_column="first_seen_utc",
    ),
    Stage(
        "build_spans", 1, "day", "spans",
        sources=("list_frames", "visit_urls", "track_lines"), hour_column="first_seen_utc",
        parameters=SPANS, gives=SPAN,
    ),
    Stage(
        "embed_spans", 1, "sample", "records",
        record_type=SPAN, model="embed", seconds_each=0.05,
    ),
    Stage(
        "choose_keyframes", 1, "day", "keyframes",
        sources=("list_frames", "track_lines"), hour_column="ts_utc", parameters=KEYFRAMES, gives=KEYFRAME,
    ),
    Stage(
        "describe_screen", 1, "sample", "records",
        record_type=KEYFRAME, model="vlm", seconds_each=1.0,
    ),
    Stage("list_screens", 1, "day", "screens", sources=("describe_screen",), hour_column="ts_utc"),
    Stage(
        "list_ui_elements", 1, "day", "ui_elements",
        sources=("describe_screen",), hour_column="ts_utc",
    ),
    Stage(
        "find_ui_elements", 2, "day", "ui_elements",
        sources=("evidence", "list_frames", "choose_keyframes", "find_text_lines", "describe_screen"),
        hour_column="ts_utc", parameters=UI_ELEMENTS,
    ),
    Stage("list_dialogs", 1, "day", "dialogs", sources=("describe_screen",), hour_column="ts_utc"),
)  # fmt: skip
"""All stages, each after those it stands on."""


def stage(name: str) -> Stage:
    """Find a stage by its name, or by the kind of model that it asks (`ocr`). Raises UsageError."""
    for item in STAGES:
        if name in (item.name, item.model):
            return item
    raise UsageError(f"no stage {name!r}", remedy=f"the stages are: {', '.join(item.name for item in STAGES)}")


def select(names: Iterable[str]) -> tuple[Stage, ...]:
    """The named stages in the order of the DAG; all of them when none is named. Raises UsageError."""
    wanted = {stage(name).name for name in names}
    return tuple(item for item in STAGES if not wanted or item.name in wanted)
