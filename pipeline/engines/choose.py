"""Which engine a run uses, and why."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

from pipeline.dataroot import DataRoot
from pipeline.engines.local import LocalEngine
from pipeline.engines.shards import Engine
from pipeline.errors import UsageError
from pipeline.gate import GateTerms
from pipeline.settings import Settings

RAY_PAYS_FROM_CPUS = 4

EngineName = Literal["auto", "ray", "local"]


@dataclass(frozen=True)
class Choice:
    """An engine, and why it was chosen."""

    engine: Engine
    why: str


def choose_engine(
    wanted: EngineName, address: str, root: DataRoot, settings: Settings, terms: GateTerms, cpus: int,
    *, for_worker: bool = False,
) -> Choice:  # fmt: skip
    """Choose and make the engine. Nothing is started yet. A worker works whenever the user is away, be it for a moment.

    Raises Unavailable when Ray is wanted and not installed, ContractInvalid for an address that is neither on loopback
    nor allowed or a token that others may read, UsageError for an address beside `local`.
    """
    if wanted == "local" and address:
        raise UsageError("--ray-address is of no use with --engine local")
    name, why = _auto(address, cpus, for_worker=for_worker) if wanted == "auto" else (wanted, "as asked for")
    if name == "local":
        return Choice(LocalEngine(root), why)
    from pipeline.engines.ray import RayEngine
    from pipeline.engines.ray_cluster import require_allowed_address, require_private_token
    from pipeline.engines.ray_environment import require_installed
    from pipeline.engines.ray_life import STAYS_S

    if address:
        require_allowed_address(address, settings.ray_networks)
        require_private_token()
    require_installed()
    return Choice(RayEngine(root, settings, terms, cpus, address, stay_s=STAYS_S if for_worker else 0.0), why)


def _auto(address: str, cpus: int, *, for_worker: bool) -> tuple[str, str]:
    if address:
        return "ray", "chosen by auto: a Ray address was given"
    if for_worker:
        return "local", "chosen by auto: Ray's start would take much of each idle window"
    if cpus < RAY_PAYS_FROM_CPUS:
        return "local", f"chosen by auto: {cpus} CPU{'s' if cpus != 1 else ''}, Ray pays from {RAY_PAYS_FROM_CPUS}"
    if importlib.util.find_spec("ray") is None:
        return "local", f"chosen by auto: {cpus} CPUs, but the package ray is not installed"
    return "ray", f"chosen by auto: {cpus} CPUs"
