"""What a question asks for: kinds of question, told from each other by their words."""

from __future__ import annotations

import re
from enum import StrEnum

from pipeline.query import asked as say
from pipeline.query.asked import SAMPLE, Asked
from pipeline.query.words import COUNTING, DOING, SHOWING


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
    UNCLEAR = "not_understood"


def choose_intent(asked: Asked) -> Intent:
    """What a question asks for, by its words; `LINES` when it is none of the kinds that are added up."""
    for intent in _KINDS:
        found = intent(asked)
        if found is not None:
            return found
    return Intent.LINES


def why_unclear(asked: Asked, intent: Intent) -> str:
    """Why a question that is to be added up cannot be; empty when it can."""
    if intent is Intent.LINES:
        return ""
    if asked.unclear:
        return asked.unclear
    if intent in (Intent.SEEN, Intent.COMMAND_ERROR, Intent.DIALOG, Intent.DIALOGS):
        return ""
    low = re.sub(say.UNBROKEN, " ", asked.plain)
    strange = re.search(say.UNKNOWN, low)
    if strange:
        return f"'{strange[0]}' is not understood in a question of this kind"
    by_period = re.search(
        rf"\b(?:which|what) (?:full |whole )?(?:{say.PERIOD}).*?(?:{say.MOST})|\bbusiest {say.PERIOD}", low
    )
    if by_period and intent is not Intent.SWITCHES:
        return "which day or hour has most is only answered for changes of the active window"
    return ""


def _of_searches(asked: Asked) -> Intent | None:
    counted = (
        asked.has(say.COUNTED, say.MOST)
        and asked.has(say.PAGE, say.SITE, r"\bvisited\b")
        and not asked.has(r"\bsearch(es|ed for)\b")
    )
    return Intent.SEARCHES if asked.has(say.SEARCHED) and not counted and not asked.has(r"\bcommand\b") else None


def _of_identifiers(asked: Asked) -> Intent | None:
    every = rf"{say.IDENTIFIERS}|\b(?:every|each|any) (?:\w+-?\S* )?(?:number|ticket|id|identifier|key|code)\b"
    if not asked.lists or not asked.has(every) or asked.has(r"\b(?:dialogs?|pages?|sites?|domains?)\b"):
        return None
    formed = asked.has(
        r"\b(?:forms?|formats?|patterns?|shape[ds]?|like|such as|e\.g\.?|style|kind|type|schema|look|"
        r"beginning|starting|begins?|starts?|prefix(?:ed)?)\b"
    ) or re.search(r"\([A-Z]+-?\d+\)", asked.text)
    bare = asked.has(
        r"\bidentifiers\b", r"\b(?:ticket|issue|incident|case|bug|change|invoice|order) (?:ids|numbers|keys)\b",
        rf"(?:{every}).*(?:{say.SEEN})",
    ) and not SAMPLE.search(asked.text)  # fmt: skip
    return Intent.IDENTIFIERS if (formed and form_of(asked.text)) or bare else None


def form_of(question: str) -> str:
    """A sample or a prefix of identifiers that a question gives: `ABC-123`, `OPS-`, `CHG`; empty without one."""
    sample = SAMPLE.search(question)
    if sample:
        return sample[1]
    letters = re.search(r"\b([A-Z]{1,6})(-?)([NX#9]{2,8})(?!\w)", question)
    if letters and letters[1] != letters[3][:1]:
        generic = len(set(letters[1])) == 1 or letters[1] in "ABCDEF"
        return ("ABCDEF"[: len(letters[1])] if generic else letters[1]) + letters[2] + "0" * len(letters[3])
    prefix = re.search(
        r"\b([A-Z]{2,6}-?)(?:[#*xXnN…]+(?!\w)|\.\.\.|(?=\s+(?:tickets|numbers|ids|IDs|identifiers|keys|codes|"
        r"issues|incidents|"
        r"changes|invoices|cases|orders|requests|number|ticket)\b))",
        question,
    ) or re.search(r"\b(?:begin|start|prefix)\w*(?: with)? ['\"]?([A-Z]{2,6}-?)(?!\w)", question)
    return prefix[1] if prefix and prefix[1] not in ("ID", "URL", "PDF") else ""


_OF_COMMAND = (
    r"\berror (?:message )?(?:of|from|in|by|with|when) \w|\bwent wrong (?:with|when|in)\b"
    r"|\b(?:raised|thrown|printed|reported|returned|shown|given) by\b|\bcomplain(?:ed)? about\b"
)


