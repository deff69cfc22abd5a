"""From a question to a checked answer: plan, retrieval, claims, checks, and the answer object."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

from ulid import ULID

from pipeline.dataroot import DataRoot
from pipeline.errors import NotAvailableYet, UsageError
from pipeline.query.answering import answering
from pipeline.query.check import Checker, Claim, Refused
from pipeline.query.evidence import Evidence
from pipeline.query.findings import Desk, Found, plural
from pipeline.query.mentions import Mention
from pipeline.query.near_spans import WITHIN_S, Meaning
from pipeline.query.plan import Plan, make_plan
from pipeline.query.programs import known_programs
from pipeline.query.times import Stretch, TimeReader
from pipeline.stores.index_rows import Coverage
from pipeline.stores.indexed_texts import REMEDY
from pipeline.stores.text_index import TextIndex
from schemas.answer import Answer, AnswerClaim, AnswerCoverage, Citation, Dropped, Missing, Reason
from schemas.fields import from_utc_microseconds, utc_text

MAX_CITATIONS = 100
MOST_BULLETS = 3
LONGEST_QUESTION = 1_000
_EARLIEST = datetime(1, 1, 3, tzinfo=UTC)
"""Room for time zones and a day around it."""


@dataclass(frozen=True)
class Asking:
    """How a question is asked: when, in which zone, about what only, how many citations are wanted, and how long to
    wait for its embedding.
    """

    now: datetime
    zone: tzinfo
    app: str | None = None
    since: str | None = None
    until: str | None = None
    max_citations: int = MAX_CITATIONS
    embedded_within_s: float = WITHIN_S


@dataclass(frozen=True)
class Reading:
    """How a question was read, and whether the search by meaning joined in."""

    plan: Plan
    meaning: str


def ask(root: DataRoot, question: str, asking: Asking) -> tuple[Answer, Reading | None]:
    """Answer a question from what is already computed.

    Nothing is written, and no model is called but for an embedding of the question by a server that runs already
    `[answer-2]`. The reading is None where there is no index yet. Raises UsageError for a bad `since`, `until` or
    question, ContractInvalid for evidence that cannot be read.
    """
    started = time.perf_counter()
    if not question.strip():
        raise UsageError(
            "the question is empty", remedy='ask something: pipeline query "which sites did I visit today?"'
        )
    if len(question) > LONGEST_QUESTION:
        raise UsageError(f"the question has {len(question)} characters", remedy=f"ask with at most {LONGEST_QUESTION}")
    with ExitStack() as stack:
        evidence = stack.enter_context(Evidence(root))
        try:
            index = stack.enter_context(TextIndex(root.text_index))
        except NotAvailableYet as error:
            return _without_index(question, asking, error, started), None
        plan = _plan(index, question, asking)
        programs = known_programs(index.programs())
        chosen = next(
            (p.app for p in programs if asking.app and asking.app.casefold() in (p.app, p.name.casefold())), asking.app
        )
        meaning = Meaning(root, index, asking.embedded_within_s)
        desk = Desk(index, evidence, plan.zone or asking.zone, programs, meaning, chosen)
        found = answering(plan.intent)(plan, desk)
        checker = Checker(root, evidence, index)
        kept, refused = checker.sift(_limited(found.claims, asking.max_citations))
        waiting = evidence.frames_after(int(index.meta["evidence_rowid"]), plan.stretch.start_us, plan.stretch.end_us)
        coverage = index.coverage(plan.stretch.start_us, plan.stretch.end_us)
        answer = _assemble(question, plan, found, kept, refused, coverage, waiting, checker.rewritten,
                           meaning.damage)  # fmt: skip
    return answer.model_copy(update={"latency_ms_total": _elapsed_ms(started)}), Reading(plan, meaning.note)


def explain(reading: Reading) -> dict[str, Any]:
    """A reading for people: how the question was understood."""
    plan = reading.plan
    return {
        "intent": plan.intent.value, "from": utc_text(plan.stretch.start), "to": utc_text(plan.stretch.end),
        "time_read_from": plan.stretch.words or None, "programs": list(plan.programs), "hosts": list(plan.hosts),
        "must_be_found": [*plan.phrases, *plan.terms], "ends": sorted(plan.ends), "top": plan.top,
        "kind_of_value": plan.wants or None, "form": plan.sample or None, "meaning": reading.meaning,
    }  # fmt: skip


def _plan(index: TextIndex, question: str, asking: Asking) -> Plan:
    span = index.captured_span()
    first_day = from_utc_microseconds(span[0]) if span else asking.now
    times = TimeReader(asking.now, asking.zone, first_day)
    default = Stretch(min(first_day, asking.now), asking.now + timedelta(microseconds=1))
    plan = make_plan(question, times, default, index.hosts(), known_programs(index.programs()))
    stretch = plan.stretch
    start = max([stretch.start, *(_point(times, text, "--since").start for text in [asking.since] if text)])
    ends = [stretch.end, asking.now + timedelta(microseconds=1)]
    start = max(start, _EARLIEST)
    end = min([*ends, *(_point(times, text, "--until").end for text in [asking.until] if text)])
    return replace(plan, stretch=Stretch(start, max(start, end), stretch.words))


def _point(times: TimeReader, text: str, option: str) -> Stretch:
    try:
        return times.point(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r} is no point in time", remedy="give 2026-03-11, or 2026-03-11T14:00"
        ) from error


def _limited(claims: Sequence[Claim], most: int) -> list[Claim]:
    """At most so many citations, at least one for each claim; what is not cited is still computed with."""
    chosen = claims[:most]
    left = most - len(chosen)
    limited = []
    for claim in chosen:
        extra = min(len(claim.cited) - 1, left)
        left -= max(extra, 0)
        cited = claim.cited[: 1 + max(extra, 0)]
        limited.append(replace(claim, cited=cited, weighed=(*claim.cited[len(cited) :], *claim.weighed)))
    return limited


def _assemble(
    question: str, plan: Plan, found: Found, kept: Sequence[Claim], refused: Sequence[Refused], coverage: Coverage,
    waiting: int, rewritten: set[str], damage: str,
) -> Answer:  # fmt: skip
    missing = _missing(found, coverage, waiting)
    unread = any(item.reason in ("not_processed", "failed") for item in missing)
    if damage:  # after that: what is written on the screens could be searched all the same
        from pipeline.stores.landscape import REBUILD

        missing.append(_lack("landscape", "failed", coverage, REBUILD))
    unread_spans = [Refused("", damage)] if damage and "landscape" in found.parts else []
    state = "ok" if kept else "not_available_yet" if unread and not refused else "no_evidence"
    texts = [claim.text for claim in kept]
    summary = "; ".join(texts[: found.headline]) if kept else _negative(found, plan, coverage, refused, unread)
    if kept and refused:
        summary += f" ({plural(len(refused), 'statement was', 'statements were')} left out: the evidence did not check)"
    if kept and unread:
        summary += " (so far: not all of that time has been processed)"
    citations = _citations(kept, rewritten)
    scores = [mention.score for claim in kept for mention in claim.cited]
    return Answer(
        ok=True, query=question, query_run_id=f"qry_{ULID()}", state=state, summary=summary,  # type: ignore[arg-type]
        bullets=texts[found.headline :][:MOST_BULLETS], topic=plan.intent.value,
        confidence_pct=round(sum(scores) / len(scores) / 100, 1) if scores else 0.0,
        needs_processing=unread, processing_blocked_reason="", scheduled_extract_job_id="",
        claims=_claims(kept), citations=citations, coverage=_coverage(plan, coverage, waiting), missing=missing,
        dropped=[Dropped(record_id=item.record_id, reason=item.reason) for item in (*refused, *unread_spans)],
        parts_used=list(found.parts), latency_ms_total=0.0,
    )  # fmt: skip


def _negative(found: Found, plan: Plan, coverage: Coverage, refused: Sequence[Refused], unread: bool) -> str:
    if refused:
        return f"no statement stood the check: {refused[0].reason}"
    when = f" ({plan.stretch.words})" if plan.stretch.words else ""
    if unread:
        return f"not available yet: {found.nothing} in what has been processed{when}"
    if not coverage.captured:
        return f"nothing was captured{when or ' in that time'}"
    return f"no evidence: {found.nothing}{when}"


def _missing(found: Found, coverage: Coverage, waiting: int) -> list[Missing]:
    """What of the stretch could not be looked at; the four are never confused `[answer-3]`."""
    if not coverage.captured and not waiting:
        return [_lack("evidence.capture.frame", "not_captured", coverage, "")]
    lacks = []
    pending = waiting + (coverage.pending if found.leans_on == "line_tracks" else 0)
    failed = coverage.failed if found.leans_on == "line_tracks" else coverage.unlisted
    if pending:
        lacks.append(_lack(found.leans_on, "not_processed", coverage, REMEDY))
    if failed:
        lacks.append(_lack(found.leans_on, "failed", coverage, "pipeline run --until-done; pipeline status says why"))
    return lacks


def _lack(artifact: str, reason: Reason, coverage: Coverage, remedy: str) -> Missing:
    return Missing(artifact=artifact, reason=reason, last_processed_utc=_utc(coverage.last_processed), remedy=remedy)


def _coverage(plan: Plan, coverage: Coverage, waiting: int) -> AnswerCoverage:
    return AnswerCoverage.model_validate({
        "from": utc_text(plan.stretch.start), "to": utc_text(plan.stretch.end), "read_as": plan.stretch.words,
        "frames_captured": coverage.captured + waiting, "frames_processed": coverage.processed,
        "frames_failed": coverage.failed, "last_processed_utc": _utc(coverage.last_processed),
    })  # fmt: skip


def _claims(claims: Sequence[Claim]) -> list[AnswerClaim]:
    at, made = 0, []
    for claim in claims:
        numbers = list(range(at, at + len(claim.cited)))
        at += len(claim.cited)
        made.append(AnswerClaim(text=claim.text, citations=numbers, rows=[item.row_id for item in claim.weighed]))
    return made


def _citations(claims: Sequence[Claim], rewritten: set[str]) -> list[Citation]:
    pairs = [(number, claim, mention) for number, claim in enumerate(claims) for mention in claim.cited]
    return [_citation(at, number, claim, mention, rewritten) for at, (number, claim, mention) in enumerate(pairs)]


def _citation(at: int, number: int, claim: Claim, mention: Mention, rewritten: set[str]) -> Citation:
    stale = mention.record_id in rewritten
    return Citation(
        citation_index=at, claim_index=number, claim_text=claim.text, record_id=mention.record_id,
        record_type=mention.record_type, source=mention.source, frame_id=mention.frame.frame_id,
        ts_utc=utc_text(from_utc_microseconds(mention.ts)), bbox=mention.box, text=mention.text, span_kind="text",
        offset_start=mention.start, offset_end=mention.end, line=mention.line,
        model_id=mention.record.model_id if mention.record else "",
        model_digest=mention.record.model_digest if mention.record else "", prompt_hash="",
        content_hash=mention.frame.content_hash, stale=stale,
        stale_reason="its fact file was rewritten after it had been indexed" if stale else "",
    )  # fmt: skip


def _without_index(question: str, asking: Asking, error: NotAvailableYet, started: float) -> Answer:
    now = utc_text(asking.now)
    lack = Missing(artifact="text_index", reason="not_processed", last_processed_utc=None, remedy=error.remedy)
    return Answer(
        ok=True, query=question, query_run_id=f"qry_{ULID()}", state="not_available_yet",
        summary=f"not available yet: {error.message}", bullets=[], topic="", confidence_pct=0.0, needs_processing=True,
        processing_blocked_reason="", scheduled_extract_job_id="", claims=[], citations=[],
        coverage=AnswerCoverage.model_validate({
            "from": now, "to": now, "read_as": "", "frames_captured": 0, "frames_processed": 0, "frames_failed": 0,
            "last_processed_utc": None,
        }),
        missing=[lack], dropped=[], parts_used=[], latency_ms_total=_elapsed_ms(started),
    )  # fmt: skip


def _utc(moment: int | None) -> str | None:
    return None if moment is None else utc_text(from_utc_microseconds(moment))


def _elapsed_ms(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 1)
