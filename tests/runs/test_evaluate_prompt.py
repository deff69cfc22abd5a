"""A prompt tried on frames whose content is known: the figures, what is kept, and what is not asked twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from screen_memory import Memory, minutes, open_gate
from vlm_memory import HEIGHT, WIDTH, full_settings, process_full, show
from vlm_server import Endpoint, said, serving

from pipeline.errors import Blocked, UsageError
from pipeline.gate import Gate, Verdict
from pipeline.prompts import load_prompt
from pipeline.reports.prompts import diff_prompts, known_prompts, load_candidate
from pipeline.runs.evaluate_prompt import evaluate_prompt, read_truth
from pipeline.runs.models import prompted_vlm

PROMPT = load_prompt("describe_screen", "v1")
WHERE = [WIDTH // 10, HEIGHT // 4, WIDTH // 2, HEIGHT // 2]
"""The box of the button that the endpoint says of every picture, in pixels."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving() as served:
        yield served


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    place = Memory(tmp_path / "root")
    for number, moment in enumerate(minutes(10, 0, 1, 2)):
        show(place, number, moment)
    return place


def truth_file(memory: Memory, *kinds: str, button: list[int] | None = None) -> Path:
    lines: list[dict[str, Any]] = [
        {
            "frame_id": f"desk-1/evidence.capture.frame/{number}",
            "app_kind": kind,
            "elements": [{"role": "button", "label": "Save", "bbox": button or WHERE}],
        }
        for number, kind in enumerate(kinds)
    ]
    path = memory.root.path.parent / "truth.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def evaluate(memory: Memory, endpoint: Endpoint, truth: Path, gate: Gate | None = None, again: bool = False) -> Any:
    settings = full_settings(memory.root, endpoint)
    memory.root.require_writable()
    model = prompted_vlm(memory.root, settings, gate or open_gate(memory.root), PROMPT)
    return evaluate_prompt(memory.root, PROMPT, read_truth(truth), model.identity, model.describe, again=again)


def test_what_is_right_is_counted_and_kept(memory: Memory, endpoint: Endpoint) -> None:
    result = evaluate(memory, endpoint, truth_file(memory, "editor", "browser"))
    scores = result["scores"]
    assert (scores["frames"], scores["answered"], scores["found"], scores["said_elements"]) == (2, 2, 2, 2)
    assert (scores["recall_permille"], scores["label_permille"], scores["kind_permille"]) == (1000, 0, 500)
    [path] = memory.root.evaluations.glob("*.json")
    assert path.stem == result["evaluation"]
    assert orjson.loads(path.read_bytes()) == result
    assert result["prompt"] == {"name": "describe_screen", "version": "v1", "prompt_hash": PROMPT.sha256}


def test_what_was_answered_is_not_asked_again_and_gives_the_same(memory: Memory, endpoint: Endpoint) -> None:
    truth = truth_file(memory, "editor", "browser")
    first = evaluate(memory, endpoint, truth)
    endpoint.answer = lambda image: said(image, elements=[])
    assert evaluate(memory, endpoint, truth) == first
    assert len(endpoint.images) == 2
    assert evaluate(memory, endpoint, truth, again=True)["scores"]["found"] == 0
    assert len(endpoint.images) == 4


def test_another_truth_is_another_evaluation(memory: Memory, endpoint: Endpoint) -> None:
    first = evaluate(memory, endpoint, truth_file(memory, "editor"))
    second = evaluate(memory, endpoint, truth_file(memory, "editor", button=[50, 30, 60, 40]))
    assert first["evaluation"] != second["evaluation"]
    assert (first["scores"]["found"], second["scores"]["found"]) == (1, 0)


def test_bad_replies_are_counted_by_what_was_wrong_and_asked_again_next_time(
    memory: Memory, endpoint: Endpoint
) -> None:
    truth = truth_file(memory, "editor", "editor")
    endpoint.answer = lambda image: "no JSON"
    result = evaluate(memory, endpoint, truth)
    assert sum(result["failures"].values()) == 2
    assert result["scores"]["answered"] == 0
    endpoint.answer = said
    assert evaluate(memory, endpoint, truth)["scores"]["answered"] == 2


