"""Who the models are that the next run would ask: told without a run, to see what they would make stale."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import Any

import orjson
from pydantic import ValidationError

from pipeline.dag import Stage
from pipeline.dataroot import DataRoot
from pipeline.errors import Unavailable
from pipeline.prompts import load_prompt
from pipeline.runs.manifest import code_sha256, installed_sha256
from pipeline.runs.model_choice import OCR_STAGE, described, model_in_use
from pipeline.runs.servers import OWN_VLM, missing_package, not_installed, server_command
from pipeline.runs.vlm import find_vlm, model_folder
from pipeline.settings import Settings
from pipeline.stores.atomic import make_directories, replace_bytes
from pipeline.stores.fingerprints import MadeBy
from schemas.canonical import canonical_sha256
from schemas.serving import ModelIdentity


def made_by_now(root: DataRoot, settings: Settings, stage: Stage) -> tuple[str, MadeBy]:
    """The fingerprint that a model stage has now, and what it is made of.

    Loads a model, in a process of its own, where nobody has asked since something changed that it may stand on. Raises
    Unavailable when it cannot be had, ContractInvalid for an endpoint beyond loopback.
    """
    identity = _identity(root, settings, stage.model)
    prompt_hash = load_prompt(stage.name, settings.vlm_prompt).sha256 if stage.model == "vlm" else ""
    made_by = MadeBy(stage.config_hash, identity.model_id, identity.model_digest, prompt_hash)
    return stage.fingerprint(identity, prompt_hash), made_by


def _identity(root: DataRoot, settings: Settings, kind: str) -> ModelIdentity:
    if kind == "vlm" and settings.vlm_server != OWN_VLM:
        return find_vlm(root, settings).identity
    package = missing_package(kind)
    if package is not None:
        raise not_installed(kind, package)
    command = server_command(root, settings, kind, _described(root, settings, kind))
    recipe = canonical_sha256([command, installed_sha256(), code_sha256(), _files(settings, kind)])
    known = _read(root)
    with suppress(ValidationError):
        if isinstance(entry := known.get(kind), dict) and entry.get("recipe") == recipe:
            return ModelIdentity.model_validate(entry.get("identity"))
    identity = _ask(command, kind, settings.worker_start_s)
    _remember(root, {**known, kind: {"recipe": recipe, "identity": identity.model_dump()}})
    return identity


def _described(root: DataRoot, settings: Settings, kind: str) -> str:
    return described(settings, model_in_use(root, OCR_STAGE)) if kind == "ocr" else ""


def _files(settings: Settings, kind: str) -> list[list[int | str]]:
    """Sizes and times of files in a folder that a user named: they may be others under the same name."""
    folders = [str(value) for value in _folders(settings, kind)]
    found: list[list[int | str]] = []
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            found += [[entry.path, entry.stat().st_size, entry.stat().st_mtime_ns] for entry in entries]
    return sorted(found)


def _folders(settings: Settings, kind: str) -> list[Any]:
    if kind == "vlm":
        return [model_folder(settings)]
    models = settings.ocr_models.values() if kind == "ocr" else ()
    return [value for model in models for name, value in model.parameters.items() if name.endswith("_dir")]


def _ask(command: list[str], kind: str, timeout_s: float) -> ModelIdentity:
    try:
        told = subprocess.run([*command, "--identity"], capture_output=True, timeout=timeout_s, check=True)
        return ModelIdentity.model_validate_json(told.stdout)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        reason, _, remedy = said.removeprefix("error: ").partition(" → ")
        raise Unavailable(f"the {kind} model cannot be loaded: {reason}", remedy=remedy or "pipeline doctor") from error
    except (subprocess.TimeoutExpired, ValidationError, OSError) as error:
        raise Unavailable(f"the {kind} model does not say who it is", remedy="pipeline doctor") from error


def _read(root: DataRoot) -> dict[str, Any]:
    with suppress(OSError, orjson.JSONDecodeError):
        found = orjson.loads(root.model_identities.read_bytes())
        if isinstance(found, dict):
            return found
    return {}


def _remember(root: DataRoot, known: dict[str, Any]) -> None:
    """A memo: where it cannot be written, the model is asked again the next time."""
    with suppress(OSError):
        make_directories(root.cache)
        replace_bytes(root.model_identities, orjson.dumps(known, option=orjson.OPT_SORT_KEYS))
