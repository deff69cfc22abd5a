"""What people call a program: a well-known name, that of its folder, or of its file; and where a question says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath

_WELL_KNOWN = {
    "acrobat": "Acrobat, Adobe Acrobat, Adobe Reader", "acrord32": "Adobe Reader, Acrobat Reader, Acrobat",
    "chrome": "Chrome, Google Chrome", "cmd": "Command Prompt, cmd",
    "code": "Code, VS Code, vscode, Visual Studio Code",
    "devenv": "Visual Studio", "excel": "Excel, Microsoft Excel, MS Excel",
    "explorer": "Explorer, File Explorer, Windows Explorer", "firefox": "Firefox, Mozilla Firefox",
    "idea64": "IntelliJ, IntelliJ IDEA, IDEA", "iexplore": "Internet Explorer", "ms-teams": "Teams, Microsoft Teams",
    "msedge": "Edge, Microsoft Edge", "mspaint": "Paint, MS Paint", "mstsc": "Remote Desktop",
    "notepad": "Notepad", "olk": "Outlook, Microsoft Outlook", "onenote": "OneNote, Microsoft OneNote",
    "outlook": "Outlook, Microsoft Outlook, MS Outlook", "powerpnt": "PowerPoint, Microsoft PowerPoint, MS PowerPoint",
    "powershell": "PowerShell, Windows PowerShell", "pwsh": "PowerShell", "pycharm64": "PyCharm",
    "7zfm": "7-Zip", "discord": "Discord", "filezilla": "FileZilla", "gimp": "GIMP", "obs64": "OBS, OBS Studio",
    "obsidian": "Obsidian", "postman": "Postman", "putty": "PuTTY", "slack": "Slack", "spotify": "Spotify",
    "thunderbird": "Thunderbird, Mozilla Thunderbird", "vlc": "VLC, VLC media player", "zoom": "Zoom",
    "soffice": "LibreOffice, LibreOffice Writer, LibreOffice Calc", "taskmgr": "Task Manager",
    "teams": "Teams, Microsoft Teams", "windowsterminal": "Windows Terminal, Terminal",
    "winword": "Word, Microsoft Word, MS Word",
}  # fmt: skip
"""Programs whose file is called otherwise than people call them, and all that they are called."""
_ORDINARY = frozenset({
    "access", "acrobat", "arc", "calculator", "calendar", "chrome", "clock", "cmd", "code", "console", "discord",
    "discovery", "edge", "excel", "explorer", "files", "finder", "idea", "mail", "maps", "music", "notes", "opera",
    "outlook", "paint", "people", "photos", "project", "safari", "signal", "slack", "store", "teams", "terminal",
    "things", "word", "zoom",
})  # fmt: skip
"""Names that are also words: a program only when written with a capital, or after a word like 'in' or 'using'."""
_BEFORE = re.compile(
    r"\b(?:in|inside|within|with|using|use|used|via|on|was|is|did|open|opened|for|my|launch(?:ed)?|"
    r"to)\s+$"
)


@dataclass(frozen=True)
class Program:
    """A program as facts name it, and as people do."""

    app: str
    name: str
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All that it is called, the longest first."""
        return tuple(sorted({self.app, self.app.removesuffix("64"), self.name, *self.also}, key=lambda n: (-len(n), n)))


def known_programs(rows: Iterable[tuple[str, str]]) -> list[Program]:
    """Programs by their facts' name and file; each once."""
    found: dict[str, Program] = {}
    for app, path in rows:
        found.setdefault(app, Program(app, program_name(app, path), _other_names(app, path)))
    return list(found.values())


def program_name(app: str, path: str) -> str:
    """The name that people know, else the name with its capitals where a folder of the path gives it, else the file's.

    C:\\Program Files\\XTerm\\xterm.exe                     →  XTerm
    C:\\Program Files (x86)\\Microsoft\\Edge\\msedge.exe     →  Edge
    /usr/bin/gedit                                       →  gedit
    """
    if app in _WELL_KNOWN:
        return _WELL_KNOWN[app].split(", ")[0]
    parts = _parts(path)
    same = [part for part in parts[:-1] if _squashed(part) == _squashed(app)]
    if same:
        return same[-1]
    stem = re.sub(r"\.exe$", "", parts[-1], flags=re.IGNORECASE) if parts else app
    return stem.capitalize() if stem.isupper() and len(stem) > 4 else stem


def named_in(text: str, programs: Sequence[Program]) -> dict[str, list[tuple[int, int]]]:
    """Programs that a text names, by their facts' name, with the places where it does."""
    found: dict[str, list[tuple[int, int]]] = {}
    for program in programs:
        for name in program.names:
            pattern = r"(?<![\w.\\/-])" + re.escape(name).replace(r"\ ", r"\s+") + r"(?![\w\\/-]|\.\w)"
            for match in re.finditer(pattern, text, re.IGNORECASE):
                inside = any(at <= match.start() and match.end() <= end for at, end in found.get(program.app, []))
                if not inside and _is_meant(text, match):
                    found.setdefault(program.app, []).append((match.start(), match.end()))
    return _longest(found)


def _is_meant(text: str, match: re.Match[str]) -> bool:
    said = match[0]
    if said.casefold() not in _ORDINARY:
        return True
    written_so = said[:1].isupper() and text[: match.start()].strip() != ""
    return written_so or _BEFORE.search(text[: match.start()].lower()) is not None


def _longest(found: dict[str, list[tuple[int, int]]]) -> dict[str, list[tuple[int, int]]]:
    """Without names that are a part of a longer one: 'Visual Studio' in 'Visual Studio Code'."""
    places = [place for own in found.values() for place in own]
    kept = {
        app: [
            (at, end) for at, end in own
            if not any(a <= at and end <= b and b - a > end - at for a, b in places)
        ] for app, own in found.items()
    }  # fmt: skip
    return {app: own for app, own in kept.items() if own}


def _other_names(app: str, path: str) -> tuple[str, ...]:
    """Names of folders that hold the program's own, and its name in words: `DiskWatch` → 'disk watch'."""
    folders = [part for part in _parts(path)[:-1] if _squashed(app) in _squashed(part) and len(app) > 2]
    words = " ".join(re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z]+", program_name(app, path)))
    known = _WELL_KNOWN.get(app, "").split(", ")
    return tuple(dict.fromkeys(name for name in (*known, *folders, words) if len(name) > 2))


def _parts(path: str) -> tuple[str, ...]:
    return PureWindowsPath(path.replace("/", "\\")).parts


def _squashed(name: str) -> str:
    return name.casefold().replace(" ", "")
