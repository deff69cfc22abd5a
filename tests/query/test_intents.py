"""Which kind of question is which, in several wordings each."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from pipeline.query.intents import Intent
from pipeline.query.plan import Plan, make_plan
from pipeline.query.programs import Program, program_name
from pipeline.query.times import Stretch, TimeReader

NOW = datetime(2026, 3, 16, 18, 30, tzinfo=UTC)
HOSTS = ["news.example.org", "search.example.net"]
PROGRAMS = [Program("gedit", "gedit"), Program("firefox", "Firefox")]


def plan(question: str) -> Plan:
    return make_plan(question, TimeReader(NOW, UTC), Stretch(NOW, NOW), HOSTS, PROGRAMS)


@pytest.mark.parametrize(
    ("intent", "questions"),
    [
        (Intent.SITES_MOST, [
            "Which site was visited most often last week?", "What website did I go to the most?",
            "Top 3 domains by page loads", "Which hosts did I browse most frequently since Monday?",
            "site I visited most often between Monday and Wednesday", "What is my favorite website?",
        ]),
        (Intent.VISITS, [
            "How many pages were loaded on news.example.org?", "How often did I open news.example.org yesterday?",
            "Number of visits to news.example.org", "When did I first visit news.example.org?",
            "visits to news.example.org yesterday", "Did I visit news.example.org on Friday?",
        ]),
        (Intent.SITES, [
            "Which websites did I visit yesterday?", "List the domains that were open in the active browser window",
            "How many different sites did I visit?",
            "web sites i looked at this morning",
        ]),
        (Intent.SITE_TIME, [
            "How long was I on the site news.example.org?", "How much time did I spend on news.example.org?",
            "On which domain did I spend the most time?",
        ]),
        (Intent.PAGES, [
            "Which pages did I open on news.example.org?", "What pages did I visit yesterday?",
            "List the URLs I looked at today",
            "pages opened between 8 and 9 on Mar 10", "browser history for 10 March",
        ]),
        (Intent.PROGRAM_TIME, [
            "Rank the two programs with the most active time", "Which app did I use the most?",
            "How long was gedit active on 2026-03-10?", "For how many minutes did I use Firefox?",
            "minutes in gedit on 10 March", "Firefox usage today",
        ]),
        (Intent.LONGEST, [
            "Which program had the longest uninterrupted time as the active program?",
            "Which app stayed in front longest without a break?", "What was the longest single session of one program?",
            "longest session without switching programs on Tuesday", "longest time in a single application last week",
        ]),
        (Intent.SWITCHES, [
            "In which full hour did the active window change most often?", "How many times did I switch windows?",
            "How often did the focus jump from one program to another?",
            "how many window switches on 10 March", "On which day did I switch windows most?",
        ]),
        (Intent.WINDOWS, [
            "Which windows (program and title) were active, and when was each first and last seen?",
            "List all windows I had in the foreground yesterday", "How many different windows were open?",
            "windows used before 8:30 on Mar 10", "What did I do yesterday morning?",
        ]),
        (Intent.PROGRAMS, [
            "What programs did I use yesterday?", "Which apps were active last week?", "When was gedit last used?",
            "apps used this morning", "Programmes used on 10 March",
        ]),
        (Intent.ACTIVE_AT, [
            "What was active at 14:05?", "Which window was in front at 9:30 am on 2026-03-11?",
            "Which program was I using on 2026-03-11 at 10:00?",
            "What was on my screen at 10:52 on 10 March?", "Screen at 2026-03-10 09:50",
        ]),
        (Intent.DIALOGS, [
            "Which error or warning dialogs were shown?", "What warnings popped up last week?",
            "Did any error popups appear? Which?", "List all alert boxes that appeared since Monday",
            "error dialogs since Monday, with date", "Were there any warnings on Tuesday?",
            "any error messages yesterday?",
        ]),
        (Intent.DIALOG, [
            "What did the dialog titled 'Low toner' say?", "How long was the message box \"Low toner\" open?",
            "What was the text of the popup 'Low toner'?",
            "what was the warning about disk space",
            "How many seconds was the Low toner dialog open?", "Text of the last error dialog?",
        ]),
        (Intent.IDENTIFIERS, [
            "Which identifiers of the form ABC-123 were seen?", "List ticket numbers like AB-1 that appeared",
            "What issue keys were visible yesterday?",
            "Which CHG numbers were seen this week?", "All ticket IDs (e.g. QX-7) from the last 48 hours",
        ]),
        (Intent.SEARCHES, [
            "What was the last search term typed into the search site?", "What did I search for yesterday?",
            "Which phrase did I google most recently?", "List my search queries of last week",
            "last search on the 10th", "search history this week",
        ]),
        (Intent.COMMAND_ERROR, [
            "With which error did the command \"make test\" end?", "What error did make test give?",
            "How did running make test fail?",
            "Which TypeScript error did npm run build stop with?",
            "what went wrong with git push yesterday", "How did running make test fail?",
        ]),
        (Intent.SEEN, [
            "When was the identifier QX-7 first and last seen on screen?", "When did QX-7 appear for the first time?",
            "At what time was QX-7 last visible?", "When did I last see QX-7?",
            "first/last sighting of QX-7", "Since when and until when was QX-7 on screen?",
            "What are the first and last times at which QX-7 was seen?",
        ]),
        (Intent.LINES, [
            "What is the state of QX-7?", "At what time was QX-7 closed?", "Who is QX-7 assigned to?",
            "What is the telephone number of the sales team?",
        ]),
    ],
)  # fmt: skip
def test_a_question_is_taken_as_what_it_asks(intent: Intent, questions: list[str]) -> None:
    assert {question: plan(question).intent for question in questions} == dict.fromkeys(questions, intent)


@pytest.mark.parametrize(
    "question",
    [
        "Which program was used least last week?", "On which day did I visit the most pages?",
        "How many pages do I load per day?", "Which windows were open in the mornings?",
        "What was the average time in gedit?", "Which sites did I visit only once?",
    ],
)  # fmt: skip
def test_what_would_change_the_meaning_is_not_left_out(question: str) -> None:
    assert plan(question).intent is Intent.UNCLEAR
    assert plan(question).unclear


def test_the_kind_of_a_thing_is_no_word_that_its_line_must_hold() -> None:
    assert plan("When was the purchase order PO-7 last seen?").terms == ("PO-7",)
    assert plan("When was ticket 'QX-7' first visible?").terms == ()
    assert plan("When was entry 5526 of the list last seen?").terms == ("5526",)


def test_a_line_may_be_about_a_time_to_come() -> None:
    read = plan("Who is on call on 20 March?")
    assert (read.intent, read.stretch.start) == (Intent.LINES, NOW)
    assert {"call", "20", "March"} <= set(read.terms)


def test_hosts_and_programs_are_known_by_name_or_domain() -> None:
    read = plan("How long did I use Firefox for example.org?")
    assert (read.hosts, read.programs) == (("news.example.org",), ("firefox",))


def test_words_that_evidence_must_hold_are_told_from_words_that_ask() -> None:
    assert plan("At what time was QX-7 closed?").terms == ("QX-7", "closed")
    assert plan("Which site did I visit the most last week?").terms == ()
    assert plan("What is the state of QX-7?").terms == ("state", "QX-7")
    assert plan("What did the dialog titled 'Low toner' say?").phrases == ("Low toner",)


def test_an_end_of_time_and_a_rank_are_read() -> None:
    assert plan("When was QX-7 last seen?").ends == {"last"}
    assert plan("Which 3 domains were visited most?").top == 3
    assert plan("Rank the two programs with the most active time").top == 2
    assert plan("Which program was used most?").top == 1


@pytest.mark.parametrize(
    ("app", "path", "name"),
    [
        ("xterm", "C:\\Program Files\\XTerm\\xterm.exe", "XTerm"),
        ("notepad++", "C:\\Program Files\\Notepad++\\notepad++.exe", "Notepad++"),
        ("outlook", "C:\\Program Files\\Office\\OUTLOOK.EXE", "Outlook"),
        ("gedit", "/usr/bin/gedit", "gedit"),
    ],
)
def test_a_program_is_called_by_its_folder_or_file(app: str, path: str, name: str) -> None:
    assert program_name(app, path) == name
