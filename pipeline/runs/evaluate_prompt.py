"""Tries a prompt on frames whose content is known, and keeps what was said and how good it was.

Replies are kept: the same prompt, model and truth are not asked for again, so that the figures stay `[row-2]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from pipeline.dataroot import DataRoot
from pipeline.engines.shards import frame_refs
from pipeline.errors import Blocked, UsageError
from pipeline.prompts import Prompt
from pipeline.stages.batch import SampleInput
from pipeline.stages.score_screens import TrueScreen, score_screens
from pipeline.stores.atomic import make_directories, replace_bytes
from pipeline.stores.evidence import EvidenceStore
from schemas.canonical import canonical_json, canonical_sha256, sha256_hex
from schemas.fields import parse_utc
from schemas.screen import DescribedScreen, Screen, ScreenReader
from schemas.serving import FrameRef, ModelIdentity

VERSION = 1
"""Raise it when scores are computed in another way."""

_MOST_TRUTH = 64 << 20


def read_truth(path: Path) -> list[TrueScreen]:
    """Read a file of truth: a JSON object a line, in the form of TrueScreen. Raises UsageError."""
    try:
        lines = path.read_bytes()[:_MOST_TRUTH].splitlines()
    except OSError as error:
        reason = f"the truth {path} cannot be read: {error.strerror}"
        raise UsageError(reason, remedy="name a file of lines of JSON") from error
    screens = []
    for number, line in enumerate(lines, start=1):
        try:
            screens.append(TrueScreen.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors(include_input=False)[0]
            where = ".".join(str(part) for part in problem["loc"])
            raise UsageError(
                f"line {number} of the truth {path} is no screen: {where or 'it'}: {problem['msg']}",
                remedy='write lines like {"frame_id": "…", "app_kind": "browser", "elements": [{"role": "button",'
                ' "label": "Save", "bbox": [0, 0, 10, 10]}]}',
            ) from error
    if len({screen.frame_id for screen in screens}) < len(screens) or not screens:
        raise UsageError(f"the truth {path} holds no frame, or one twice", remedy="write one line for each frame")
    return screens


def evaluate_prompt(
    root: DataRoot, prompt: Prompt, truth: list[TrueScreen], model: ModelIdentity, describe: ScreenReader, *,
    again: bool = False, answered: Callable[[], None] = lambda: None,
) -> dict[str, Any]:  # fmt: skip
    """Have frames of the truth described that were not yet, score all, and keep it; returns what is kept.

    `answered` is called for each reply. Raises UsageError for a frame that is not in this DataRoot, Blocked when the
    gate closed: what was answered is kept.
    """
    truth = sorted(truth, key=lambda screen: screen.frame_id)
    truth_sha256 = canonical_sha256([screen.model_dump() for screen in truth])
    name = canonical_sha256([VERSION, prompt.sha256, model.model_digest, truth_sha256])[:32]
    path = root.evaluations / f"{name}.json"
    replies = {} if again else _kept_replies(path)
    wanted = [ref for ref in _frames(root, truth) if ref.frame_id not in replies]
    try:
        for index, reply in describe(wanted):
            replies[wanted[index].frame_id] = _told(reply)
            answered()
    finally:
        result = _keep(path, prompt, model, truth, truth_sha256, replies)
    if len(replies) < len(truth):
        raise Blocked(
            f"stopped after {len(replies)} of {len(truth)} frames: the user was active",
            remedy="what was answered is kept; the same command goes on",
        )
    return result


def _keep(
    path: Path, prompt: Prompt, model: ModelIdentity, truth: list[TrueScreen], truth_sha256: str,
    replies: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    result = {
        "schema_version": VERSION,
        "evaluation": path.stem,
        "prompt": {"name": prompt.name, "version": prompt.version, "prompt_hash": prompt.sha256},
        "model": model.model_dump(),
        "truth_sha256": truth_sha256,
        "failures": _failures(replies),
        "scores": score_screens(truth, dict(_screens(replies))),
        "replies": {key: replies[key] for key in sorted(replies)},
    }
    make_directories(path.parent)
    replace_bytes(path, canonical_json(result) + b"\n")
    return result


def _frames(root: DataRoot, truth: Iterable[TrueScreen]) -> list[FrameRef]:
    names = [screen.frame_id for screen in truth]
    with EvidenceStore(root) as evidence:
        rows = evidence.rows(names)
        samples = [_sample(name, rows[name].payload) for name in names if name in rows]
        frames, unusable = frame_refs(samples, evidence)
    if len(frames) < len(names):
        raise UsageError(
            f"{len(names) - len(frames)} of {len(names)} frames of the truth are not in this DataRoot,"
            f" or cannot be used ({len(unusable)})",
            remedy='name frames by the ids that `pipeline sql "SELECT frame_id FROM frames"` lists',
        )
    return frames


def _sample(name: str, payload: str) -> SampleInput:
    record = orjson.loads(payload)
    return SampleInput(name, str(record["run_id"]), parse_utc(str(record["ts_utc"])), payload)


def _told(reply: Any) -> dict[str, Any]:
    """What is kept of a reply: the screen, or the code of what was wrong with it."""
    if isinstance(reply, DescribedScreen):
        screen = reply.screen.model_dump(mode="json")
        return {"screen": screen, "sha256": sha256_hex(canonical_json(screen))}
    return {"error_code": reply.code}


def _kept_replies(path: Path) -> dict[str, dict[str, Any]]:
    """What was kept of an earlier try; nothing where that is not what we wrote. Failures are asked again."""
    try:
        kept = orjson.loads(path.read_bytes())["replies"]
        good = {name: reply for name, reply in kept.items() if "screen" in reply}
        return {name: good[name] for name, _ in _screens(good)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _screens(replies: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Screen]]:
    for name, reply in replies.items():
        if "screen" in reply:
            yield name, Screen.model_validate(reply["screen"], strict=False)


def _failures(replies: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    codes = sorted(str(reply["error_code"]) for reply in replies.values() if "error_code" in reply)
    return {code: codes.count(code) for code in codes}
