"""Forms of questions to the office desk; each takes its expected answer and its evidence from `office_truth`.

Where a question would be open to argument (a tie, a near second, a session that may be an absence) its form refuses.
"""

from __future__ import annotations

from typing import Any

from office_memory import NOW, stamp
from office_screens import Screen
from office_truth import (
    Dialog,
    dialog,
    errors,
    holds,
    host_of,
    identifiers,
    loads,
    longest_silence,
    minutes_in,
    on_screen,
    searches,
    showing,
    stays,
    switches,
    visits,
    windows,
)

END = "31 23:59"
Question = dict[str, Any]


def ids(found: list[Screen]) -> list[str]:
    return list(dict.fromkeys(frame.frame_id for frame in found))


def asked(kind: str, question: str, must: list[str], value: Any, evidence: list[Screen], **more: Any) -> Question:
    """A question in the common form; `avoid` are texts that the answer must not hold."""
    expected = {"must_include": must, "must_not_include": more.pop("avoid", []), "value": value}
    for key in [key for key in more if key.startswith("tolerance")]:
        expected[key] = more.pop(key)
    body = {"question": question, "now_utc": stamp(NOW), "kind": kind, "expected": expected}
    return {**body, **more, "evidence": ids(evidence)}


def most_visited(question: str, since: str, until: str) -> Question:
    counts = visits(since, until)
    (host, most), *others = counts.most_common()
    assert not others or others[0][1] < most, counts
    shown = [frame for frame in loads(since, until) if host_of(frame.address) == host]
    value = {"host": host, "visits": most}
    avoid = [other for other, _ in others]
    return asked("most_visited_site", question, [host], value, shown, avoid=avoid, notes=f"counts {dict(counts)}")


def visit_count(question: str, host: str, since: str, until: str) -> Question:
    shown = [frame for frame in loads(since, until) if host_of(frame.address) == host]
    return asked("visit_count", question, [str(len(shown))], len(shown), shown)


def top_domains(question: str, top: int, since: str, until: str) -> Question:
    counts = visits(since, until).most_common()
    assert counts[top - 1][1] > counts[top][1], counts
    assert len({n for _, n in counts[:top]}) == top, counts
    hosts = [host for host, _ in counts[:top]]
    shown = [frame for frame in loads(since, until) if host_of(frame.address) in hosts]
    value = [{"domain": host, "visits": n} for host, n in counts[:top]]
    return asked("top_domains", question, hosts, value, shown, notes=f"in this order; all counts {counts}")


def seen_windows(question: str, since: str, until: str, avoid: list[str]) -> Question:
    found = windows(since, until)
    value = [
        {"program": program, "title": title, "first": stamp(shown[0].taken), "last": stamp(shown[-1].taken)}
        for (program, title), shown in found.items()
    ]
    must = [shown[0].page for shown in found.values()]
    shown = [frame for all_shown in found.values() for frame in (all_shown[0], all_shown[-1])]
    return asked("unique_windows", question, must, value, shown, avoid=avoid, tolerance_s=120)


def seen_domains(question: str, since: str, until: str, avoid: list[str]) -> Question:
    found: dict[str, list[Screen]] = {}
    for group in windows(since, until).values():
        for frame in (frame for frame in group if frame.window.browser):
            found.setdefault(host_of(frame.address), []).append(frame)
    ends = {host: sorted(shown, key=lambda frame: frame.taken) for host, shown in found.items()}
    value = [
        {"domain": host, "first": stamp(shown[0].taken), "last": stamp(shown[-1].taken)} for host, shown in ends.items()
    ]
    evidence = [frame for shown in ends.values() for frame in (shown[0], shown[-1])]
    return asked("unique_domains", question, list(ends), value, evidence, avoid=avoid, tolerance_s=120)


def longest(question: str, day: str, since: str = "00:00", until: str = "23:59") -> Question:
    inside = [stay for stay in stays(day) if since <= f"{stay.start:%H:%M}" and f"{stay.end:%H:%M}" <= until]
    best, second = sorted(inside, key=lambda stay: -stay.minutes)[:2]
    assert best.minutes >= second.minutes + 20
    assert longest_silence(best.start, best.end).total_seconds() <= 1800
    value = {"program": best.program, "start": stamp(best.start), "end": stamp(best.end), "minutes": best.minutes}
    shown = showing("", f"{best.start:%d %H:%M:%S}", f"{best.end:%d %H:%M:%S}")
    must = [best.program, f"{best.start:%H:%M}"]
    return asked("longest_session", question, must, value, shown, tolerance_min=3, notes=f"next {second.minutes}")


