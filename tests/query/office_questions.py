"""The questions to the office desk with their expected answers, in the form of the bundled desk's questions.

Every expected value comes out of `office_truth`, or is a text that stands on the frames named as evidence. Texts are to
be compared without regard to case. `tz`, where given, is the zone of the one who asks. `absent` of a question that must
be declined: texts that a right answer would need and that no frame shows (`office_decline`). Run this file to write
`office_questions.json` again.
"""

from __future__ import annotations

import json
from pathlib import Path

from office_decline import DECLINES
from office_question_forms import (
    END,
    Question,
    asked,
    busiest,
    command_error,
    dialog_open,
    dialog_says,
    error_list,
    how_long,
    last_search,
    line,
    longest,
    most_visited,
    pages,
    programs_used,
    recent,
    screen_at,
    seen,
    seen_domains,
    seen_windows,
    top_domains,
    top_programs,
    visit_count,
)

JSON = Path(__file__).with_name("office_questions.json")

SYNC_A = "Upload of 2025-09.zip stopped at 12 %. Reason: disk quota exceeded (E4033)"
SYNC_B = "Upload of 2025-10.zip stopped at 83 %. Reason: token expired (E4107)"
EXCEL_ERROR = "Excel cannot open the file 'rates_old.xls' because the file format or file extension is not valid."
LOW_DISK = "Drive D: has 640 MB free of 476 GB"
JAM = "Papierstau in Fach 2 (Code 13.20)"
SHARE = "Windows cannot access \\\\fs-02\\ledger"
PERMISSION = "You need permission to perform this action on the folder D:\\out"
OPS, CHG, PULL, INV = r"\bOPS-\d{4}\b", r"\bCHG\d{7}\b", r"PR #\d+\b", r"\bINV-\d{5}\b"
BERLIN = "Europe/Berlin"