def _of_commands(asked: Asked) -> Intent | None:
    ended = bool(asked.phrases) and asked.has(r"\bhow did\b.*\b(?:end|finish|stop)\b")
    when = asked.has(r"^\W*when\b|\bwhen (?:did|was|were|has|have)\b")
    if not (asked.has(say.ENDING) or ended) or asked.has(say.DIALOG) or when:
        return None
    if asked.phrases and asked.has(r"\berrors? (?:message )?(?:of|from|in|by|with|when)\b"):
        return Intent.COMMAND_ERROR
    named = bool(asked.phrases) or asked.has(
        r"\b(?:command|running|executing|run of|ran|invocation)\b",
        _OF_COMMAND,
        r"\b(?:did|does) .+ (?:give|print|raise|throw|end|produce|fail|exit|report|return|output|crash|show|die|"
        r"stop|finish|"
        r"terminate|abort|break|complain|result|come back|spit out|yield|hit)\b",
    )
    return (
        Intent.COMMAND_ERROR
        if named and asked.has(say.COMMAND, r"\b(?:did|does)\b", r"\b(?:end|stop|finish|terminate)", _OF_COMMAND)
        else None
    )


def _of_dialogs(asked: Asked) -> Intent | None:
    boxes = asked.has(say.DIALOG)
    titled = bool(asked.phrases) and asked.has(r"\b(?:window|message|box|error|warning|titled?|called)\b")
    lasting = asked.has(r"\bhow long\b", r"\b(?:how many )?seconds\b", r"\bfor how many minutes\b")
    asks_text = asked.has(r"\b(?:what|which|how long|how many seconds|seconds|tell|text|wording|contents?)\b")
    saying = asked.has(
        r"\b(?:say|said|says|tell|told|text|read|contents?|complain(?:ed)?|state[ds]?|wording|warn(?:ed)?)\b"
    )
    if (boxes or titled) and asks_text and (saying or (lasting and (boxes or asked.phrases))):
        return Intent.DIALOG
    if boxes and asked.phrases and asked.has(say.SAYING) and not asked.has(r"\bwhen\b"):
        return Intent.DIALOG
    if asked.has(r"\b(?:error|warning)(?: message)? (?:from|of|by|in) .*\b(?:say|said|tell|read)\b",
                 r"\bwhat (?:was|did) the (?:\w+ )?(?:error|warning)(?: message)? (?:about|say|tell|read)\b",
                 r"\b(?:text|wording) of the (?:\w+ )?(?:error|warning)\b"):  # fmt: skip
        return Intent.DIALOG
    printed = (asked.has(_OF_COMMAND) and not boxes and not asked.programs) or asked.has(
        r"\b(?:console|terminal|log|logs|printed|lines?|typed|clicked|page|save|open file|code|command)\b"
    )
    about = boxes or (
        asked.has(r"\b(?:errors|warnings|error messages?|warning messages?)\b")
        and (asked.has(say.SEEN, _THERE, say.COUNTED) or _is_terse(asked))
    )
    shown = asked.has(say.TROUBLE, say.SEEN, _THERE, r"\bpopped\b", r"\bshow|display")
    return Intent.DIALOGS if about and asked.lists and shown and not printed else None


_THERE = r"\b(?:were|was|are) there\b|\bany\b|\b(?:get|got|had|have|receive[d]?)\b"


def _is_terse(asked: Asked) -> bool:
    return not asked.has(say.ASKED_WITH)


def _of_longest(asked: Asked) -> Intent | None:
    longest = asked.has(say.UNBROKEN) and asked.has(r"\b(?:longest|most|maximum|biggest)\b")
    return Intent.LONGEST if longest and not asked.has(say.SITE, say.PAGE) and not asked.hosts else None


def _of_switches(asked: Asked) -> Intent | None:
    subject = asked.has(say.WINDOW, say.PROGRAM, r"\bwindow[- ]?switch", r"\b(?:focus|foreground|switches)\b")
    counted = asked.has(say.COUNTED, say.MOST, r"\bhour\b", r"\btimes\b", r"\boften\b") or _is_terse(asked)
    return Intent.SWITCHES if subject and counted and asked.has(say.SWITCH) else None


