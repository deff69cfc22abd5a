"""Which engine a run uses, and why; Ray only where it is installed, and only on this machine."""

from __future__ import annotations

import importlib.util
import os
import sys
import tomllib
from pathlib import Path

import pytest
from screen_memory import Memory

from pipeline.budget.machine import cpu_budget
from pipeline.cli.main import run
from pipeline.dataroot import DataRoot
from pipeline.engines.choose import Choice, EngineName, choose_engine
from pipeline.engines.ray_cluster import require_allowed_address, require_private_token
from pipeline.engines.ray_environment import import_ray
from pipeline.errors import ContractInvalid, NotInstalled, UsageError
from pipeline.gate import GateTerms
from pipeline.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
TERMS = GateTerms(max_age_s=2.0, min_idle_s=0.0, assume_idle_when_missing=True)


def choose(root: Path, wanted: EngineName, address: str = "", cpus: int = 2) -> Choice:
    return choose_engine(wanted, address, DataRoot(root), Settings(), TERMS, cpus)


@pytest.fixture
def with_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))


@pytest.mark.usefixtures("with_ray")
@pytest.mark.parametrize(
    ("wanted", "address", "cpus", "engine", "why"),
    [
        ("local", "", 64, "local", "as asked for"),
        ("ray", "", 1, "ray", "as asked for"),
        ("auto", "", 1, "local", "chosen by auto: 1 CPU, Ray pays from 4"),
        ("auto", "", 3, "local", "chosen by auto: 3 CPUs, Ray pays from 4"),
        ("auto", "", 4, "ray", "chosen by auto: 4 CPUs"),
        ("auto", "127.0.0.1:6379", 1, "ray", "chosen by auto: a Ray address was given"),
    ],
)
def test_auto_goes_by_address_and_cpus_and_says_so(
    wanted: EngineName, address: str, cpus: int, engine: str, why: str, tmp_path: Path
) -> None:
    choice = choose(tmp_path, wanted, address, cpus)
    assert (choice.engine.name, choice.why) == (engine, why)


@pytest.mark.usefixtures("with_ray")
@pytest.mark.parametrize(
    ("wanted", "address", "engine", "why"),
    [
        ("auto", "", "local", "chosen by auto: Ray's start would take much of each idle window"),
        ("auto", "127.0.0.1:6379", "ray", "chosen by auto: a Ray address was given"),
        ("ray", "", "ray", "as asked for"),
    ],
)
def test_auto_is_local_for_a_worker(wanted: EngineName, address: str, engine: str, why: str, tmp_path: Path) -> None:
    choice = choose_engine(wanted, address, DataRoot(tmp_path), Settings(), TERMS, 16, for_worker=True)
    assert (choice.engine.name, choice.why) == (engine, why)


@pytest.mark.usefixtures("without_ray")
def test_without_ray_auto_is_local_and_ray_is_refused(tmp_path: Path) -> None:
    choice = choose(tmp_path, "auto", cpus=16)
    assert (choice.engine.name, choice.why) == (
        "local",
        "chosen by auto: 16 CPUs, but the package ray is not installed",
    )
    with pytest.raises(NotInstalled):
        choose(tmp_path, "ray")
    with pytest.raises(NotInstalled):
        choose(tmp_path, "auto", "127.0.0.1:6379")


@pytest.mark.usefixtures("without_ray")
def test_a_run_that_needs_ray_says_how_to_install_it_and_exits_with_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = Memory(tmp_path / "root")
    assert run(["--data-root", str(memory.root), "run", "--engine", "ray"]) == 5
    told = capsys.readouterr().err
    assert "which is not installed\n  → pip install 'autocapture-pipeline[ray]'" in told
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [item.split("==")[0] for item in extras["ray"]] == ["ray[data]"]


@pytest.mark.parametrize(
    "address", ["10.0.0.4:6379", "192.168.1.5:6379", "0.0.0.0:6379", "[::]:6379", "8.8.8.8:6379", "ray://127.0.0.1:10001",
                "127.0.0.1", "auto", ":6379", "no-such-host.invalid:6379"]
)  # fmt: skip
def test_a_ray_elsewhere_is_refused_with_4(address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    memory = Memory(tmp_path / "root")
    assert run(["--data-root", str(memory.root), "run", "--ray-address", address]) == 4
    assert f"the Ray address {address} is not" in capsys.readouterr().err
    assert not memory.root.derived.exists()


@pytest.mark.parametrize("address", ["127.0.0.1:6379", "127.1.2.3:1", "[::1]:6379"])
def test_loopback_addresses_are_taken_as_they_are(address: str) -> None:
    assert require_allowed_address(address) == address


def test_an_address_beside_local_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        choose(tmp_path, "local", "127.0.0.1:6379")


def test_a_token_that_others_may_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    require_private_token()
    token.write_text("secret")
    token.chmod(0o600)
    require_private_token()
    token.chmod(0o644)
    with pytest.raises(ContractInvalid, match="others may read"):
        require_private_token()


def test_before_ray_is_imported_it_is_told_to_send_no_telemetry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RAY_ADDRESS": "10.0.0.4:6379"})
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NotInstalled):
        import_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert "RAY_ADDRESS" not in os.environ


def budget(folder: Path, own: str, **files: str) -> int:
    for name, content in files.items():
        path = folder / "cgroup" / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "own").write_text(own)
    return cpu_budget(folder / "cgroup", folder / "own")


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))


@pytest.mark.usefixtures("many_cpus")
def test_the_smallest_quota_above_this_process_counts(tmp_path: Path) -> None:
    files = {"a__b__cpu_max": "max 100000\n", "a__cpu_max": "650000 100000\n", "cpu_max": "max 100000\n"}
    assert budget(tmp_path, "0::/a/b\n", **files) == 6


@pytest.mark.usefixtures("many_cpus")
def test_a_quota_of_the_first_version_counts(tmp_path: Path) -> None:
    files = {"cpu__a__cpu_cfs_quota_us": "300000\n", "cpu__a__cpu_cfs_period_us": "100000\n"}
    assert budget(tmp_path, "4:cpu,cpuacct:/a\n2:memory:/a\n", **files) == 3


@pytest.mark.usefixtures("many_cpus")
def test_without_a_quota_affinity_counts_and_a_fraction_is_one(tmp_path: Path) -> None:
    assert budget(tmp_path, "0::/\n") == 16
    assert cpu_budget(tmp_path / "none", tmp_path / "none") == 16
    assert budget(tmp_path, "0::/\n", cpu_max="50000 100000\n") == 1