class Closing(Gate):
    """A gate that closes after so many questions."""

    def __init__(self, memory: Memory, questions: int) -> None:
        super().__init__(memory.root.activity_signal)
        self.left = questions

    def ask(self) -> Verdict:
        self.left -= 1
        return Verdict(self.left >= 0, "made for a test")


def test_when_the_user_comes_back_it_stops_and_goes_on_later(memory: Memory, endpoint: Endpoint) -> None:
    truth = truth_file(memory, "editor", "editor", "editor")
    with pytest.raises(Blocked, match="of 3 frames"):
        evaluate(memory, endpoint, truth, Closing(memory, 0))
    assert endpoint.images == []
    assert evaluate(memory, endpoint, truth)["scores"]["answered"] == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no frame"),
        ('{"frame_id": "a", "elements": []}\n' * 2, "or one twice"),
        ('{"frame_id": "a"}\n', "line 1 of the truth .* elements"),
        ("no json\n", "line 1 of the truth"),
        ('{"frame_id": "a", "elements": [{"role": "lever", "label": "", "bbox": [0, 0, 1, 1]}]}\n', "elements.0.role"),
    ],
)
def test_a_truth_that_is_none_is_told_by_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_truth(path)


def test_frames_that_are_not_here_are_told_before_anything_is_asked(memory: Memory, endpoint: Endpoint) -> None:
    with pytest.raises(UsageError, match="2 of 5 frames of the truth are not in this DataRoot"):
        evaluate(memory, endpoint, truth_file(memory, *["editor"] * 5))
    assert endpoint.images == []


def test_prompts_are_listed_with_the_records_made_with_them(memory: Memory, endpoint: Endpoint) -> None:
    assert [(item.label, item.records) for item in known_prompts(memory.root)] == [("describe_screen/v1", 0)]
    process_full(memory.root, endpoint)
    [known] = known_prompts(memory.root)
    assert (known.sha256, known.records) == (PROMPT.sha256, 3)


def test_a_prompt_that_only_records_hold_is_listed_and_compared(
    memory: Memory, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_full(memory.root, endpoint)
    monkeypatch.setattr("pipeline.reports.prompts.list_prompts", lambda: [])
    [known] = known_prompts(memory.root)
    assert (known.label, known.records) == (f"recorded {PROMPT.sha256[:12]}", 3)
    candidate = candidate_of(memory, "Describe this screen.", "Describe this picture.")
    told = diff_prompts(memory.root, PROMPT.sha256[:8], str(candidate))
    assert [line for line in told["diff"] if line.startswith(("-D", "+D"))] == [
        "-Describe this screen.", "+Describe this picture.",
    ]  # fmt: skip


def test_a_prompt_is_the_same_as_itself_and_an_unknown_one_is_told(memory: Memory) -> None:
    told = diff_prompts(memory.root, "describe_screen/v1", PROMPT.sha256)
    assert (told["same"], told["diff"]) == (True, [])
    with pytest.raises(UsageError, match=r"no prompt 'describe_screen/v9'; there are: describe_screen/v1"):
        diff_prompts(memory.root, "describe_screen/v9", "describe_screen/v1")


def candidate_of(memory: Memory, old: str, new: str) -> Path:
    """The prompt of this installation with a line changed, as a file elsewhere."""
    folder = memory.root.path.parent / "mine"
    folder.mkdir()
    source = Path(__file__).parents[2] / "pipeline" / "prompts" / "describe_screen"
    (folder / "reply_v1.schema.json").write_bytes((source / "reply_v1.schema.json").read_bytes())
    path = folder / "try.toml"
    path.write_text((source / "v1.toml").read_text().replace(old, new))
    assert load_candidate(path).sha256 != PROMPT.sha256
    return path
