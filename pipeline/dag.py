"""The stages, their order and their fingerprints. Pure: nothing here reads or writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version as package_version
from typing import Any, Literal

from pipeline.errors import UsageError
from pipeline.stages import build_spans as spans
from pipeline.stages import choose_keyframes as keyframes
from pipeline.stages import find_ui_elements as elements
from pipeline.stages.build_spans import build_spans
from pipeline.stages.choose_keyframes import choose_keyframes
from pipeline.stages.describe_screen import describe_screen
from pipeline.stages.embed_spans import embed_spans
from pipeline.stages.find_text_lines import find_text_lines
from pipeline.stages.find_ui_elements import find_ui_elements
from pipeline.stages.list_dialogs import list_dialogs
from pipeline.stages.list_frames import list_frames
from pipeline.stages.list_screens import list_screens
from pipeline.stages.list_ui_elements import list_ui_elements
from pipeline.stages.list_windows import list_windows
from pipeline.stages.track_lines import track_lines
from pipeline.stages.visit_urls import visit_urls
from schemas.arrow import table_schema
from schemas.canonical import canonical_sha256
from schemas.evidence import FRAME, WINDOW
from schemas.facts import KEYFRAME, SPAN
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
    function: Callable[..., Any]
    record_type: str = ""
    sources: tuple[str, ...] = ()
    model: str = ""
    hour_column: str = ""
    seconds_each: float = 0.0005
    gives: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

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
            "schema": table_schema(self.table).to_string(),
            "model_digest": model.model_digest if model else "",
            **({"prompt_hash": prompt_hash} if prompt_hash else {}),
        })  # fmt: skip


STAGES: tuple[Stage, ...] = (
    Stage("list_frames", 1, "sample", "frames", list_frames, record_type=FRAME),
    Stage("list_windows", 1, "sample", "windows", list_windows, record_type=WINDOW),
    Stage(
        "visit_urls", 1, "day", "url_visits", visit_urls,
        sources=("evidence", "list_frames", "list_windows"), hour_column="first_seen_utc",
        parameters={"public_suffixes": package_version("publicsuffixlist")},
    ),
    Stage(
        "find_text_lines", 1, "sample", "records", find_text_lines,
        record_type=FRAME, model="ocr", seconds_each=2.0,
    ),
    Stage(
        "track_lines", 1, "day", "line_tracks", track_lines,
        sources=("list_frames", "find_text_lines"), hour_column="first_seen_utc",
    ),
    Stage(
        "build_spans", 1, "day", "spans", build_spans,
        sources=("list_frames", "visit_urls", "track_lines"), hour_column="first_seen_utc",
        parameters=spans.PARAMETERS, gives=SPAN,
    ),
    Stage(
        "embed_spans", 1, "sample", "records", embed_spans,
        record_type=SPAN, model="embed", seconds_each=0.05,
    ),
    Stage(
        "choose_keyframes", 1, "day", "keyframes", choose_keyframes,
        sources=("list_frames", "track_lines"), hour_column="ts_utc", parameters=keyframes.PARAMETERS, gives=KEYFRAME,
    ),
    Stage(
        "describe_screen", 1, "sample", "records", describe_screen,
        record_type=KEYFRAME, model="vlm", seconds_each=1.0,
    ),
    Stage("list_screens", 1, "day", "screens", list_screens, sources=("describe_screen",), hour_column="ts_utc"),
    Stage(
        "list_ui_elements", 1, "day", "ui_elements", list_ui_elements,
        sources=("describe_screen",), hour_column="ts_utc",
    ),
    Stage(
        "find_ui_elements", 2, "day", "ui_elements", find_ui_elements,
        sources=("evidence", "list_frames", "choose_keyframes", "find_text_lines", "describe_screen"),
        hour_column="ts_utc", parameters=elements.PARAMETERS,
    ),
    Stage("list_dialogs", 1, "day", "dialogs", list_dialogs, sources=("describe_screen",), hour_column="ts_utc"),
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
