"""A worker on another node than the driver's: the driver's word, a server of its own, and what it is refused for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from command_line import RunCli
from ray_runs import requests, serve_truth
from screen_memory import Memory

from pipeline.dag import stage
from pipeline.dataroot import DataRoot
from pipeline.engines.driver_word import DriverWord
from pipeline.engines.ray_cluster import require_allowed_address, require_no_public_address
from pipeline.engines.ray_jobs import explain
from pipeline.engines.ray_node import Place
from pipeline.engines.ray_results import describe, read_results
from pipeline.engines.ray_work import Job, work_descriptors
from pipeline.engines.served import text_model
from pipeline.engines.shards import KeepWaiting, Server, ServerOnNode, Shard, ShardResult, work_shard
from pipeline.errors import ContractInvalid, Unavailable
from pipeline.gate import Gate, GateTerms
from pipeline.runs.discover import discover
from pipeline.runs.servers import find_server, stop_server
from pipeline.settings import Settings
from pipeline.stores.catalog import Catalog
from pipeline.stores.evidence import EvidenceStore
from pipeline.stores.pending import pending
from schemas.canonical import sha256_hex
from schemas.evidence import FRAME
from schemas.serving import ModelIdentity, RunFile

pytest_plugins = ["ray_desk"]

NODE = "10.77.0.2"
CLOSED = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=False)
ELSEWHERE = Place("another machine", 1, 1)
READ = stage("find_text_lines")


@pytest.fixture(autouse=True)
def _on_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a worker on a machine with one private address."""
    monkeypatch.setattr("pipeline.engines.ray_work.node_address", lambda: NODE)
    monkeypatch.setattr("pipeline.engines.ray_cluster.own_addresses", lambda: ["127.0.0.1", "::1", NODE, "fe80::1"])


@pytest.fixture
def word(tmp_path: Path) -> Iterator[DriverWord]:
    (tmp_path / "wanted").mkdir()
    word = DriverWord(tmp_path / "wanted")
    yield word
    word.remove()


@pytest.fixture
def shards(desk: DataRoot) -> list[Shard]:
    """Three frames of the desk."""
    desk.require_writable()
    with EvidenceStore(desk) as evidence, Catalog(desk) as catalog:
        discover(evidence, catalog)
        found = list(pending(catalog, READ.name, FRAME, None, 0))
    by_hour = [
        [item for item in found if (item.day, item.hour) == hour] for hour in sorted({(s.day, s.hour) for s in found})
    ]
    chosen = max(by_hour, key=len)[:3]
    return [Shard(chosen[0].run_id, chosen[0].day, chosen[0].hour, tuple(chosen))]


def job(root: DataRoot, server: RunFile, wanted: Path, find: ServerOnNode | None, job_id: str) -> Job:
    """A job of a driver whose gate is closed, for all that a worker elsewhere could see of it."""
    return Job(
        job_id, wanted, root.path, Settings(ray_networks=("10.77.0.0/24",)), CLOSED, READ, server, find, "1", 2,
        driver=1, driver_started=None, place=ELSEWHERE, node="10.77.0.1",
    )  # fmt: skip


def work(given: Job, shards: list[Shard]) -> list[tuple[str, ShardResult]]:
    descriptors = pa.Table.from_pylist([describe(index, shard) for index, shard in enumerate(shards)])
    return [(node, result) for _, node, result in read_results(work_descriptors(descriptors, given), shards)]


def never(*_: object) -> Server:
    raise AssertionError("no server was to be looked for")


def of_this_node(root: DataRoot, settings: Settings, keep_waiting: KeepWaiting) -> Server:
    """The server that the node has already."""
    keep_waiting()
    server = find_server(root, "ocr")
    if server is None:
        raise Unavailable("there is none", remedy="start it")
    return server


THE_RUNS = RunFile(
    kind="ocr", pid=1, created_at=0.0, url="http://127.0.0.1:9", token="", asked="",
    model=ModelIdentity(provider_id="truth", model_id="truth", model_digest=sha256_hex(b"truth")),
)  # fmt: skip
"""The server of the run, which a worker elsewhere cannot reach: nobody listens there."""


@pytest.mark.usefixtures("word")
def test_rows_are_made_with_the_server_of_the_node_and_by_the_drivers_word(
    desk: DataRoot, shards: list[Shard], tmp_path: Path
) -> None:
    there = desk.on_node(NODE)
    serve_truth(there)
    try:
        [(node, result)] = work(job(desk, THE_RUNS, tmp_path / "wanted", of_this_node, "elsewhere-a"), shards)
        server = find_server(there, "ocr")
        assert server is not None
        idle = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)
        model = text_model(desk, Settings(), server, Gate(desk.activity_signal, **idle), 2)
        with EvidenceStore(desk) as evidence:
            local = work_shard(READ, shards[0], evidence, model, "1")
        assert requests(there) == 6
    finally:
        stop_server(there, "ocr")
    assert node == NODE
    assert len(result.batch.results) == 3
    hashes = result.batch.rows["row_hash"].to_pylist()
    assert sorted(hashes) == sorted(local.batch.rows["row_hash"].to_pylist())
    assert there.worker_file("ocr").parent == desk.derived / "nodes" / NODE / "workers"


def test_without_the_drivers_word_nothing_is_done(desk: DataRoot, shards: list[Shard], tmp_path: Path) -> None:
    (tmp_path / "wanted").mkdir()
    [(node, result)] = work(job(desk, THE_RUNS, tmp_path / "wanted", never, "elsewhere-b"), shards)
    assert (node, result.batch.results) == (NODE, [])


