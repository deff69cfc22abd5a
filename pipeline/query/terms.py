"""The words of a question that the evidence has to hold: those that do not merely ask."""

from __future__ import annotations

import re

from pipeline.query.asked import SAMPLE, Asked
from pipeline.query.intents import Intent
from pipeline.query.words import ASKING, COUNTING, DOING, SHOWING

_TEXTUAL = {Intent.LINES, Intent.DIALOG, Intent.COMMAND_ERROR}
_ATTRIBUTE = (
    r"\b(?:what|which)(?:['’]s| is| was| are| were)? (?:the )?(?:current |last |latest |first )?(\w+) (?:of|for)\b"
)
"""What is asked for of a thing must itself be on screen: the state of X, the title of Y."""
_APPOSITION = re.compile(r"((?:\b[a-z]+\s+){1,2})(?=[^\W\d_]+[-#]?\d|[\"“«`‘'])")
"""The kind of a thing before its name: the purchase order PO-12, ticket 'OPS-12'; but not before a mere number."""
_KINDS = frozenset(
    {"id", "identifier", "ticket", "issue", "invoice", "order", "change", "incident", "case", "bug", "error"}
)
_EXTRA = {
    Intent.SEARCHES: """
search searches searched searching term terms phrase phrases query queries keyword keywords typed entered string word
words text look looked googled engine box google for last latest up put internet online history
""",
    Intent.DIALOGS: """
error errors warning warnings alert alerts dialog dialogs dialogue dialogues popup popups pop-up pop-ups message
messages box boxes notification notifications problem problems failure failures popped up shown title titles date dates
day came
come failed occur occurred there window windows get received prompt prompts
""",
    Intent.DIALOG: """
error errors warning warnings alert alerts dialog dialogs dialogue dialogues popup popups pop-up pop-ups box boxes
notification notifications prompt how long seconds second minutes minute open opened shown content contents tell told
about complain complained complaining wording exact exactly stay stayed was say said says saying text texts message
messages title titled called named read reads screen window windows show shows showed last latest first newest recent
recently visible came come up
""",
    Intent.IDENTIFIERS: """
identifier identifiers id ids form forms format pattern patterns like ticket tickets issue issues key keys number
numbers code codes reference references look looking shape shaped style kind such case incident incidents following
follow seen
invoice invoices order orders change changes request requests booking bookings bug bugs beginning starting begin start
begins starts prefix prefixed e.g come came across
""",
    Intent.SEEN: """
identifier string came come up show showed sighting sightings occurrence occurrences appearance noticed spotted look
looked turn turned pop popped encounter encountered occur occurred ever phrase popped displayed point appears file files
document documents folder folders opened open edited edit active used use worked work viewed view display since until
period span range code
""",
    Intent.SITES_MOST: "favourite favorite hits views loads",
    Intent.WINDOW_TIME: "file document workbook spreadsheet sheet screen-time screentime",
    Intent.PROGRAM_TIME: "screen-time screentime",
    Intent.ACTIVE_AT: "screen displayed shown up doing looking display monitor",
    Intent.WINDOWS: "do doing done up",
}


def terms_of(asked: Asked, intent: Intent) -> tuple[str, ...]:
    """The words that the evidence has to hold, in the order of the question."""
    spent = set() if intent is Intent.DIALOG else set(SHOWING)
    if intent not in _TEXTUAL and intent is not Intent.SEEN:
        spent |= COUNTING | DOING
    spent |= set(_EXTRA.get(intent, "").split())
    if intent is Intent.LINES:
        spent -= {"used", *re.findall(_ATTRIBUTE, asked.low)}
    if intent is Intent.SEEN:
        spent |= {word for words in _APPOSITION.findall(asked.question) for word in words.split()}
        spent |= _KINDS if asked.phrases or SAMPLE.search(asked.text.upper()) else set()
    left = [word for word in asked.unexplained if not _is_spent(word, spent)]
    if intent is Intent.IDENTIFIERS:
        left = [word for word in left if any(sign.islower() for sign in word)]  # the others say the form
    return tuple(
        dict.fromkeys(word for word in left if not (word.isdigit() and len(word) < 3 and intent not in _TEXTUAL))
    )


def _is_spent(word: str, spent: set[str]) -> bool:
    """Whether a word only asks: 'last', 'first/last'; but not a program of that name that was never seen."""
    return word != "Word" and all(part in spent or part in ASKING for part in word.casefold().split("/"))
