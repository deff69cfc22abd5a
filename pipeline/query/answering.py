"""Which function answers which kind of question; what answers the other kinds is not even imported."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from pipeline.query.findings import Answering
from pipeline.query.intents import Intent

ANSWERED_BY = {
    Intent.SITES_MOST: "pages.most_visited",
    Intent.SITES: "pages.list_sites",
    Intent.SITE_TIME: "pages.time_on_sites",
    Intent.VISITS: "pages.count_loads",
    Intent.PAGES: "pages.list_pages",
    Intent.PROGRAM_TIME: "activity.time_in_programs",
    Intent.WINDOW_TIME: "activity.time_in_windows",
    Intent.LONGEST: "activity.longest",
    Intent.SWITCHES: "activity.switches",
    Intent.ACTIVE_AT: "activity.active_at",
    Intent.WINDOWS: "activity.list_windows",
    Intent.PROGRAMS: "activity.list_programs",
    Intent.DIALOGS: "dialogs.list_dialogs",
    Intent.DIALOG: "dialogs.dialog_text",
    Intent.IDENTIFIERS: "seen.identifiers",
    Intent.SEARCHES: "searches.search_terms",
    Intent.COMMAND_ERROR: "commands.command_error",
    Intent.SEEN: "seen.first_and_last",
    Intent.LINES: "lines.best_lines",
    Intent.UNCLEAR: "findings.not_understood",
}
"""The function under `pipeline.query` for each kind of question."""


def answering(intent: Intent) -> Answering:
    """Get the function that answers a kind of question."""
    module, _, name = ANSWERED_BY[intent].partition(".")
    return cast("Answering", getattr(import_module(f"pipeline.query.{module}"), name))
