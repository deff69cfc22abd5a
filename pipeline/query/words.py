"""The words of a question: which only ask, which name a kind of thing, and which must be found in the evidence."""

from __future__ import annotations

import re
from functools import cache

from pipeline.stores.text_tokens import tokens_of, whole_token


def _split(words: str) -> list[str]:
    return words.split()


ASKING = frozenset(
    _split("""
a about all also am an and any anything are as at ago be been before being both but by can could did do does
done during each either else ever exactly every find for from get gets give given got had has have he her here
him his how i if in into is it its itself just let many may me mean more much my name need no of off on one
once only or other our out over own please s shall she should show so some something such tell than that the
their them then there these they thing things this those through to too under up us utc very want was we were
what whatever when where whether which while who whom whose why will with within would you your again still
yet already exact together both combined i'd i've i'm we've kindly actually really myself
""")
)
"""Words that only ask."""

SHOWING = frozenset(
    _split("""
screen screens display displayed shown showed shows show showing seen saw see visible visibly appear appears
appeared appearing say says said saying state stated states text texts line lines word words read reads
written write writes print printed content contents contain contains contained page pages window windows tab
tabs dialog dialogs dialogue field fields form row rows entry entries list listed titled title called named
named label labelled labeled message latest last first newest oldest earliest recent recently most used use time times
date dates day moment entered typed current currently mentioned mention mentions value values
""")
)
"""Words that say that something was on a screen, which is true of all evidence."""

COUNTING = frozenset(
    _split("""
number count counts total often frequently frequent frequency most more many times top rank ranked ranking
highest longest long duration durations minutes minute hours hour seconds second spent spend amount different
distinct unique separate individual order ordered descending two three four five six seven eight nine
ten full busiest altogether overall sum biggest largest main mainly mostly single stretch
uninterrupted continuous continuously break without interruption row session sessions straight unbroken
consecutive consecutively period end ended ending start started starting begin began until till much go
days dates including respectively sorted sort primary primarily length
""")
)

DOING = frozenset(
    _split("""
visit visits visited visiting open opened opens opening load loads loaded loading browse browsed browsing go
went gone going view viewed viewing site sites website websites web domain domains host hosts hostname
hostnames url urls look looks looked looking read reads check checked
address addresses page pages pageload pageloads internet browser browsers online active
actively activated activity focus focused foreground front use used using uses run ran running work worked
working program programs programme programmes app apps application applications software tool tools process processes
window windows title titles switch switched switches switching change changed changes changing move moved jump jumped
flip flipped toggle toggled hop hopped task tasks desktop computer machine pc laptop user person someone anybody
keep kept stay stayed remain remained usage see saw history hits views accessed access been
pageview pageviews names take takes took taken
""")
)
"""Words that a question about pages, programs and windows is made of."""

_WORD = re.compile(r"[^\s\"“”«»`?!,;()]+")
_ENDINGS = ("ations", "ation", "ings", "ing", "ied", "ies", "ed", "es", "er", "s")


def words_of(text: str) -> list[str]:
    """The words of a question as they stand, without the punctuation around them."""
    found = (word.strip(".:'’‘*…") for word in _WORD.findall(text))
    return [word.removesuffix("'s").removesuffix("’s") for word in found if word and re.search(r"\w", word)]


def variants(word: str) -> list[str]:
    """Tokens that may stand for a word in a text: itself, and, for a plain word, whatever begins like its stem."""
    whole = whole_token(word)
    if not word.isalpha() or not word.isascii() or len(whole) < 4:
        return [whole]
    return [whole, f"{_stem(whole)}*"]


def covers(text: str, word: str) -> bool:
    """Whether a text has a word, in one of its forms; names with digits or separators must stand there as they are."""
    whole = whole_token(word)
    if word.isalpha() and word.isascii():
        low, stem = text.casefold(), _stem(whole) if len(whole) >= 4 else whole
        if stem not in low:
            return False  # no token could begin so
        more = len(whole) + 3 - len(stem) if len(whole) >= 4 else 0
        if re.search(rf"(?<![^\W\d_]){stem}[^\W\d_]{{0,{more}}}(?![^\W\d_])", low):
            return True
    tokens = tokens_of(text)
    if whole in tokens:
        return True
    if not word.isascii() and whole in text.casefold():
        return True
    if not word.isalpha() or len(whole) < 4:
        return False
    stem = _stem(whole)
    return any(token.startswith(stem) and len(token) <= len(whole) + 3 and token.isalpha() for token in tokens)


def contains_term(text: str, term: str) -> bool:
    """Whether a text has a term, as written, and not as a part of a longer word or number; case is ignored."""
    pattern = r"(?<!\w)" + re.escape(term.casefold()) + r"(?!\w)"
    if not term.isascii():
        pattern = re.escape(term.casefold())
    return re.search(pattern, text.casefold()) is not None


@cache
def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word.removesuffix(ending)
    return word.rstrip("e") if len(word) > 4 else word