def _of_pages(asked: Asked) -> Intent | None:
    sites, pages = asked.has(say.SITE), asked.has(say.PAGE)
    visiting = asked.has(say.VISITING, say.TIME) and bool(asked.hosts)
    verb = asked.has(r"\b(?:visit(?:ed|s)?|brows(?:ed?|ing))\b")
    if not (sites or pages or visiting or verb) or (asked.has(say.PROGRAM) and not sites and not verb):
        return None
    loaded = verb or (asked.has(say.SEEN, r"\b(?:opened|loaded|viewed)\b") and bool(asked.hosts))
    if loaded and asked.has(r"\bwhen\b") and not sites:
        return Intent.VISITS
    if asked.has(say.TIME) and not asked.has(r"\bmost (?:often|frequently|visited)\b"):
        return Intent.SITE_TIME if sites or asked.hosts else None
    if asked.has(say.MOST) and (sites or verb or asked.has(r"\bfrequent")) and not asked.has(r"\bmost recent"):
        return Intent.SITES_MOST
    if asked.has(say.COUNTED):
        of_sites = r"\b(?:how many|number of) (?:\w+ )?(?:web)?\s?(?:sites|domains|hosts)\b"
        return Intent.SITES if asked.has(of_sites) else Intent.VISITS
    if sites:
        return Intent.SITES
    if _is_terse(asked) and asked.has(r"\b(?:visits?|hits|page[\s-]?(?:loads?|views?))\b"):
        return Intent.VISITS
    if asked.hosts and verb and asked.has(r"^(?:did|have|has|was|were)\b"):
        return Intent.VISITS
    listing = asked.has(r"\b(?:which|what|list|show|name|give|all)\b") or _is_terse(asked)
    return Intent.PAGES if listing and (pages or verb or visiting) and not asked.has(r"\bsay|says|said\b") else None


def _of_windows(asked: Asked) -> Intent | None:
    program, window = asked.has(say.PROGRAM), asked.has(say.WINDOW)
    active = asked.has(say.ACTIVE) or (bool(asked.programs) and asked.has(say.TIME))
    if asked.is_moment and asked.has(say.ACTIVE, say.WINDOW, say.PROGRAM, say.ON_SCREEN) and not asked.phrases:
        return Intent.ACTIVE_AT if _asks_what_was_there(asked) else None
    if not (program or window or active):
        return Intent.WINDOWS if _asks_what_was_done(asked) else None
    if asked.has(say.TIME, say.MOST) and (program or window or asked.programs) and not asked.has(r"\bwhen\b"):
        return Intent.WINDOW_TIME if window and not program and not asked.programs else Intent.PROGRAM_TIME
    if window and (asked.has(say.ACTIVE, say.SEEN, say.COUNTED) or asked.lists):
        return Intent.WINDOWS
    if (program or asked.programs) and asked.has(say.ACTIVE, say.SEEN, say.COUNTED):
        return Intent.PROGRAMS
    if program and _is_terse(asked):
        return Intent.PROGRAMS
    named = asked.phrases or any(word.casefold() not in DOING | COUNTING | SHOWING for word in asked.unexplained)
    if asked.has(r"\b(?:how long|how much time)\b") and active and named:
        return Intent.WINDOW_TIME
    return Intent.WINDOWS if _asks_what_was_done(asked) else None


def _asks_what_was_there(asked: Asked) -> bool:
    return asked.has(r"\b(?:what|which|window|program|programme|app|application|screen|active|doing)\b")


def _asks_what_was_done(asked: Asked) -> bool:
    return asked.stretch is not None and asked.has(
        r"\bwhat (?:did|was|were|have|had) (?:i|we) (?:been )?(?:do|doing|done|work(?:ing|ed)? on|up to)\b",
        r"\bwhat (?:was|were|did i have|have i had) (?:open |shown |visible )?(?:on|up on) (?:the |my )?screen\b",
        r"\bwhat did (?:i|we) (?:see|look at|use)\b",
    )


def _of_seeing(asked: Asked) -> Intent | None:
    when = asked.has(r"\bwhen\b", r"\b(?:at |in )?(?:what|which) (?:times?|days?|dates?|moments?|period|range)\b",
                     r"\b(?:times?|dates?)\b.*\b(?:first|last)\b|\b(?:first|last) (?:times?|dates?)\b",
                     r"\b(?:first|last|latest|earliest|most recent)(?:ly)?(?: and last)? (?:time|sightings?|seen|"
                     r"appear\w*|"
                     r"occurrences?|visible|shown|on screen|mention\w*)\b")  # fmt: skip
    at_all = asked.has(say.SEEN, r"\b(?:first|last) (?:time|sighting|occurrence|appearance)\b")
    of_file = asked.has(r"\b(?:first|last)\b") and asked.has(say.HANDLED) and (asked.has(say.FILE) or asked.phrases)
    return Intent.SEEN if when and (at_all or of_file) else None


_KINDS = (
    _of_searches, _of_identifiers, _of_dialogs, _of_commands, _of_longest, _of_switches, _of_pages, _of_windows,
    _of_seeing,
)  # fmt: skip
