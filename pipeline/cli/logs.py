"""Logs on stderr: lines for people, or one JSON object a line for programs (`--log-json`, `AP_LOG_JSON=1`)."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Annotated, Any

import orjson
import typer

RUN_ID_VARIABLE, JSON_VARIABLE = "AP_RUN_ID", "AP_LOG_JSON"

_log = logging.getLogger("pipeline")


class JsonLines(logging.Formatter):
    """A record as one JSON object; what was given as `extra={"fields": …}` stands beside the message."""

    for_programs = True

    def format(self, record: logging.LogRecord) -> str:
        """`ts_utc, level, logger, message`, the hypervisor's `ap_run_id`, then the fields."""
        line: dict[str, Any] = {
            "ts_utc": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if run_id := os.environ.get(RUN_ID_VARIABLE):
            line["ap_run_id"] = run_id
        line.update(getattr(record, "fields", {}))
        return orjson.dumps(line, default=str).decode()


def set_up_logs(environment: Mapping[str, str] = os.environ) -> None:
    """Log to stderr as the environment asks for."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    if environment.get(JSON_VARIABLE, "") not in ("", "0"):
        log_json()


def log_json() -> None:
    """From now on write JSON objects, an unexpected error's too."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines())
    sys.excepthook = _log_unexpected


def is_json() -> bool:
    """Whether logs are for programs."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def say(message: str, level: int = logging.WARNING, **fields: Any) -> None:
    """Tell the one who called the command something: a line as it is, or among the JSON objects."""
    if is_json():
        _log.log(level, "%s", message, extra={"fields": fields})
    else:
        sys.stderr.write(f"{message}\n")


def _switch(wanted: bool) -> bool:
    if wanted:
        log_json()
    return wanted


LogJsonOption = Annotated[
    bool,
    typer.Option(
        "--log-json", callback=_switch, is_eager=True, help="Log one JSON object a line on stderr. [env: AP_LOG_JSON=1]"
    ),
]


def _log_unexpected(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    """Say what kind of error it was and where, not what it said: that may quote the screen."""
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
        trace = trace.tb_next
    _log.critical("unexpected error: %s", kind.__name__, extra={"fields": {"at": places}})
