"""Programs by the file they run."""

from __future__ import annotations

import pytest

from pipeline.stages.name_apps import name_app


@pytest.mark.parametrize(
    ("process_path", "app"),
    [
        ("C:\\Program Files\\Mozilla Firefox\\firefox.exe", "firefox"),
        ("C:\\Program Files\\Google\\Chrome\\CHROME.EXE", "chrome"),
        ("C:/Tools/Code.exe", "code"),
        ("/usr/bin/python3.11", "python3.11"),
        ("/opt/My App/My App", "my app"),
        ("/snap/bin/ünï", "ünï"),
        ("explorer.exe", "explorer"),
        ("\\\\server\\share\\tool.exe", "tool"),
        ("", None),
        ("/", None),
        ("C:\\", None),
        (".exe", None),
    ],
)
def test_a_program_is_named_by_its_file(process_path: str, app: str | None) -> None:
    assert name_app(process_path) == app
