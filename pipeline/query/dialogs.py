"""Answers about message dialogs: small windows that say one thing and offer to be closed."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.query.activity import sightings
from pipeline.query.check import Claim
from pipeline.query.ends import spans
from pipeline.query.findings import Desk, Found, plural
from pipeline.query.layout import in_window, lines_on
from pipeline.query.mentions import Mention, of_frame
from pipeline.query.plan import Plan
from pipeline.query.timeline import follow
from pipeline.query.words import contains_term, covers
from pipeline.stores.index_rows import FrameRow

SMALL_PERCENT = 30
"""A window that covers more of the screen than this is no message dialog."""
MOST_LINES = 10
DIALOG_PROGRAMS = frozenset({
    "consent", "gmessage", "gxmessage", "kdialog", "msg", "notify-send", "qarma", "werfault", "wermgr", "xmessage",
    "yad", "zenity",
})  # fmt: skip
"""Programs that show nothing but dialogs."""

_BUTTONS = frozenset({
    "ok", "okay", "close", "cancel", "yes", "no", "retry", "abort", "ignore", "continue", "quit", "dismiss", "details",
    "report", "help", "send", "apply", "later", "restart", "reload", "wait", "end", "got it", "try again", "more info",
    "skip", "allow", "deny", "don't save", "learn more", "remind me later", "restart now", "not now",
    "abbrechen", "schließen", "ja", "nein", "wiederholen", "ignorieren", "fermer", "annuler", "oui", "non", "réessayer",
    "cerrar", "cancelar", "aceptar", "sí", "reintentar", "chiudi", "annulla", "riprova", "fechar", "sim", "não",
    "sluiten", "annuleren", "確認", "閉じる", "关闭", "确定", "取消", "キャンセル", "закрыть", "отмена",
})  # fmt: skip
_TROUBLE = re.compile(
    r"error|warning|fail|could ?n.t|can ?not|can.t|unable|not (?:be |been )?(?:found|responding|respond|"
    r"available|valid|"
    r"possible|enough|saved|connected|supported)|full|denied|refused|rejected|invalid|crash|exception|"
    r"incomplete|problem|"
    r"critical|fatal|corrupt|missing|expired?|lost|unexpected|timed? ?out|low (?:on|disk|memory|battery|space)|"
    r"(?:battery|memory|space|toner|ink) (?:is )?(?:very |running )?low|stopped|unsafe|danger|attention|caution|"
    r"disconnected|interrupted|exceeded|conflict|blocked|locked out|overheat|damaged|unreachable|unavailable|"
    r"not responding|must be|required|wrong|alert|urgent|almost|running out|out of|"
    r"fehler|warnung|fehlgeschlagen|nicht (?:gefunden|möglich|verfügbar|gespeichert)|konnte nicht|kann nicht|"
    r"verweigert|"
    r"abgelaufen|ungültig|abgestürzt|erreur|échec|échoué|avertissement|attention|impossible|introuvable|refusé|"
    r"advertencia|"
    r"falló|fallo|no se (?:puede|pudo|encuentra)|denegado|errore|avviso|non (?:riuscit|trovat|valid)|impossibile|"
    r"erro\b|aviso|falha|não foi possível|fout|waarschuwing|mislukt|kan niet|błąd|"
    r"ошибка|предупреждение|не удалось|エラー|警告|失敗|"
    r"错误|失败|오류",
    re.IGNORECASE,
)

_OF_TROUBLE = re.compile(r"error|warning|alert|fail|problem|trouble|issue", re.IGNORECASE)
"""Words of a question about dialogs that tell of trouble, not about all."""


@dataclass(frozen=True)
class _Dialog:
    title: str
    frames: tuple[FrameRow, ...]
    lines: tuple[Mention, ...]

    @property
    def says(self) -> list[Mention]:
        """Its lines without its buttons and its own title."""
        said = {
            line.text: line for line in self.lines
            if line.text.strip(" .&_").casefold() not in _BUTTONS and line.text.casefold() != self.title.casefold()
            and any(sign.isalpha() for sign in line.text)
        }  # fmt: skip
        return sorted(said.values(), key=lambda line: (line.box[1], line.box[0]))

    @property
    def text(self) -> str:
        """All that it says."""
        return " ".join(line.text for line in self.says)


def list_dialogs(plan: Plan, desk: Desk) -> Found:
    """Which error or warning dialogs were shown, and when."""
    of_trouble = _OF_TROUBLE.search(plan.question) is not None
    kind = "error or warning dialog" if of_trouble else "dialog"
    claims, firsts = [], []
    for dialog in _dialogs(plan, desk):
        said = f"{dialog.title} {dialog.text}"
        if (of_trouble and not _TROUBLE.search(said)) or not _fits(plan, said) or not _is_of(plan, dialog):
            continue
        title = of_frame(dialog.frames[0])
        text = f'"{dialog.title}" on {desk.day(title.ts)} at {desk.clock(title.ts)}'
        firsts.append(title)
        claims.append(Claim(f"{text}: {dialog.text}" if dialog.text else text, (title, *dialog.says)))
    nothing = f"no {kind} was seen"
    if not claims:
        return Found(nothing=nothing, leans_on="line_tracks")
    head = Claim(plural(len(claims), kind), tuple(firsts), (), lambda seen: len(seen) == len(claims))
    return Found([head, *claims], nothing, "line_tracks", 1 + (len(claims) == 1), ("frames", "line_tracks"))


def dialog_text(plan: Plan, desk: Desk) -> Found:
    """What a dialog said, and for how long it was open."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    known = sightings(desk, start, end)
    claims = []
    for dialog in _asked_for(plan, desk):
        claims.append(Claim(f'"{dialog.title}" said: {dialog.text}', tuple(dialog.says)))
        own = dialog.frames[0]
        for item in follow(known, start, end, lambda seen: (seen.hwnd, seen.text)):
            if (item.first.hwnd, item.first.text) == (own.hwnd, own.title) and item.start <= own.ts <= item.end:
                seconds = round(item.length / 1_000_000)
                text = (
                    f'"{dialog.title}" was open for {plural(seconds, "second")}, {desk.between(item.start, item.end)}'
                )
                cited = tuple(dict.fromkeys((known[item.first], known[item.next])))
                claims.append(Claim(text, cited, (), spans(item.first.ts, item.next.ts)))
    return Found(claims, "no such dialog was seen", "line_tracks", max(1, len(claims)), ("frames", "line_tracks"))


