"""The landscape: what is near, that it can be built again, and that a mismatch is told."""

from __future__ import annotations

import math
import random
import sqlite3
import subprocess
import sys
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from command_line import RunCli
from screen_memory import InProcessModel, Memory, minutes, open_gate, rows

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.spans import EmbedModel
from pipeline.errors import ContractInvalid, NotAvailableYet, NothingToDo, NotInstalled
from pipeline.runs.loop import run
from pipeline.runs.models import remembering
from pipeline.runs.progress import LogProgress
from pipeline.runs.report import RunOptions
from pipeline.settings import Settings
from pipeline.stores.landscape import Landscape, Manifest, Pinned, open_landscape, read_manifest, search
from pipeline.stores.landscape_build import build_landscape, verify_landscape
from schemas.canonical import sha256_hex
from schemas.evidence import WINDOW
from schemas.fields import utc_microseconds
from schemas.serving import Embedding, ModelIdentity, SampleFailure

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

DIMENSIONS = 8
TITLES = ("A", "B", "C", "A", "D")


def vector_of(text: str) -> array[float]:
    values = [byte - 127.5 for byte in bytes.fromhex(sha256_hex(text.encode()))[:DIMENSIONS]]
    length = math.sqrt(sum(value * value for value in values))
    return array("f", [value / length for value in values])


def identity(name: str = "a") -> ModelIdentity:
    return ModelIdentity(provider_id="test", model_id=name, model_digest=sha256_hex(name.encode()))


def process(root: DataRoot, name: str = "a", **options: Any) -> None:
    def embed(texts: Sequence[str]) -> Iterator[tuple[int, Embedding | SampleFailure]]:
        for index, text in enumerate(texts):
            yield index, Embedding(vector_of(f"{name} {text}"), 1, False)

    def embedder(producer: str) -> EmbedModel:
        return EmbedModel(identity(name), remembering(root, identity(name), producer, embed))

    run(root, Settings(), RunOptions(until_done=True, **options), LocalEngine(root), open_gate(root),
        InProcessModel(root), LogProgress(), embedder)  # fmt: skip


def fill(memory: Memory, numbers: Sequence[int] = range(len(TITLES))) -> None:
    for number in numbers:
        window = {"title": TITLES[number], "process_path": "/usr/bin/editor", "hwnd": 7, "rect": [0, 0, 640, 480]}
        [moment] = minutes(10, number)
        memory.frame(number, moment, window_ref={"record_id": f"w/{WINDOW}/0", "window": window})


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    found = Memory(tmp_path / "root")
    fill(found)
    process(found.root)
    return found


def spans(root: DataRoot) -> dict[str, dict[str, Any]]:
    return {row["span_id"]: row for row in rows(root, "spans")}


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_each_span_is_nearest_to_itself(memory: Memory) -> None:
    build_landscape(memory.root)
    for span_id, span in spans(memory.root).items():
        first, *others = search(memory.root, vector_of(f"a {span['text']}"), 10)
        assert first == (span_id, 10_000)
        assert len(others) == len(TITLES) - 1
        assert [score for _, score in others] == sorted((score for _, score in others), reverse=True)


def test_a_search_is_bounded_in_number_and_time(memory: Memory) -> None:
    build_landscape(memory.root)
    by_time = sorted(spans(memory.root).values(), key=lambda span: span["first_seen_utc"])
    second, third = by_time[1], by_time[2]
    question = vector_of("anything")
    assert len(search(memory.root, question, 2)) == 2
    assert search(memory.root, question, 0) == []
    since, until = utc_microseconds(second["first_seen_utc"]), utc_microseconds(third["first_seen_utc"])
    assert [item for item, _ in search(memory.root, question, 9, since_us=since, until_us=until)] == [second["span_id"]]
    assert len(search(memory.root, question, 9, until_us=until)) == 2
    assert len(search(memory.root, question, 9, since_us=since)) == 4


def test_a_vector_of_another_model_or_size_finds_nothing(memory: Memory) -> None:
    build_landscape(memory.root)
    assert search(memory.root, vector_of("a"), 3, model_digest="f" * 64) == []
    assert len(search(memory.root, vector_of("a"), 3, model_digest=identity().model_digest)) == 3
    with pytest.raises(ValueError, match="the landscape has 8"):
        search(memory.root, [1.0], 3)


