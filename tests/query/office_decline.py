"""Questions that the office desk cannot answer.

Each is the question, texts that an answer must not hold (near misses that are on the screen), and what is absent:
texts that no frame shows, in a range of days (`since`, `until`; the whole recording if left out), of all frames or of
those that show the text `with`. An empty text says that there is no frame at all.
"""

from __future__ import annotations

from typing import Any

ALL_SEARCHES = [
    "pip private index extra url",
    "scanner drops last page duplex",
    "E4033 quota ledgersync",
    "exchange rate yen euro",
    "storm warning coast ferry",
]

DECLINES: list[tuple[str, list[str], dict[str, Any]]] = [
    # A known thing, an attribute that was never shown.
    (
        "What is the serial number in ticket OPS-1861?",
        ["KX-77-20931"],
        {"with": "OPS-1861", "texts": ["Serial number"]},
    ),
    ("At what time was OPS-1902 closed?", ["10:05"], {"with": "OPS-1902", "texts": ["Closed", "Resolved", "Done"]}),
    ("Who merged PR #91?", ["j.koehler"], {"with": "PR #91", "texts": ["Merged by"]}),
    (
        "What is the phone number of Lena Vogt?",
        ["4417"],
        {"with": "Lena Vogt", "texts": ["phone", "ext.", "mobile", "tel."]},
    ),
    ("Which password did I use to sign in to LedgerSync?", [], {"texts": ["password", "Passwort", "パスワード"]}),
    (
        "What is the purchase order number of invoice INV-20871?",
        ["PO-66120"],
        {"with": "INV-20871", "texts": ["Purchase order", "PO-"]},
    ),
    ("What was the IBAN on the invoice from Kestrel Paper?", [], {"texts": ["IBAN"]}),
    (
        "On which date was invoice INV-20877 paid?",
        ["2025-10-28", "2025-11-20"],
        {"with": "INV-20877", "texts": ["Paid on"]},
    ),
    ("When does my outbound train on 3 November arrive?", ["07:42", "18:16"], {"with": "Outbound", "texts": ["arriv"]}),
    ("Which colour is the label printer in room B-114?", [], {"texts": ["label printer", "colour", "color"]}),
    ("How much does the parking permit P-2291 cost per month?", ["118"], {"texts": ["per month", "monthly fee"]}),
    ("What is the Wi-Fi password for ALDER-GUEST?", [], {"texts": ["password", "passphrase", "Kennwort"]}),
    ("Email address of Oskar Lind?", ["change-board@alder.example"], {"texts": ["lind@", "oskar@", "oskar.lind"]}),
    ("What is the warranty date of asset AV-00318?", ["2026-08-31"], {"texts": ["AV-00318"]}),
    # A known attribute, the wrong day.
    ("What did I search for on 30 October?", ALL_SEARCHES, {"texts": ["Findling"], "since": "30", "until": "31"}),
    (
        "Which error dialogs were shown on 20 October?",
        ["Microsoft Excel"],
        {"texts": ["Microsoft Excel", "Access Denied", "Sync failed", "Network Error"], "since": "20", "until": "21"},
    ),
    (
        "What did the 'Network Error' dialog on 28 October say?",
        ["fs-02", "0x80004005", "640 MB"],
        {"texts": ["Network Error"], "since": "28", "until": "29"},
    ),
    (
        "Which pages did I open in the browser on Sunday, 26 October?",
        ["news.example.com", "status.example.net"],
        {"texts": [""], "since": "26", "until": "27"},
    ),
    (
        "What was I working on in the first week of October?",
        ["Q4-forecast", "rates.py"],
        {"texts": [""], "since": "01", "until": "08"},
    ),
    (
        "How many times did I visit hotels.example.org last week?",
        [],
        {"texts": ["hotels.example.org"], "since": "20", "until": "27"},
    ),
    (
        "which commits did i push on oct 27",
        ["Books get the reduced rate"],
        {"texts": ["git push", "git commit"], "since": "27", "until": "28"},
    ),
    (
        "What was the closing balance of the September account statement?",
        ["18,960.12", "20,114.77", "18,945.92"],
        {"with": "Account statement", "texts": ["September"]},
    ),
    ("What was on screen at 15:00 on 19 October?", [], {"texts": [""], "since": "18", "until": "20"}),
    # Things that were never there.
    ("What is the status of OPS-1999?", ["In progress", "Resolved"], {"texts": ["OPS-1999"]}),
    ("Who approved CHG0099999?", ["Maren Falk", "Oskar Lind"], {"texts": ["CHG0099999"]}),
    ("total of invoice INV-30001", ["4,318.60", "912.05", "268.40"], {"texts": ["INV-30001"]}),
    ("How long was I in Photoshop on 22 October?", ["200"], {"texts": ["Photoshop"]}),
    ("What did the dialog titled 'Licence expired' say?", ["token expired"], {"texts": ["Licence expired"]}),
    ("When did I last see the phrase 'purple elephant'?", [], {"texts": ["purple elephant", "elephant"]}),
    ("How many times did I visit shop.example.com?", [], {"texts": ["shop.example.com"]}),
    ("When was PR #123 first seen?", [], {"texts": ["PR #123"]}),
    ("With which error did 'cargo build' end?", ["KeyError", "TS2345"], {"texts": ["cargo"]}),
    ("What is the flight number of the guests from Osaka?", ["06:55"], {"texts": ["flight", "Flug"]}),
    ("What is the dose of the medicine that the doctor prescribed?", [], {"texts": ["medicine", "doctor", "dose"]}),
    ("Who won the football match on 25 October?", [], {"texts": ["football", "goal"]}),
    ("When was identifier INC-204 last seen?", [], {"texts": ["INC-204"]}),
]