COUNTED: list[Question] = [
    most_visited("which website did I go to most last week", "20", "27"),
    most_visited("Most visited site on 23 October?", "23", "24"),
    most_visited("Which domain got the most page loads on 21/10 and 22/10 (both days together)?", "21", "23"),
    most_visited("top site since monday", "27", END),
    most_visited("What site did I visit most before noon on October 22nd, please?", "22", "22 12:00"),
    visit_count("How many times did I visit invoices.example.net on the 23rd?", "invoices.example.net", "23", "24"),
    visit_count("number of page loads helpdesk.alder.example last week", "helpdesk.alder.example", "20", "27"),
    visit_count("how often did i open news.example.com since Monday?", "news.example.com", "27", END),
    visit_count("How many pages were loaded on kb.alder.example on Oct 27th?", "kb.alder.example", "27", "28"),
    visit_count("Visits to portal.alder.example this month?", "portal.alder.example", "20", END),
    visit_count(
        "Could you count the visits to docs.example.net on 22 October between 08:00 and 09:00?",
        "docs.example.net",
        "22 08:00",
        "22 09:00",
    ),
    top_domains("top 3 domains by page loads last week, with counts", 3, "20", "27"),
    top_domains("Which three domains did I visit the most in the last 12 days?", 3, "20", END),
    top_domains("3 most visited domains from 2025-10-27 to 2025-10-29 with number of visits", 3, "27", "30"),
    top_domains("Which 2 web sites were opened most often yesterday and today?", 2, "30", END),
    seen_windows(
        "Which windows were active in the last 24 hours, and when was each of them first and last seen?",
        "30 18:45",
        "31 18:45",
        ["PR #91", "Laptop swap", "audit-letter.pdf"],
    ),
    seen_windows("list the windows I used between 9 and 11 on the 22nd", "22 09:00", "22 11:00", ["oct-statement.pdf"]),
    seen_windows("What windows were active on Saturday 25 October?", "25", "26", ["Excel", "Outlook"]),
    seen_windows(
        "Which windows were active yesterday evening, after 18:00?",
        "30 18:00",
        "31",
        ["Laptop swap", "PR #94", "Excel"],
    ),
    seen_domains(
        "Which domains were open in the browser during the past 24 hours, with first and last time?",
        "30 18:45",
        "31 18:45",
        ["invoices.example.net", "hotels.example.org", "kb.alder.example"],
    ),
    seen_domains(
        "web sites i looked at this morning",
        "31",
        "31 12:00",
        ["news.example.com", "git.alder.example", "portal.alder.example"],
    ),
    seen_domains(
        "Which web domains did I have open on Oct 24th?",
        "24",
        "25",
        ["invoices.example.net", "kb.alder.example", "portal.alder.example"],
    ),
    seen_domains(
        "Which domains were open the day before yesterday?",
        "29",
        "30",
        ["git.alder.example", "rates.example.com", "rail.example.com"],
    ),
    seen_domains(
        "domains opened last Tuesday (28 October)", "28", "29", ["hotels.example.org", "portal.alder.example"]
    ),
    longest("On 22 October, which program was I in for the longest time without a break, and from when?", "22"),
    longest("longest uninterrupted session on monday 27 october: program, start, end, minutes", "27"),
    longest(
        "Which programme had the longest uninterrupted stretch between 08:00 and 15:30 on Oct 24th?",
        "24",
        until="15:30",
    ),
    busiest("On 2025-10-23, in which hour did I switch windows most often?", "23"),
    busiest("busiest hour for window switching on the 29th and how many switches", "29"),
    busiest("In which full hour of October 22 did the active window change the most?", "22"),
    dialog_open(
        "What did the dialog 'LedgerSync - Sync failed' on 23 October say and how long was it open?",
        "LedgerSync - Sync failed",
        "23",
        SYNC_A,
        ["E4107"],
    ),
    dialog_open(
        "How many seconds was the LedgerSync - Sync failed dialog open today, and what did it say?",
        "LedgerSync - Sync failed",
        "31",
        SYNC_B,
        ["E4033"],
    ),
    dialog_open(
        "What did the 'Network Error' dialog say on Oct 24, and for how long was it open?",
        "Network Error",
        "24",
        SHARE,
        [],
    ),
    dialog_open(
        "What did the window titled 'Low disk space warning' say, and for how long was it shown?",
        "Low disk space warning",
        "28",
        LOW_DISK,
        [JAM],
    ),
    dialog_says("What did the Microsoft Excel dialog say on 2025-10-21?", "Microsoft Excel", "21", EXCEL_ERROR, []),
    dialog_says(
        "what did the 'destination folder access denied' message say",
        "Destination Folder Access Denied",
        "22",
        PERMISSION,
        [],
    ),
    dialog_says("Text of the dialog 'Fehler beim Drucken'?", "Fehler beim Drucken", "29", JAM, [LOW_DISK]),
    dialog_says(
        "What did the sync failed dialog say this morning?", "LedgerSync - Sync failed", "31", SYNC_B, ["E4033"]
    ),
    error_list("Which error or warning dialogs were shown in October? Title and date of each.", "20", END),
    error_list("List the error dialogs of last week with their dates", "20", "27"),
    error_list("any error or warning dialogs in the past 3 days? which and when", "28 18:45", END),
    error_list("What error pop-ups came up on Oct 24th?", "24", "25", dates=False),
    error_list("error dialogs since Monday, with date", "27", END),
    seen("When was OPS-1874 first and last seen on screen?", "OPS-1874"),
    seen("first and last time ops-1902 was visible", "OPS-1902"),
    seen("When did I first and last see CHG0032040?", "CHG0032040"),
    seen("When was PR #91 first seen, and when last?", "PR #91"),
    seen("first/last sighting of INV-20871", "INV-20871"),
    seen("Please tell me when the change CHG0031882 was first and last on my screen.", "CHG0031882"),
    seen("When did the error code E4107 first show up, and when was it last seen?", "E4107"),
    recent("Which tickets of the form OPS-1234 were seen since Monday?", OPS, "27"),
    recent("Which identifiers like CHG0012345 were on screen today, and when?", CHG, "31"),
    recent("Which pull requests (PR #12) did I see this week?", PULL, "27"),
    recent("invoice numbers of the form INV-12345 seen last week with first and last time", INV, "20", "27"),
    last_search("What was the last search term I typed into find.example.org?"),
    last_search("What did I search for on 28 October?", "28", "29"),
    last_search("last search on the 21st", "21", "22"),
    last_search("What was my last web search in the week from 20 to 26 October?", "20", "27"),
    last_search("What did I search for on kb.alder.example?", host="kb.alder.example"),
    top_programs("Rank the two programs with the most active time from 2025-10-27 to 2025-10-31.", 2, 27, 31),
    top_programs("which program did I use most last week", 1, 20, 26),
    top_programs("Top application by active time on 22 October", 1, 22, 22),
    top_programs("On Monday 27 October, which app was active longest in total?", 1, 27, 27),
    programs_used(
        "Which programs were used on 25 October?", "25", "26", ["Excel", "Outlook", "Notepad", "Visual Studio"]
    ),
    programs_used("apps used this morning", "31", "31 12:00", ["Notepad", "Outlook", "SumatraPDF"]),
    programs_used(
        "What programs did I work with on 22 Oct from 9:05 to 12:15?", "22 09:05", "22 12:15", ["Excel", "Slack"]
    ),
    how_long("How long was I in Visual Studio Code on October 22nd?", "Code", "22"),
    how_long("minutes in SumatraPDF on 28 October", "SumatraPDF", "28"),
    how_long("How much time did I spend in Notepad today?", "Notepad", "31"),
    seen("When did I last see the phrase 'fire drill'?", "fire drill", only="last", kind="phrase_last"),
    seen("when was the word Kestrel last on screen", "Kestrel", only="last", kind="phrase_last"),
    seen('When was "green umbrella" first shown?', "green umbrella", only="first", kind="phrase_first"),
    seen("When did I last see おはようございます?", "おはようございます", only="last", kind="phrase_last"),
    seen("When did the text 'Resturlaub 2025' last appear?", "Resturlaub 2025", only="last", kind="phrase_last"),
    screen_at("What was on screen at 13:40 on 22 October?", "22 13:40", "PR #87 Reduced rate for books"),
    screen_at("what was I looking at on oct 28 at 9:52", "28 09:52", "Ledger dashboard"),
    screen_at("What was on the screen on 24 October at 12:20?", "24 10:20", "PowerShell", tz=BERLIN),
    screen_at("What was on my screen at 10:52 on 28 October?", "28 09:52", "Ledger dashboard", tz=BERLIN),
    screen_at("What was on screen at 6:45 am New York time on Oct 24?", "24 10:45", "Network Error"),
    screen_at("What did I have on screen today at 8:28?", "31 08:28", "Ferry timetable"),
    screen_at("What was on screen at 00:05 on October 25th?", "25 00:05", "PowerShell"),
    pages(
        "Which pages did I open in the browser on 24 October?",
        "24",
        "25",
        ["booking", "87", "91", "status", "descale", "CHG0032040"],
        ["INV-20877", "OPS-1874"],
    ),
    pages(
        "pages opened between 8 and 9 on Oct 27", "27 08:00", "27 09:00", ["OPS-1902", "payroll", "empty"], ["bridge"]
    ),
    pages("Which pages did I open in Edge on 21 October?", "21", "22", ["timesheet", "leave"], ["INV-20871"], "Edge"),
    pages(
        "Which web pages did I read yesterday evening?",
        "30 18:00",
        "31",
        ["departures", "dumpling"],
        ["Museum", "PR #94"],
    ),
]