def test_once_the_word_is_closed_nothing_is_done(
    desk: DataRoot, shards: list[Shard], tmp_path: Path, word: DriverWord
) -> None:
    word.close()
    [(_, result)] = work(job(desk, THE_RUNS, tmp_path / "wanted", never, "elsewhere-c"), shards)
    assert result.batch.results == []


def test_who_waits_for_a_server_stops_when_the_word_is_closed(
    desk: DataRoot, shards: list[Shard], tmp_path: Path, word: DriverWord
) -> None:
    def close_meanwhile(root: DataRoot, settings: Settings, keep_waiting: KeepWaiting) -> Server:
        word.close()
        keep_waiting()
        raise AssertionError("it was to stop")

    [(_, result)] = work(job(desk, THE_RUNS, tmp_path / "wanted", close_meanwhile, "elsewhere-d"), shards)
    assert result.batch.results == []


@pytest.mark.usefixtures("word")
def test_a_node_without_a_server_is_named(desk: DataRoot, shards: list[Shard], tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"on the node {NODE}: there is none") as raised:
        work(job(desk, THE_RUNS, tmp_path / "wanted", of_this_node, "elsewhere-e"), shards)
    assert raised.value.remedy == "start it"
    with pytest.raises(Unavailable, match=f"nothing says how the node {NODE} gets a server"):
        work(job(desk, THE_RUNS, tmp_path / "wanted", None, "elsewhere-f"), shards)


@pytest.mark.usefixtures("word")
def test_a_node_with_another_model_is_refused(desk: DataRoot, shards: list[Shard], tmp_path: Path) -> None:
    other = ModelIdentity(provider_id="truth", model_id="truth", model_digest=sha256_hex(b"another"))

    def another(*_: object) -> Server:
        return THE_RUNS.model_copy(update={"model": other})

    with pytest.raises(Unavailable, match=f"the node {NODE} has the model truth with the digest"):
        work(job(desk, THE_RUNS, tmp_path / "wanted", another, "elsewhere-g"), shards)


@pytest.mark.usefixtures("word")
def test_a_node_beyond_the_allowed_networks_works_on_nothing(
    desk: DataRoot, shards: list[Shard], tmp_path: Path
) -> None:
    given = job(desk, THE_RUNS, tmp_path / "wanted", never, "elsewhere-h")
    with pytest.raises(ContractInvalid, match=rf"outside of ray_networks \(10.88.0.0/24\): {NODE}"):
        work(replace(given, settings=Settings(ray_networks=("10.88.0.0/24",))), shards)


@pytest.mark.usefixtures("word")
def test_a_node_without_the_dataroot_says_so(desk: DataRoot, shards: list[Shard], tmp_path: Path) -> None:
    given = job(desk, THE_RUNS, tmp_path / "wanted", never, "elsewhere-i")
    with pytest.raises(Unavailable, match=f"the node {NODE} does not see the DataRoot {tmp_path / 'none'}"):
        work(replace(given, data_root=tmp_path / "none"), shards)
    with pytest.raises(Unavailable, match=f"the node {NODE} does not see the DataRoot {desk} that this run works on"):
        work(replace(given, wanted=tmp_path / "what the driver made in its own"), shards)


@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8::9"])
def test_a_node_with_a_public_address_is_refused_since_ray_listens_there_too(address: str) -> None:
    require_no_public_address(NODE, [NODE, "127.0.0.1", "fe80::1", "192.168.1.4"])
    with pytest.raises(ContractInvalid, match=f"all addresses of the node {NODE}, and {address} is not private"):
        require_no_public_address(NODE, [NODE, address])


def test_an_address_in_an_allowed_network_is_taken_and_a_public_one_never() -> None:
    assert require_allowed_address("10.77.0.1:6379", ["10.77.0.0/24"]) == "10.77.0.1:6379"
    assert require_allowed_address("[fd00::7]:6379", ["fd00::/64"]) == "[fd00::7]:6379"
    with pytest.raises(ContractInvalid, match="nor in ray_networks"):
        require_allowed_address("10.78.0.1:6379", ["10.77.0.0/24"])
    with pytest.raises(ContractInvalid, match="not on a private network"):
        require_allowed_address("8.8.8.8:6379", ["10.0.0.0/8"])


def test_without_a_network_an_allowed_address_is_refused_too(tmp_path: Path, run_cli: RunCli) -> None:
    root = Memory(tmp_path / "root").root
    options = ("--ray-address", "10.77.0.1:6379", "--set", "ray_networks=10.77.0.0/24")
    done = run_cli("--data-root", root, "run", *options, env={"AP_NO_NETWORK": "1"})
    assert done.returncode == 4
    assert "the Ray address 10.77.0.1:6379 is not on loopback, with AP_NO_NETWORK=1" in done.stderr


def test_a_node_that_lacks_a_package_is_told_so_and_not_taken_for_lost() -> None:
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    told = explain(ray.exceptions.RaySystemError("No module named 'pipeline.engines'"))
    assert isinstance(told, Unavailable)
    assert told.message == "a node of the Ray lacks the module pipeline.engines"
    assert "install the same packages" in told.remedy
    lost = explain(ray.exceptions.RaySystemError("gone"))
    assert isinstance(lost, Unavailable)
    assert lost.message == "Ray lost its processes: RaySystemError"