def _asked_for(plan: Plan, desk: Desk) -> list[_Dialog]:
    """The dialogs that a question is about: by a title or text in quotes, a title that it spells, or its words."""
    shown = [dialog for dialog in _dialogs(plan, desk) if dialog.says]
    if plan.phrases:
        chosen = [dialog for dialog in shown if any(contains_term(dialog.title, phrase) for phrase in plan.phrases)]
        chosen = chosen or [d for d in shown if any(contains_term(d.text, phrase) for phrase in plan.phrases)]
    else:
        spelled = [dialog for dialog in shown if contains_term(plan.question, dialog.title)]
        most = max((len(dialog.title) for dialog in spelled), default=0)
        chosen = [dialog for dialog in spelled if len(dialog.title) == most] or [
            dialog for dialog in shown
            if _is_of(plan, dialog) and _fits(plan, f"{dialog.title} {dialog.text}")
            and (plan.terms or plan.programs or _TROUBLE.search(f"{dialog.title} {dialog.text}"))
        ]  # fmt: skip
    if len(plan.ends) == 1 and chosen:
        pick = max if "last" in plan.ends else min
        return [pick(chosen, key=lambda dialog: dialog.frames[0].ts)]
    return chosen


def _dialogs(plan: Plan, desk: Desk) -> list[_Dialog]:
    """Message dialogs in order of time: one for each title, window and stay."""
    start, end = plan.stretch.start_us, plan.stretch.end_us
    groups: dict[tuple[str, int | None, str], list[FrameRow]] = {}
    for frame in desk.index.small_window_frames(start, end, SMALL_PERCENT):
        if frame.title and desk.allows(frame.app):
            groups.setdefault((frame.run_id, frame.hwnd, frame.title), []).append(frame)
    found = []
    for (_, _, title), frames in groups.items():
        lines = next((lines for frame in frames if (lines := in_window(lines_on(desk, frame), frame))), [])
        if frames[0].app in DIALOG_PROGRAMS or _offers_to_close(lines):
            found.append(_Dialog(title, tuple(frames), tuple(lines)))
    return found


def _offers_to_close(lines: list[Mention]) -> bool:
    """Whether lines are few and one of them is a button that closes; a menu or a file dialog has many."""
    return len(lines) <= MOST_LINES and any(line.text.strip(" .&_").casefold() in _BUTTONS for line in lines)


def _is_of(plan: Plan, dialog: _Dialog) -> bool:
    """Whether a dialog is of a program that the question names: it belongs to it, or has its name in the title."""
    own = dialog.frames[0].app in plan.programs
    return not plan.programs or own or any(contains_term(dialog.title, app) for app in plan.programs)


def _fits(plan: Plan, text: str) -> bool:
    return all(covers(text, word) for word in (*plan.terms, *plan.phrases))
