"""A question as it was read, and the words that questions are made of, American and British."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.query.times import Stretch


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
    plain: str = ""
    """The question in lower case without the names of sites and programs."""
    unclear: str = ""
    """Why the time is not clear."""
    question: str = ""
    """As it was asked."""

    def has(self, *patterns: str) -> bool:
        """Whether any pattern is found in the question, in lower case."""
        return any(re.search(pattern, self.low) for pattern in patterns)

    @property
    def lists(self) -> bool:
        """Whether it asks for all of a kind: by a word, or by naming the kind and nothing else ('apps used today')."""
        return self.has(LISTING) or not self.has(ASKED_WITH)

    @property
    def is_moment(self) -> bool:
        """Whether it is about a minute, or less."""
        return self.stretch is not None and (self.stretch.end - self.stretch.start).total_seconds() <= 60


SAMPLE = re.compile(r"\b([A-Z]{2,6}-\d{1,8}|[A-Z]{2,6}\d{2,8}|[A-Z]-\d{2,6}|#\d{2,6})\b")
"""Something that looks like an identifier, as a sample of their form."""
LISTING = (
    r"\b(?:which|what|list|all|any|every|show|name|give|enumerate|display|tell|were there|was there|are there|"
    r"how many)\b"
)
ASKED_WITH = (
    r"\b(?:who|whom|whose|what|when|where|why|which|how|is|was|were|are|did|do|does|has|have|had|can|could|will|would|"
    r"should)\b"
)
"""Words that make a sentence of a question; without them it is a few words typed."""
SITE = r"\b(?:web\s?)?(?:sites?|domains?|hosts?|hostnames?|websites?)\b|\bweb addresses\b"
PAGE = (
    r"\b(?:web\s?)?pages?\b|\burls?\b|\bpage[\s-]?(?:loads?|views?)\b|\bvisits?\b|\bbrows(?:er|ing) history\b"
    r"|\bweb history\b|\bhits\b"
)
VISITING = (
    r"\b(?:visit(?:ed|s|ing)?|brows(?:ed?|ing)|page[\s-]?(?:loads?|views?)|load(?:ed|s)?|go to|went to|open(?:ed)?|"
    r"look(?:ed)? at|been (?:on|to)|(?:was|were) (?:i|we) on|access(?:ed)?|view(?:ed)?|read|use[d]?|hits)\b"
)
PROGRAM = r"\b(?:programs?|programmes?|apps?|applications?|software|tools?|process(?:es)?)\b"
WINDOW = r"\bwindows?\b|\bwindow titles?\b"
ACTIVE = (
    r"\b(?:active|activity|in (?:the )?(?:front|foreground|focus)|foreground|focus(?:ed|sed)?|us(?:e|ed|age|"
    r"ing)|work(?:ed|ing)?|open|opened|ran|running|on top)\b"
)
ON_SCREEN = (
    r"\b(?:on (?:the |my |our |a )?(?:screen|display|monitor|desktop)|(?:was|were|am) (?:i|we) (?:doing|looking|"
    r"seeing|working|"
    r"using|on)|(?:did|do) (?:i|we) (?:do|see|have|look|use)|visible|displayed|shown|showing|see|seen|saw|open|up|"
    r"screen(?:shots?)?)\b"
)
MOST = r"\b(?:most|top|rank(?:ed|ing)?|highest|longest|favou?rite|busiest|main(?:ly)?|primary|primarily)\b"
TIME = (
    r"\b(?:how (?:long|much time)|time (?:was |is |were )?(?:spent|active)|active time|screen\s?time|time (?:in|"
    r"on|with)|"
    r"minutes|mins|hours|hrs|seconds|longest|most time|duration|usage|time spent)\b"
)
COUNTED = (
    r"\b(?:how many|how often|how frequently|number of|no\. of|count(?:s)? (?:of|the)|count|what (?:is|was) the count|"
    r"total (?:number|count|visits|page))\b"
)
UNBROKEN = (
    r"\b(?:uninterrupted(?:ly)?|continuous(?:ly)?|without (?:a |any )?(?:break|interruption|switch\w*|pause)|unbroken|"
    r"at a (?:stretch|time)|in one go|(?:single|in one|of one) (?:program|programme|app|application|window)|"
    r"in a row|straight|single (?:session|stretch|period)|consecutive(?:ly)?|non-?stop|"
    r"(?:session|stretch|streak|spell|run))\b"
)
SWITCH = (
    r"\b(?:switch(?:es|ed|ing)?|chang(?:e|es|ed|ing)|jump(?:ed|s)?|flip(?:ped|s)?|alternat\w+|toggl\w+|hop(?:ped|"
    r"s)?)\b"
)
DIALOG = (
    r"\b(?:dialog(?:ue)?s?(?:\s?box(?:es)?)?|pop-?\s?ups?|(?:message|error|alert|warning)[\s-]?(?:box(?:es)?|windows?)|"
    r"msgbox(?:es)?|alert(?:s)?|notifications?|prompts?)\b"
)
TROUBLE = r"\b(?:errors?|warnings?|alerts?|fail(?:ure|ures|ed)|problems?|trouble)\b"
SAYING = (
    r"\b(?:sa(?:y|id|ys)|tell|told|text|read|content|contents|message|contain(?:ed)?|state[ds]?|report(?:ed)?|open|"
    r"visible|complain(?:ed)?|about|warn(?:ed)?|wording|on (?:the )?screen|show[ns]?|mean)\b"
)
SEARCHED = (
    r"\bsearch(?:ed)?[\s-]+(?:terms?|phrases?|quer(?:y|ies)|words?|strings?|texts?|keywords?|history)\b"
    r"|\b(?:search(?:ed|ing)?|looked|googled|looking)\s+(?:up|for)\b|\bgoogled?\b|\blook(?:ed)? up\b"
    r"|\b(?:typed|entered|put|written) (?:in|into|in to|on) (?:the |a )?(?:\w+ )?search\b"
    r"|\b(?:terms?|phrases?|quer(?:y|ies)|keywords?|words?)\b.*\bsearch(?:ed)?\b"
    r"|\b(?:last|first|latest|recent|previous|web|earliest|my|all|which|what) (?:web |internet |"
    r"online )?search(?:es)?\b"
    r"|\bdid \w+ search\b|^(?:web )?searche?s?\b"
)
IDENTIFIERS = (
    r"\b(?:identifiers?|ids?|(?:ticket|issue|incident|case|order|bug|change|reference|invoice|booking|request)s?[\s-]+"
    r"(?:ids?|numbers?|keys?|codes?)|keys|references|codes|numbers|tickets|issues|incidents|invoices|changes|orders|"
    r"cases|bugs|requests|bookings)\b"
)
SEEN = (
    r"\b(?:seen|see|saw|appear(?:ed|s)?|shown|show(?:ed|s)? up|visible|displayed|on (?:the |my |a )?screen|"
    r"come up|came up|"
    r"encounter(?:ed)?|occur(?:red)?|spotted|notice[d]?|mention(?:ed)?|turn(?:ed)? up|pop(?:ped)? up|look(?:ed)? at|"
    r"sightings?|occurrences?|appearances?|display|views?)\b"
)
HANDLED = r"\b(?:open(?:ed)?|active|used?|edit(?:ed)?|work(?:ed)? on|look(?:ed)? at|view(?:ed)?)\b"
FILE = r"\b(?:files?|documents?|windows?|tabs?|folders?)\b|\b[\w-]+\.[a-z]{1,5}\b"
COMMAND = r"\b(?:command|commands|run|running|ran|execut\w+|script|invocation|call(?:ing)?|terminal|shell|console)\b"
ENDING = (
    r"\b(?:errors?|exception|fail(?:ed|s|ing|ure)?|crash(?:ed)?|traceback|abort(?:ed)?|raise[ds]?|wrong|exit(?:ed)?|"
    r"die[ds]?|break|broke|went wrong|complain(?:ed)?|rejected)\b"
)
PERIOD = r"\b(?:day|date|weekday|week|month|hour|morning|afternoon|evening)\b"
UNKNOWN = (
    r"\b(?:least|fewest|shortest|smallest|lowest|rarest|rarely|average[ds]?|avg|median|mean|percentages?|"
    r"per ?cent|share of|"
    r"compar(?:e|ed|ison)|versus|vs|differences?|except|excluding|besides|apart from|other than|but not|not|never|"
    r"didn['’]t|"
    r"wasn['’]t|weren['’]t|(?:more|less|fewer|longer|shorter) than|at (?:least|most)|trend|increase[ds]?|decrease[ds]?|"
    r"neither|nor|instead of|only once|twice|simultaneously|at the same time|second most|runner-?up)\b"
)
"""Words that change what is asked for in a way that is not understood."""
