"""What commands that work while the user is idle make of their options: the gate's terms, the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.cli.context import Session
    from pipeline.engines.choose import EngineName
    from pipeline.engines.shards import Engine
    from pipeline.gate import GateTerms
    from pipeline.settings import Settings


def gate_terms(settings: Settings, *, assume_idle: bool) -> GateTerms:
    """What a command's gate goes by."""
    from pipeline.gate import GateTerms

    return GateTerms(
        max_age_s=settings.signal_max_age_s, min_idle_s=settings.min_idle_s, assume_idle_when_missing=assume_idle
    )


def say_what_is_assumed(*, assume_idle: bool) -> None:
    """Log that idleness is assumed, where it is `[gate-2]`."""
    from pipeline.runs.loop import log

    if assume_idle:
        log.info("idleness is assumed where there is no activity signal, as asked for")


def choose_engine(
    session: Session, terms: GateTerms, engine: EngineName, ray_address: str, *, for_worker: bool = False
) -> Engine:
    """Choose where stages run, and log that and what the profile leaves out.

    Raises Unavailable, ContractInvalid, UsageError for an engine that cannot be.
    """
    from pipeline.budget.machine import cpu_budget
    from pipeline.engines import choose
    from pipeline.runs.full_profile import FULL, NO_VLM
    from pipeline.runs.loop import log

    if session.settings.profile != FULL:
        log.info(NO_VLM)
    choice = choose.choose_engine(
        engine, ray_address, session.root, session.settings, terms, cpu_budget(), for_worker=for_worker
    )
    log.info("engine: %s (%s)", choice.engine.name, choice.why)
    return choice.engine
