"""The committed contract, how a change of it gets its version, and the command that prints it."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.main import run
from schemas.contract_version import CONTRACT_VERSION, SCHEMA_HASH

REPOSITORY = Path(__file__).resolve().parent.parent


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("contract_script", REPOSITORY / "scripts" / "contract.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script: Any = _load()


def test_the_committed_hash_is_that_of_the_models_and_of_the_committed_schemas() -> None:
    assert script.schema_hash(script.contract_schemas()) == SCHEMA_HASH
    committed = json.loads((REPOSITORY / "schemas" / "contract.json").read_bytes())
    assert script.schema_hash(committed) == SCHEMA_HASH
    assert script.check() == 0


def test_the_page_has_a_row_for_the_committed_version() -> None:
    page = (REPOSITORY / "docs" / "compatibility.md").read_text()
    assert f"| {CONTRACT_VERSION} | `{SCHEMA_HASH[:16]}` |" in page


def test_prose_is_no_part_of_the_hash_and_a_field_called_title_is() -> None:
    text = json.dumps(script.contract_schemas())
    assert '"description"' not in text
    window = script.contract_schemas()["reads"]["evidence.window.meta"]["$defs"]["Window"]
    assert window["properties"]["title"]["type"] == "string"


def change(side: str, name: str, what: str) -> tuple[list[str], list[str]]:
    before = script.contract_schemas()
    after = copy.deepcopy(before)
    schema = after[side][name]
    if what == "new field":
        schema["properties"]["depth_mm"] = {"type": "integer"}
    elif what == "new field, required":
        schema["properties"]["depth_mm"] = {"type": "integer"}
        schema["required"].append("depth_mm")
    elif what == "field gone":
        del schema["properties"]["ts_utc"]
    elif what == "other type":
        schema["properties"]["ts_utc"] = {"type": "integer"}
    elif what == "new limit":
        schema["properties"]["run_id"]["maxLength"] = 3
    elif what == "not required":
        schema["required"].remove("ts_utc")
    elif what == "new record":
        after[side]["evidence.hologram"] = {"type": "object"}
    elif what == "record gone":
        del after[side][name]
    found: tuple[list[str], list[str]] = script.differences(before, after)
    return found


FRAME, EVENT = ("reads", "evidence.capture.frame"), ("writes", "journal.ndjson")


@pytest.mark.parametrize(
    ("place", "what", "version"),
    [
        (FRAME, "nothing", "3.7"),
        (FRAME, "new field", "3.8"),
        (FRAME, "new record", "3.8"),
        (EVENT, "new field, required", "3.8"),
        (FRAME, "new field, required", "4.0"),
        (FRAME, "field gone", "4.0"),
        (FRAME, "other type", "4.0"),
        (FRAME, "new limit", "4.0"),
        (EVENT, "not required", "4.0"),
        (EVENT, "record gone", "4.0"),
    ],
)
def test_the_version_follows_from_the_difference(place: tuple[str, str], what: str, version: str) -> None:
    assert script.next_version("3.7", *change(*place, what)) == version


def test_the_command_prints_version_hash_and_what_is_read_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["contract", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["contract_version"], content["schema_hash"]) == (CONTRACT_VERSION, SCHEMA_HASH)
    for name in [*content["reads"].values(), *content["writes"].values()]:
        assert (REPOSITORY / "schemas" / "generated" / f"{name}.schema.json").is_file()
    assert run(["contract"]) == 0
    assert SCHEMA_HASH in capsys.readouterr().out


def test_a_field_of_a_session_with_another_number_breaks_the_contract_and_a_new_message_adds_to_it() -> None:
    before = script.contract_schemas()
    after = copy.deepcopy(before)
    messages = after["reads"]["chronicle.proto"]["properties"]
    messages["Smell"] = {"properties": {}}
    assert script.differences(before, after) == ([], ["reads.chronicle.proto.properties.Smell is new"])
    messages["RectI32"]["properties"]["x"]["number"] = 9
    place = "reads.chronicle.proto.properties.RectI32.properties.x.number"
    assert script.differences(before, after)[0] == [f"{place} is another"]
