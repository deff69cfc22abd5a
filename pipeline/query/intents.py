"""What a question asks for: kinds of question, and the words that tell them from each other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from pipeline.query.times import Stretch


class Intent(StrEnum):
    """What is asked for."""

    SITES_MOST = "sites_most_visited"
    SITES = "sites"
    SITE_TIME = "time_on_sites"
    VISITS = "page_loads"
    PAGES = "pages"
    PROGRAM_TIME = "time_in_programs"
    WINDOW_TIME = "time_in_windows"
    LONGEST = "longest_uninterrupted"
    SWITCHES = "window_switches"
    WINDOWS = "windows"
    PROGRAMS = "programs"
    ACTIVE_AT = "active_at"
    DIALOGS = "error_dialogs"
    DIALOG = "dialog_text"
    IDENTIFIERS = "identifiers"
    SEARCHES = "search_terms"
    COMMAND_ERROR = "command_error"
    SEEN = "first_and_last_seen"
    LINES = "lines"


@dataclass(frozen=True)
class Asked:
    """A question as it was read: its words without times and quotes, and what is known of those words."""

    text: str
    low: str
    words: frozenset[str]
    phrases: tuple[str, ...]
    hosts: tuple[str, ...]
    programs: tuple[str, ...]
    unexplained: tuple[str, ...]
    stretch: Stretch | None

    def has(self, *patterns: str) -> bool:
        """Whether any pattern is found in the question, in lower case."""
        return any(re.search(pattern, self.low) for pattern in patterns)


SAMPLE = re.compile(r"\b([A-Z]{2,6}-\d{1,6}|[A-Z]{2,6}\d{2,8}|[A-Z]-\d{2,6}|#\d{2,6})\b")
"""Something that looks like an identifier, as a sample of their form."""
_SITE = r"\b(?:web\s?)?(?:sites?|domains?|hosts?|hostnames?|websites?)\b|\bweb addresses\b"
_PAGE = r"\b(?:web\s?)?pages?\b|\burls?\b|\bpage[\s-]?loads?\b|\bvisits?\b"
_VISITING = (
    r"\b(?:visit(?:ed|s|ing)?|brows(?:ed?|ing)|page[\s-]?loads?|load(?:ed|s)?|go to|went to|open(?:ed)?|"
    r"look(?:ed)? at)\b"
)
_PROGRAM = r"\b(?:programs?|programmes?|apps?|applications?|software|tools?|process(?:es)?)\b"
_WINDOW = r"\bwindows?\b|\bwindow titles?\b"
_ACTIVE = (
    r"\b(?:active|activity|in (?:the )?(?:front|foreground|focus)|foreground|focus(?:ed|sed)?|us(?:e|ed|"
    r"ing)|work(?:ed)?|open|"
    r"opened|ran|running|working|on top)\b"
)
_MOST = r"\b(?:most|top|rank(?:ed|ing)?|highest|longest|favou?rite|busiest|main(?:ly)?)\b"
_TIME = (
    r"\b(?:how (?:long|much time)|time (?:was |is |were )?(?:spent|active)|active time|minutes|hours|seconds|"
    r"longest|most time)\b"
)
COUNTED = r"\b(?:how many|how often|how frequently|number of|count(?:s)? (?:of|the)|what (?:is|was) the count)\b"
_UNBROKEN = (
    r"\b(?:uninterrupted(?:ly)?|continuous(?:ly)?|without (?:a |any )?(?:break|interruption|switch\w*|pause)|unbroken|"
    r"at a (?:stretch|time)|in one go|in a row|straight|single (?:session|stretch|period)|consecutive(?:ly)?|"
    r"(?:session|stretch|streak|spell))\b"
)
_SWITCH = r"\b(?:switch(?:es|ed|ing)?|chang(?:e|es|ed|ing)|jump(?:ed|s)?|flip(?:ped|s)?|alternat\w+)\b"
_DIALOG = (
    r"\b(?:dialogs?|dialogues?|pop-?ups?|message ?box(?:es)?|alert(?:s| box\w*)?|notifications?|error windows?|"
    r"warning windows?|error box(?:es)?)\b"
)
_TROUBLE = r"\b(?:errors?|warnings?|alerts?|fail(?:ure|ures|ed)|problems?|trouble)\b"
_SAYING = (
    r"\b(?:sa(?:y|id|ys)|tell|told|text|read|content|message|contain(?:ed)?|state[ds]?|report(?:ed)?|open|visible|"
    r"on (?:the )?screen|show[ns]?)\b"
)
_SEARCHED = (
    r"\bsearch(?:ed)?[\s-]+(?:terms?|phrases?|quer(?:y|ies)|words?|strings?|texts?|keywords?)\b"
    r"|\b(?:search(?:ed|ing)?|looked|googled|looking)\s+(?:up|for)\b|\bgoogled?\b|\blook(?:ed)? up\b"
    r"|\b(?:typed|entered|put|written) (?:in|into|in to|on) (?:the |a )?(?:\w+ )?search\b"
    r"|\b(?:terms?|phrases?|quer(?:y|ies)|keywords?|words?)\b.*\bsearch(?:ed)?\b"
    r"|\b(?:last|first|latest|recent|previous|web|earliest) (?:web )?search(?:es)?\b|\bdid \w+ search\b"
)
_IDENTIFIERS = (
    r"\b(?:identifiers?|ids?|(?:ticket|issue|incident|case|order|bug|change|reference)s?[\s-]+(?:ids?|"
    r"numbers?|keys?|codes?)"
    r"|keys|references|codes|tickets|issues)\b"
)
_SEEN = (
    r"\b(?:seen|see|saw|appear(?:ed|s)?|shown|show(?:ed|s)? up|visible|displayed|on (?:the |my |"
    r"a )?screen|come up|came up|"
    r"encounter(?:ed)?|occur(?:red)?|spotted|notice[d]?|mention(?:ed)?|turn(?:ed)? up|pop(?:ped)? up|look(?:ed)? at)\b"
)
_HANDLED = r"\b(?:open(?:ed)?|active|used?|edit(?:ed)?|work(?:ed)? on|look(?:ed)? at|view(?:ed)?)\b"
_FILE = r"\b(?:files?|documents?|windows?|tabs?|folders?)\b|\b[\w-]+\.[a-z]{1,5}\b"
_COMMAND = r"\b(?:command|commands|run|running|ran|execut\w+|script|invocation|call(?:ing)?|terminal|shell|console)\b"
_ENDING = (
    r"\b(?:error|exception|fail(?:ed|s|ure)?|crash(?:ed)?|traceback|abort(?:ed)?|raise[ds]?|wrong|exit(?:ed)?|"
    r"die[ds]?)\b"
)


def choose_intent(asked: Asked) -> Intent:
    """What a question asks for, by its words; `LINES` when it is none of the kinds that are added up."""
    for intent in (_of_searches, _of_identifiers, _of_commands, _of_dialogs, _of_switches, _of_pages, _of_windows,
                   _of_seeing):  # fmt: skip
        found = intent(asked)
        if found is not None:
            return found
    return Intent.LINES


def _of_searches(asked: Asked) -> Intent | None:
    counted = (
        asked.has(COUNTED, _MOST)
        and asked.has(_PAGE, _SITE, r"\bvisited\b")
        and not asked.has(r"\bsearch(es|ed for)\b")
    )
    return Intent.SEARCHES if asked.has(_SEARCHED) and not counted and not asked.has(r"\bcommand\b") else None


def _of_identifiers(asked: Asked) -> Intent | None:
    listing = asked.has(r"\b(?:which|what|list|all|show|name|give|every|any|how many)\b")
    sample = bool(SAMPLE.search(asked.text)) and asked.has(
        r"\b(?:forms?|formats?|patterns?|shape[ds]?|like|such as|style|kind|type|schema|look)\b"
    )
    bare = asked.has(
        r"\bidentifiers\b", r"\b(?:ticket|issue|incident|case|bug) (?:ids|numbers|keys)\b"
    ) and not SAMPLE.search(asked.text)
    return Intent.IDENTIFIERS if listing and asked.has(_IDENTIFIERS) and (sample or bare) else None


def _of_commands(asked: Asked) -> Intent | None:
    if not asked.has(_ENDING) or asked.has(_DIALOG):
        return None
    named = bool(asked.phrases) or asked.has(
        r"\b(?:command|running|executing|run of|ran|invocation)\b",
        r"\bdid .+ (?:give|print|raise|throw|end|produce|fail|exit|report|return|output|crash|show|die)\b",
    )
    return (
        Intent.COMMAND_ERROR if named and asked.has(_COMMAND, r"\bdid\b", r"\b(?:end|stop|finish|terminate)") else None
    )


def _of_dialogs(asked: Asked) -> Intent | None:
    boxes = asked.has(_DIALOG)
    if boxes and asked.phrases and asked.has(_SAYING, r"\bhow long\b", r"\bseconds\b"):
        return Intent.DIALOG
    printed = asked.has(r"\b(?:console|terminal|log|logs|printed|lines?|typed|clicked|page|save|open file)\b")
    listing = asked.has(r"\b(?:which|what|list|any|all|were there|show|how many|name)\b")
    about = boxes or (asked.has(r"\b(?:errors|warnings|error messages|warning messages)\b") and asked.has(_SEEN))
    return Intent.DIALOGS if about and listing and asked.has(_TROUBLE, _SEEN, r"\bpopped\b") and not printed else None


def _of_switches(asked: Asked) -> Intent | None:
    subject = asked.has(_WINDOW, _PROGRAM, r"\bfocus\b", r"\bwindow[- ]?switch")
    counted = asked.has(COUNTED, _MOST, r"\bhour\b", r"\btimes\b", r"\boften\b")
    return Intent.SWITCHES if subject and counted and asked.has(_SWITCH) else None


def _of_pages(asked: Asked) -> Intent | None:
    sites, pages = asked.has(_SITE), asked.has(_PAGE)
    visiting = asked.has(_VISITING, _TIME) and bool(asked.hosts)
    verb = asked.has(r"\b(?:visit(?:ed|s)?|brows(?:ed?|ing))\b")
    if not (sites or pages or visiting or verb) or (asked.has(_PROGRAM) and not sites and not verb):
        return None
    loaded = verb or (asked.has(_SEEN, r"\b(?:opened|loaded|viewed)\b") and bool(asked.hosts))
    if loaded and asked.has(r"\bwhen\b") and not sites:
        return Intent.VISITS
    if asked.has(_TIME) and not asked.has(r"\bmost (?:often|frequently|visited)\b"):
        return Intent.SITE_TIME if sites or asked.hosts else None
    if asked.has(_MOST) and (sites or verb or asked.has(r"\bfrequent")) and not asked.has(r"\bmost recent"):
        return Intent.SITES_MOST
    if asked.has(COUNTED):
        of_sites = r"\bhow many (?:\w+ )?(?:web)?\s?(?:sites|domains|hosts)\b"
        return Intent.SITES if asked.has(of_sites) else Intent.VISITS
    if sites:
        return Intent.SITES
    return (
        Intent.PAGES if asked.has(r"\b(?:which|what|list|show|name|give)\b") and (pages or verb or visiting) else None
    )


def _of_windows(asked: Asked) -> Intent | None:
    program, window = asked.has(_PROGRAM), asked.has(_WINDOW)
    active = asked.has(_ACTIVE) or (bool(asked.programs) and asked.has(_TIME))
    moment = asked.stretch is not None and (asked.stretch.end - asked.stretch.start).total_seconds() <= 60
    if not (program or window or active):
        return None
    if asked.has(_UNBROKEN) and asked.has(r"\b(?:longest|most|maximum|biggest)\b"):
        return Intent.LONGEST
    if moment and asked.has(_ACTIVE, _WINDOW, _PROGRAM, r"\bdoing\b"):
        return Intent.ACTIVE_AT
    if asked.has(_TIME, _MOST) and (program or window or asked.programs) and not asked.has(r"\bwhen\b"):
        return Intent.WINDOW_TIME if window and not program and not asked.programs else Intent.PROGRAM_TIME
    if window and (asked.has(_ACTIVE, _SEEN, COUNTED) or asked.has(r"\b(?:which|list|all)\b")):
        return Intent.WINDOWS
    if (program or asked.programs) and asked.has(_ACTIVE, _SEEN, COUNTED):
        return Intent.PROGRAMS
    return None


def _of_seeing(asked: Asked) -> Intent | None:
    when = asked.has(r"\bwhen\b", r"\b(?:at )?(?:what|which) (?:time|day|date|moment)\b", r"\bsince when\b",
                     r"\b(?:first|last|latest|earliest|most recent) (?:time|sighting|seen|appear\w*|"
                     r"occurrence)\b")  # fmt: skip
    at_all = asked.has(_SEEN, r"\b(?:first|last) (?:time|sighting|occurrence|appearance)\b")
    of_file = asked.has(r"\b(?:first|last)\b") and asked.has(_HANDLED) and asked.has(_FILE)
    return Intent.SEEN if when and (at_all or of_file) else None