def test_without_a_landscape_nothing_is_found(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    assert search(memory.root, vector_of("a"), 3) == []
    with pytest.raises(NotAvailableYet):
        verify_landscape(memory.root)


def test_equals_come_in_the_order_of_their_ids_as_an_exhaustive_scan_has_them(tmp_path: Path) -> None:
    shuffler = random.Random(3)
    pool = [vector_of(str(number)) for number in range(20)]
    matrix = np.array([pool[shuffler.randrange(20)] for _ in range(500)], dtype=np.float32)
    times = np.array([shuffler.randrange(1_000) for _ in range(500)], dtype=np.int64)
    pinned = Pinned(model=None, config_hashes=[], parameters={}, dimensions=DIMENSIONS, spans=500, left_out=0,
                    spans_sha256="0" * 64, vectors_sha256="0" * 64)  # fmt: skip
    manifest = Manifest(pinned=pinned, manifest_sha256="0" * 64, folder="x")
    landscape = Landscape(manifest, tmp_path, matrix, times, times, times)
    question = vector_of("question")
    scores = [round(float(np.dot(row, np.array(question)) * 10_000)) for row in matrix]
    for k in (1, 7, 100, 499, 500, 600):
        found = landscape.search(question, k, since_us=200)
        expected = sorted((-scores[row], row) for row in range(500) if times[row] >= 200)[:k]
        assert [row for row, _ in found] == [row for _, row in expected]


def test_building_again_from_the_facts_gives_the_same_hash(memory: Memory, tmp_path: Path) -> None:
    first = build_landscape(memory.root)
    again = build_landscape(memory.root)
    assert again.manifest_sha256 == first.manifest_sha256
    assert again.folder != first.folder
    other = Memory(tmp_path / "other")
    for number in (3, 0, 4):  # in another order, in several runs
        fill(other, [number])
        process(other.root)
    fill(other, [1, 2])
    process(other.root)
    assert build_landscape(other.root).manifest_sha256 == first.manifest_sha256


def test_a_fresh_landscape_matches(memory: Memory) -> None:
    manifest = build_landscape(memory.root)
    assert verify_landscape(memory.root) == (manifest, [])
    assert read_manifest(memory.root) == manifest


def test_verifying_and_searching_change_nothing(memory: Memory) -> None:
    build_landscape(memory.root)
    before = everything(memory.root.path)
    verify_landscape(memory.root)
    search(memory.root, vector_of("a"), 3)
    assert everything(memory.root.path) == before


def test_old_versions_go_and_what_is_open_stays_readable(memory: Memory) -> None:
    build_landscape(memory.root)
    reader = open_landscape(memory.root)
    assert reader is not None
    (memory.root.landscape / ".tmp-left-by-a-crash").mkdir()
    manifest = build_landscape(memory.root)
    assert [item.name for item in memory.root.landscape.iterdir()] == [manifest.folder]
    assert len(reader.search(vector_of("a"), 9)) == len(TITLES)


def test_new_facts_are_told_as_a_mismatch_until_it_is_built_again(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    [moment] = minutes(11, 0)
    memory.frame(20, moment, window_ref={"record_id": "w/0", "window": {"title": "new", "hwnd": 7}})
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "lancedb", None)
        process(memory.root)
    _, reasons = verify_landscape(memory.root)
    assert "the facts now give another spans than the landscape was built from" in reasons
    build_landscape(memory.root)
    assert verify_landscape(memory.root)[1] == []


def test_what_another_model_embedded_is_left_out_and_counted(memory: Memory) -> None:
    first = build_landscape(memory.root)
    [moment] = minutes(11, 0)
    memory.frame(20, moment, window_ref={"record_id": "w/0", "window": {"title": "new", "hwnd": 7}})
    process(memory.root, "b")
    mixed = build_landscape(memory.root).pinned
    assert mixed.model == identity("b")
    assert (mixed.spans, mixed.left_out) == (1, len(TITLES))
    process(memory.root, "b", reprocess=True)
    whole = build_landscape(memory.root)
    assert (whole.pinned.spans, whole.pinned.left_out) == (len(TITLES) + 1, 0)
    assert whole.manifest_sha256 != first.manifest_sha256


def damage(name: str, change: int = -5) -> Any:
    def apply(root: DataRoot) -> None:
        [path] = root.landscape.glob(f"*/{name}")
        content = bytearray(path.read_bytes())
        content[change] ^= 1
        path.write_bytes(bytes(content))

    return apply


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vectors.npy", "vectors.npy does not hash to vectors_sha256"),
        ("spans.jsonl", "spans.jsonl does not hash to spans_sha256"),
        ("first_us.npy", "first_us.npy differs from spans.jsonl"),
        ("last_us.npy", "last_us.npy differs from spans.jsonl"),
    ],
)
def test_a_changed_file_is_told(name: str, reason: str, memory: Memory) -> None:
    build_landscape(memory.root)
    path = next(memory.root.landscape.glob(f"*/{name}"))
    content = path.read_bytes()
    if name == "spans.jsonl":
        path.write_bytes(content.replace(b'"editor"', b'"EDITOR"', 1))
    else:
        path.write_bytes(content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    assert reason in verify_landscape(memory.root)[1]


def test_a_changed_or_missing_table_is_told(memory: Memory) -> None:
    lancedb = pytest.importorskip("lancedb")
    build_landscape(memory.root)
    table = lancedb.connect(str(memory.root.index)).open_table("landscape")
    table.delete(f"span_id = '{min(spans(memory.root))}'")
    assert verify_landscape(memory.root)[1] == ["the table landscape.lance holds other spans"]
    lancedb.connect(str(memory.root.index)).drop_table("landscape")
    [reason] = verify_landscape(memory.root)[1]
    assert reason.startswith("the table landscape.lance cannot be read")


def test_the_table_is_there_for_others(memory: Memory) -> None:
    lancedb = pytest.importorskip("lancedb")
    build_landscape(memory.root)
    build_landscape(memory.root)
    table = lancedb.connect(str(memory.root.index)).open_table("landscape")
    known = spans(memory.root)
    assert table.count_rows() == len(known)
    [nearest] = table.search(list(vector_of(f"a {next(iter(known.values()))['text']}"))).limit(1).to_list()
    assert nearest["span_id"] == next(iter(known))
    assert nearest["first_seen_utc"] == known[nearest["span_id"]]["first_seen_utc"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"pinned": 1}'])
def test_a_manifest_that_is_none_is_damage(content: bytes, memory: Memory) -> None:
    build_landscape(memory.root)
    memory.root.landscape_manifest.write_bytes(content)
    with pytest.raises(ContractInvalid, match="manifest") as caught:
        open_landscape(memory.root)
    assert caught.value.remedy == "pipeline landscape build"


def test_a_manifest_that_was_changed_is_damage(memory: Memory) -> None:
    build_landscape(memory.root)
    manifest = orjson.loads(memory.root.landscape_manifest.read_bytes())
    manifest["pinned"]["left_out"] = 7
    memory.root.landscape_manifest.write_bytes(orjson.dumps(manifest))
    with pytest.raises(ContractInvalid, match="does not hash"):
        search(memory.root, vector_of("a"), 1)


@pytest.mark.parametrize("name", ["vectors.npy", "first_us.npy", "line_ends.npy", "spans.jsonl"])
def test_a_missing_or_cut_file_is_damage(name: str, memory: Memory) -> None:
    build_landscape(memory.root)
    [path] = memory.root.landscape.glob(f"*/{name}")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ContractInvalid):
        open_landscape(memory.root)
    path.unlink()
    with pytest.raises(ContractInvalid):
        open_landscape(memory.root)