LINES: list[Question] = [
    command_error(
        'With which error did "pip install ledger-core==3.9" end?',
        "ERROR: Could not find a version that satisfies the requirement ledger-core==3.9",
    ),
    command_error("which error ended python convert.py", "KeyError: 'gl_account'"),
    command_error(
        'Why did "git push origin main" fail on 24 October?',
        "error: failed to push some refs to 'git.alder.example:billing-tools'",
    ),
    command_error("With which error did the command docker compose up end?", "port is already allocated"),
    command_error("Which TypeScript error did npm run build stop with?", "error TS2345"),
    command_error(
        "What was the error of 'pytest -q tests/test_match.py' on the 30th?",
        "decimal.InvalidOperation",
        ["AssertionError"],
    ),
    command_error(
        "error of .\\export.ps1 -Month 2025-10 on 23 Oct",
        "Export-Csv : Access to the path 'D:\\out\\oct.csv' is denied.",
    ),
    line("What is the total due of invoice INV-20871?", "EUR 4,318.60", "4,318.60", ["4,813.60", "912.05"]),
    line("total due invoice inv-20877", "EUR 912.05", "912.05", ["4,318.60", "268.40"]),
    line("Until when must the invoice from Kestrel Paper be paid?", "2025-11-14", "2025-11-14"),
    line("Which version of LedgerSync was installed?", "LedgerSync 5.4.2", "5.4.2"),
    line("python version in powershell on oct 20", "Python 3.12.7", "3.12.7"),
    line("What is the serial number in ticket OPS-1874?", "KX-77-20931", "KX-77-20931", ["RT9-55120"]),
    line("Who is the assignee of OPS-1861?", "Cost centre", "Lena Vogt", ["Köhler"]),
    line("cost center of OPS-1861", "4410-B", "4410-B"),
    line("Booking reference of my train ticket?", "Booking reference", "QX7M2P"),
    line("What platform does my outbound train on 3 November leave from?", "Outbound", "platform 9", ["platform 11"]),
    line("At what time is the quarter close review?", "Thu 30 Oct 14:30 - 15:15", "14:30"),
    line("What is the retention period for payroll exports?", "84 months", "84 months", ["36 hours"]),
    line("What is the facilities hotline?", "Facilities hotline", "4417"),
    line(
        "Wer hat die Änderung CHG0032118 genehmigt (Approver)?",
        "CHG0032118 Replace core switch",
        "Oskar Lind",
        ["Maren"],
    ),
    line(
        "How long does the rollback of CHG0032118 take according to the change?",
        "Rollback",
        "45 minutes",
        ["90 minutes"],
    ),
    line("Which contract number stands in my notes from the Moorland call?", "ME-5583-02", "ME-5583-02"),
    line("closing balance of the october account statement", "EUR 18,960.12", "18,960.12", ["20,114.77", "18,945.92"]),
    line("What is the receipt number of the LedgerSync upload?", "receipt LS-7F20-9914", "LS-7F20-9914"),
    line("What quote number (見積番号) was in the mail of 21 October?", "MT-0093", "MT-0093", ["MT-0107"]),
    line("Überstunden am 30. Oktober?", "Überstunden: 8,5 h", "8,5 h", ["6,5 h", "7,0 h", "9,0 h"]),
    line("Who wrote in the chat that the spare scanner is in room B-114?", "room B-114", "Jürgen Köhler", ["Tomasz"]),
    line("What is the value of MAX_RETRIES in rates.py?", "MAX_RETRIES", "MAX_RETRIES = 7"),
    line("exchange rate EUR/JPY on the currency table", "EUR/JPY", "177.41", ["0.8714", "1.1652"]),
    line("Until when is the warranty of the projector in OPS-1905?", "Warranty until", "2026-08-31"),
    line("Which parking permit number did Facilities send me?", "P-2291", "P-2291"),
    line("price per kWh in Q4-forecast-v2.xlsx?", "0.3120", "0.3120", ["0.2841", "0.2790"]),
    line(
        "Which price per kWh did Q4-forecast.xlsx show on 24 October?",
        "0.2790",
        "0.2790",
        ["0.3120", "0.2841"],
        since="24 11:00",
    ),
    line("Net revenue Q4 (plan) in Q4-forecast-v2.xlsx this afternoon?", "1,410,000", "1,410,000", ["1,405,100"]),
    line("In which room is my laptop swap?", "Your slot: Thursday", "A-009", ["B-114"]),
    line("which room was the cake in", "cake in the kitchen", "1.04"),
    line(
        "At what time does the month-end freeze start according to Priya's message on Tuesday?",
        "month-end freeze",
        "17:00",
        ["16:30"],
    ),
    line("Who has to do the bank match for month end?", "Month end plan October", "Oskar Lind"),
    line("Desk of the new colleague in OPS-1911?", "Start date", "3.12"),
]


def all_questions() -> list[Question]:
    """All questions, numbered."""
    declined = [asked("abstain", text, [], None, [], avoid=avoid, absent=absent) for text, avoid, absent in DECLINES]
    for question in declined:
        question["expected"]["abstain"] = True
    found = COUNTED + LINES + declined
    return [{"id": f"b{number:03d}", **question} for number, question in enumerate(found, 1)]


def rendered() -> str:
    """The content of the JSON file."""
    return json.dumps(all_questions(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    JSON.write_text(rendered(), encoding="utf-8")