def busiest(question: str, day: str) -> Question:
    (hour, most), (_, second) = switches(day).most_common(2)
    assert most > second + 1
    value = {"start": f"2025-10-{day}T{hour:02d}:00:00.000Z", "switches": most}
    shown = showing("", f"{day} {hour:02d}:00", f"{day} {hour + 1:02d}:00")
    notes = f"count tolerance 1; next hour has {second}"
    return asked("most_switches", question, [f"{hour:02d}:00"], value, shown, notes=notes)


def dialog_open(question: str, title: str, day: str, text: str, avoid: list[str]) -> Question:
    found = dialog(title, day)
    value = {"text": text, "opened": stamp(found.screen.at), "closed": stamp(found.closed), "seconds": found.seconds}
    return asked("dialog_duration", question, [text], value, found.frames, avoid=avoid, tolerance_s=10)


def dialog_says(question: str, title: str, day: str, text: str, avoid: list[str]) -> Question:
    return asked("dialog_text", question, [text], text, dialog(title, day).frames, avoid=avoid)


def error_list(question: str, since: str, until: str, *, dates: bool = True) -> Question:
    def titled(found: list[Dialog]) -> list[str]:
        return list(dict.fromkeys(one.screen.title for one in found))

    found = errors(since, until)
    must = titled(found) + [one.screen.day for one in found if dates]
    avoid = [title for title in titled(errors("20", END)) if title not in titled(found)]
    avoid += ["Save As", "Reminder(s)", "Find and Replace"]
    value = [{"title": one.screen.title, "date": one.screen.day} for one in found]
    return asked("error_messages", question, must, value, [one.frames[0] for one in found], avoid=avoid)


def seen(question: str, text: str, *, only: str = "", kind: str = "identifier_seen") -> Question:
    shown = [frame for frame in showing("") if holds(frame, text)]
    first, last = shown[0], shown[-1]
    ends = [first] if only == "first" else [last] if only == "last" else [first, last]
    value = {name: stamp(frame.taken) for name, frame in zip([only] if only else ["first", "last"], ends, strict=True)}
    must = [part for frame in ends for part in (frame.day, f"{frame.taken:%H:%M}")]
    return asked(kind, question, must, value, ends, tolerance_s=60, about=text)


def recent(question: str, pattern: str, since: str, until: str = END) -> Question:
    found = identifiers(pattern, since, until)
    value = [
        {"id": name, "first": stamp(shown[0].taken), "last": stamp(shown[-1].taken)} for name, shown in found.items()
    ]
    avoid = [name for name in identifiers(pattern, "20", END) if name not in found]
    evidence = [frame for shown in found.values() for frame in (shown[0], shown[-1])]
    return asked("identifiers_recent", question, list(found), value, evidence, avoid=avoid, tolerance_s=60)


def last_search(question: str, since: str = "20", until: str = END, host: str = "find.example.org") -> Question:
    term, frame = searches(since, until, host)[-1]
    avoid = [other for other, _ in searches("20", END) if other != term]
    return asked("last_search", question, [term], term, [frame], avoid=avoid)


def top_programs(question: str, top: int, since: int, until: int) -> Question:
    counts = minutes_in(since, until).most_common()
    assert len({n for _, n in counts[: top + 1]}) == top + 1
    value = [{"program": program, "minutes": minutes} for program, minutes in counts]
    return asked("top_programs", question, [program for program, _ in counts[:top]], value, [], notes="in this order")


def command_error(question: str, text: str, avoid: list[str] | None = None) -> Question:
    return asked("error_message", question, [text], text, showing(text), avoid=avoid or [])


def programs_used(question: str, since: str, until: str, avoid: list[str]) -> Question:
    shown = showing("", since, until)
    must = list(dict.fromkeys(frame.window.program for frame in shown))
    return asked("programs_used", question, must, must, shown, avoid=avoid)


def how_long(question: str, program: str, day: str) -> Question:
    minutes = minutes_in(int(day), int(day))[program]
    shown = [frame for frame in showing("", day, f"{day} 23:59") if frame.window.program == program]
    return asked("time_in_program", question, [str(minutes)], {"minutes": minutes}, shown, tolerance_min=2)


def screen_at(question: str, moment: str, must: str, **more: Any) -> Question:
    frame = on_screen(moment)
    return asked("screen_at", question, [must], {"title": frame.title, "ts_utc": stamp(frame.taken)}, [frame], **more)


def pages(question: str, since: str, until: str, must: list[str], avoid: list[str], browser: str = "") -> Question:
    found = [frame for frame in loads(since, until) if browser in frame.window.program]
    value = [{"title": frame.title, "address": frame.address, "ts_utc": stamp(frame.taken)} for frame in found]
    return asked("pages_opened", question, must, value, found, avoid=avoid)


def line(question: str, anchor: str, value: str, avoid: list[str] | None = None, **when: str) -> Question:
    """A question with one right place: frames that show the anchor show the value as well."""
    return asked("line", question, [value], value, showing(anchor, **when), avoid=avoid or [])