def test_without_embeddings_there_is_nothing_to_build(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "root")
    with pytest.raises(NothingToDo):
        process(memory.root)
    with pytest.raises(NotAvailableYet) as caught:
        build_landscape(memory.root)
    assert caught.value.remedy == "pipeline run --until-done"
    assert not memory.root.landscape_manifest.exists()


def test_without_lancedb_it_says_how_to_install_it(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(NotInstalled) as caught:
        build_landscape(memory.root)
    assert caught.value.remedy == "pip install 'autocapture-pipeline[landscape]'"


def test_a_search_loads_numpy_and_no_more(memory: Memory) -> None:
    build_landscape(memory.root)
    code = f"""
import sys
from pathlib import Path
from pipeline.clients.embed import embed_question
from pipeline.dataroot import DataRoot
from pipeline.stores.landscape import search
root = DataRoot(Path({str(memory.root.path)!r}))
assert embed_question(root, "q") is None
assert len(search(root, {list(vector_of("a"))!r}, 3)) == 3
print(*[name for name in ("lancedb", "torch", "transformers", "pyarrow", "aiohttp", "ray") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "\n"


def test_the_commands(memory: Memory, run_cli: RunCli) -> None:
    def landscape(*arguments: str, code: int = 0) -> dict[str, Any]:
        done = run_cli("--data-root", memory.root, "landscape", *arguments, "--json")
        assert done.returncode == code, done.stderr
        found: dict[str, Any] = orjson.loads(done.stdout)
        return found

    memory.root.landscape_manifest.unlink()
    landscape("verify", code=7)
    built = landscape("build", "--assume-idle-when-missing")
    assert built["spans"] == len(TITLES)
    assert landscape("verify") == {"ok": True, "manifest_sha256": built["manifest_sha256"], "reasons": []}
    span_id = min(spans(memory.root))
    near = landscape("neighbors", span_id, "--count", "2")["neighbors"]
    assert len(near) == 2
    assert span_id not in {item["span_id"] for item in near}
    assert near[0]["score"] >= near[1]["score"]
    landscape("neighbors", "no/such/span", code=64)
    damage("vectors.npy")(memory.root)
    assert landscape("verify", code=4)["reasons"]


def test_a_run_at_work_is_not_disturbed(memory: Memory, run_cli: RunCli) -> None:
    from pipeline.stores.lock import hold_lock

    with hold_lock(memory.root.run_lock, "run"):
        assert run_cli("--data-root", memory.root, "landscape", "build", "--assume-idle-when-missing").returncode == 6


def test_the_catalog_is_not_needed(memory: Memory) -> None:
    first = build_landscape(memory.root)
    with sqlite3.connect(memory.root.catalog_db) as connection:
        connection.execute("DELETE FROM outcomes")
    connection.close()
    assert build_landscape(memory.root).manifest_sha256 == first.manifest_sha256
