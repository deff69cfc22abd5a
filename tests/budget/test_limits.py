"""How much of the machine a run may take."""

from __future__ import annotations

import pytest

from pipeline.budget.limits import limits_of
from pipeline.errors import UsageError
from pipeline.settings import Settings

GIB = 1 << 30


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.budget.limits.cpus_allowed", lambda: 8.0)
    monkeypatch.setattr("pipeline.budget.limits.memory_allowed", lambda: 16 * GIB)


def test_half_of_the_machine_unless_something_else_is_said() -> None:
    limits = limits_of(Settings(), {})
    assert (limits.cpus, limits.memory_bytes, limits.all_cpus) == (4.0, 8 * GIB, False)


@pytest.mark.parametrize(
    ("said", "cpus"), [("0.4", 0.4), ("3", 3.0), ("20%", 1.6), ("64", 4.0), ("inf", 4.0), ("", 4.0)]
)
def test_the_hypervisor_can_lower_the_part_of_the_processors_and_not_raise_it(said: str, cpus: float) -> None:
    assert limits_of(Settings(), {"AP_CPU_LIMIT": said}).cpus == pytest.approx(cpus)


@pytest.mark.parametrize(("said", "memory"), [("512", GIB // 2), ("100000", 8 * GIB), ("", 8 * GIB)])
def test_the_hypervisor_can_lower_the_part_of_the_memory_and_not_raise_it(said: str, memory: int) -> None:
    assert limits_of(Settings(), {"AP_MEM_LIMIT_MB": said}).memory_bytes == memory


def test_all_processors_is_no_limit() -> None:
    assert limits_of(Settings(cpu_share=1.0), {}).all_cpus


@pytest.mark.parametrize("variable", ["AP_CPU_LIMIT", "AP_MEM_LIMIT_MB"])
@pytest.mark.parametrize("said", ["many", "0", "-1", "nan", "x%"])
def test_a_limit_that_is_no_number_is_refused_not_ignored(variable: str, said: str) -> None:
    with pytest.raises(UsageError, match=variable):
        limits_of(Settings(), {variable: said})
