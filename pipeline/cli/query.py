"""`pipeline query`: a cited answer from what is already computed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.context import DataRootOption, JsonOption, open_view, print_json
from pipeline.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from datetime import tzinfo

    from schemas.answer import Answer

_SHOWN_CITATIONS = 8


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(name="query")(query)


def query(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The question.")],
    now: Annotated[
        str | None, typer.Option("--now", metavar="TS", help="Answer as if it were this moment (ISO-8601).")
    ] = None,
    zone: Annotated[
        str, typer.Option("--tz", metavar="ZONE", help="Zone in which times are read and written, as Europe/Berlin.")
    ] = "UTC",
    app: Annotated[str | None, typer.Option("--app", metavar="A", help="Only what this program showed.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TS", help="Only from this day or moment on.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TS", help="Only up to the end of this day or moment.")
    ] = None,
    max_citations: Annotated[
        int, typer.Option("--max-citations", metavar="N", min=1, max=1_000, help="At most so many citations.")
    ] = 100,
    explain: Annotated[bool, typer.Option("--explain", help="Say how the question was read.")] = False,
    data_root: DataRootOption = None,
    as_json: JsonOption = False,
) -> int:
    """Answer a question with citations; what is not known is said, not guessed.

    Exits with 7 when what was asked for has not been processed yet.
    """
    from pipeline.query.ask import Asking, ask
    from pipeline.query.ask import explain as explain_plan

    view = open_view(context, data_root, as_json)
    root = view.root.require()
    chosen = _zone(zone)
    asking = Asking(_moment(now, chosen), chosen, app, since, until, max_citations)
    answer, plan = ask(root, text, asking)
    content: dict[str, Any] = answer.model_dump(by_alias=True)
    plan_content = explain_plan(plan) if explain and plan is not None else None
    if plan_content is not None:
        content["explain"] = plan_content
    if view.as_json:
        print_json(content)
    else:
        _show(answer, plan_content)
    return ExitCode.NOT_AVAILABLE_YET if answer.state == "not_available_yet" else ExitCode.OK


def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"--tz {name!r} is no time zone", remedy="give an IANA name, as Europe/Berlin") from error


def _moment(text: str | None, zone: tzinfo) -> datetime:
    if text is None:
        return datetime.now(zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--now {text!r} is no moment", remedy="give it as 2026-03-11T14:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _show(answer: Answer, plan: dict[str, Any] | None) -> None:
    """Print an answer for people; without the library of tables, which loads longer than an answer takes."""
    _line(_plain(answer.summary), bold=True)
    shown = answer.claims[-len(answer.claims) + 1 :] if len(answer.claims) > 1 else []
    for claim in shown:
        if claim.text not in answer.summary:
            _line(f"  • {_plain(claim.text)}")
    if answer.citations:
        _line("")
    for citation in answer.citations[:_SHOWN_CITATIONS]:
        _line(f"  [{citation.citation_index}] {citation.ts_utc}  {citation.source}  {_plain(citation.text)}")
        _line(f"      frame {citation.frame_id}, box {list(citation.bbox)}", dim=True)
    if len(answer.citations) > _SHOWN_CITATIONS:
        _line(f"  … and {len(answer.citations) - _SHOWN_CITATIONS} more citations (--json shows all)")
    _show_limits(answer)
    for name, value in (plan or {}).items():
        _line(f"  {name}: {_plain(str(value))}", dim=True)


def _show_limits(answer: Answer) -> None:
    """What was looked at, what was left out, and what could not be looked at."""
    seen = answer.coverage
    _line("")
    _line(
        f"looked at {seen.from_utc} to {seen.to_utc}:"
        f" {seen.frames_processed} of {seen.frames_captured} frames processed",
        dim=True,
    )
    for item in answer.dropped:
        _line(f"left out: {item.reason} {item.record_id}".rstrip(), fg="yellow")
    for lack in answer.missing:
        remedy = f"  → {lack.remedy}" if lack.remedy else ""
        _line(f"missing: {lack.artifact} {lack.reason.replace('_', ' ')}{remedy}", fg="yellow")


def _line(text: str, **style: Any) -> None:
    """Print a line; in a style where stdout is a terminal and NO_COLOR is not set."""
    typer.secho(text, color=False if os.environ.get("NO_COLOR") else None, **style)


def _plain(text: str) -> str:
    """Text as shown on a terminal: what a screen said must not steer it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
