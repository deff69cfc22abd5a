"""Which program a window belongs to."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath


def name_app(process_path: str) -> str | None:
    """Name a program by the file it runs, in lower case and without `.exe`; None when the path is empty.

    C:\\Program Files\\Mozilla Firefox\\firefox.exe  →  firefox
    /usr/bin/python3.11                            →  python3.11
    """
    name = PureWindowsPath(process_path).name if "\\" in process_path else PurePosixPath(process_path).name
    return name.lower().removesuffix(".exe") or None
