"""Other words for what was asked: is it still the same question when one of its words is said as a line says it?

A model that compares texts cannot tell whether a line answers a question, but it can tell whether two questions that
differ in one word are the same question. What it confuses are opposites, so these are kept apart by a list.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.query.words import ASKING, covers, words_of

SAME_QUESTION = 9_500
"""How like the question another wording has to be, in 1/10,000, to be the same question."""
SAME_WORD = 3_500
"""How like each other both words have to be by themselves: where a word hardly matters, any other would do as well.

Both were measured, see `docs/decisions/0008-meaning-finds-words-decide.md`."""

_OPPOSITES = [
    tuple(frozenset(side.split()) for side in line.split("/"))
    for line in """
open / close shut
start begin launch / end stop finish halt quit
first initial / last final
before prior earlier / after later
maximum highest most top upper max largest / minimum lowest least bottom lower min smallest
more / less fewer
increase raise grow rise gain add / decrease lower reduce shrink fall drop lose remove
on / off
in into / out
up / down
left / right
send sent deliver dispatch ship / receive received arrive get
buy bought purchase order / sell sold
borrow / lend lent
hire / fire dismiss
accept approve allow permit confirm grant enable / reject refuse deny forbid decline cancel disable block
pass succeed success work / fail failure crash break
allowed permitted included / forbidden prohibited excluded
include / exclude
import / export
input / output
upload / download
push / pull
read / write wrote written
ask question / answer reply
give gave given / take took taken keep
paid pay / owe owed due unpaid
win won / lose lost
create build make add install / delete destroy remove drop uninstall
show / hide hidden
lock / unlock
connect attach / disconnect detach
full complete / empty incremental partial incomplete
public / private
internal / external
inside / outside
old / new
good / bad
right correct / wrong incorrect
true / false
yes / no
same / different
always / never
all / none
positive / negative
plus / minus
hot / cold
light / dark
black / white
red / green
fast quick / slow
early / late
near / far
high / low
long / short
large big / small little
heavy / light
gross / net
mean average / median
north / south
east / west
open / resolved
assign given / resolved
best / worst
expensive / cheap
present attend join / absent miss leave left
inbound incoming / outbound outgoing
available / unavailable
visible / hidden
active / inactive idle
online / offline
ascending / descending
""".strip().splitlines()
]
_BENDING = ("un", "in", "im", "ir", "il", "dis", "non", "de", "mis", "re", "over", "under", "anti", "pre", "post")
_DOUBLED = re.compile(r"([b-df-hj-np-tv-z])\1(?:ed|ing)$")
_NEGATION = re.compile(r"\b(?:not|no|never|none|without|cannot|nor|neither)\b|n['’]t\b", re.IGNORECASE)


def stand_ins(line: str, words: Iterable[str]) -> list[str]:
    """Words of a line that may stand for one of the question's: plain ones that the question does not have itself."""
    found = []
    for number, word in enumerate(words_of(line)):
        plain = word.isalpha() and len(word) > 2 and (word.islower() or (number == 0 and word[1:].islower()))
        low = word.casefold()
        if plain and low not in ASKING and not any(covers(low, held) or covers(held, low) for held in words):
            found.append(low)
    return list(dict.fromkeys(found))


def wording(question: str, word: str, stand_in: str) -> str:
    """The question with another word for one of its own."""
    return re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", lambda _: stand_in, question, count=1)


def are_opposites(one: str, other: str) -> bool:
    """Whether two words say the opposite of each other, as far as is known here."""
    return _bent(one, other) or _bent(other, one) or any(
        (_among(one, left) and _among(other, right)) or (_among(one, right) and _among(other, left))
        for left, right in _OPPOSITES
    )  # fmt: skip


def negates(line: str, question: str) -> bool:
    """Whether one of both says 'not' and the other does not."""
    return (_NEGATION.search(line) is None) != (_NEGATION.search(question) is None)


def _bent(one: str, other: str) -> bool:
    return any(one.startswith(bend) and len(one) - len(bend) > 2 and covers(other, one[len(bend) :])
               for bend in _BENDING)  # fmt: skip


def _among(word: str, words: frozenset[str]) -> bool:
    plain = _DOUBLED.sub(r"\1", word)  # stopped → stop
    return word in words or plain in words or any(covers(item, word) for item in words if len(item) > 3)
