"""What people call programs, and where a question says it."""

from __future__ import annotations

import pytest

from pipeline.query.programs import known_programs, named_in, program_name

PROGRAMS = known_programs(
    [
        ("code", r"C:\Users\me\AppData\Local\Programs\Microsoft VS Code\Code.exe"),
        ("devenv", r"C:\Program Files\Microsoft Visual Studio\devenv.exe"),
        ("msedge", r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe"),
        ("winword", r"C:\Program Files\Microsoft Office\root\Office16\WINWORD.EXE"),
        ("diskwatch", r"C:\Program Files\DiskWatch\diskwatch.exe"),
        ("gedit", "/usr/bin/gedit"),
    ]
)


@pytest.mark.parametrize(
    ("app", "path", "name"),
    [
        ("msedge", r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe", "Edge"),
        ("excel", r"C:\Program Files\Microsoft Office\EXCEL.EXE", "Excel"),
        ("powershell", r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe", "PowerShell"),
        ("acmetool", r"C:\Tools\ACMETOOL.EXE", "Acmetool"),
        ("diskwatch", r"C:\Program Files\DiskWatch\diskwatch.exe", "DiskWatch"),
    ],
)
def test_a_program_has_the_name_that_people_use(app: str, path: str, name: str) -> None:
    assert program_name(app, path) == name


@pytest.mark.parametrize(
    ("question", "apps"),
    [
        ("How long did I use Visual Studio Code?", ["code"]),
        ("how long did i use visual studio", ["devenv"]),
        ("time in vs code today", ["code"]),
        ("minutes in edge", ["msedge"]),
        ("How long was Microsoft Edge open?", ["msedge"]),
        ("How long was disk watch open?", ["diskwatch"]),
        ("When was MS Word last used?", ["winword"]),
        ("When was the word Kestrel last seen?", []),
        ("What is the error code of the printer?", []),
        ("notes at the edge of the page", []),
        ("When was gedit.conf edited?", []),
    ],
)
def test_programs_are_told_from_words_that_are_written_alike(question: str, apps: list[str]) -> None:
    assert sorted(named_in(question, PROGRAMS)) == apps
