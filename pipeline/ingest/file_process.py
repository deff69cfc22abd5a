"""Ingest's side of the process that works on files: asks ahead, and hands each answer to whoever waits for it."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import IO, Any, BinaryIO, NamedTuple, TypeVar, cast

from pipeline.errors import Blocked, ContractInvalid
from pipeline.ingest.look import StillBeingWritten
from pipeline.ingest.own_process import start_process
from pipeline.ingest.pace import Stopped
from pipeline.ingest.reader_frames import BadFrame, Kind, pack, read_frame, unpack
from pipeline.stores.metadata import Value

_WORKER = "pipeline.ingest.file_worker"
_MOST_AT_ONCE = 8
"""Requests that are on their way: enough to keep it busy, few enough to stop soon and to leave some for who waits."""
_Result = TypeVar("_Result")


class Answer(Future[_Result]):
    """What will come back. Who waits for it does meanwhile what the process has not begun."""

    def __init__(self, help_out: Callable[[], bool]) -> None:
        super().__init__()
        self._help_out = help_out

    def wait(self) -> None:
        """Wait until it is there, or nothing is left to help with."""
        while not self.done() and self._help_out():
            pass

    def result(self, timeout: float | None = None) -> _Result:
        """As `Future.result`."""
        self.wait()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `Future.exception`."""
        self.wait()
        return super().exception(timeout)


class _Request(NamedTuple):
    answer: Future[Any]
    kind: Kind
    values: tuple[Value, ...]
    make: Callable[[list[Value]], Any]
    do: Callable[[], Any]


class FileProcess:
    """One process that does what is asked of it in any order. `step` is asked before each request but the first ones.

    When it dies, all that waits fails with an OSError, and so does all that is asked later: see `is_alive`.
    """

    def __init__(self, threads: int, step: Callable[[], None]) -> None:
        """Start it. Raises OSError."""
        self._step = step
        self._process = start_process(_WORKER, str(threads), environment={}, buffered=True)
        self._lock = threading.Lock()
        self._queue: deque[_Request] = deque()
        self._ahead: deque[_Request] = deque()
        """What nobody waits for yet: sent when nothing else is to be."""
        self._waiting: dict[int, _Request] = {}
        self._next = 0
        self._end: BaseException | None = None
        self._thread = threading.Thread(target=self._listen, name="ingest-files", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it still answers."""
        return self._end is None

    def ask(
        self,
        kind: Kind,
        values: Iterable[Value],
        make: Callable[[list[Value]], _Result],
        do: Callable[[], _Result | Future[_Result]],
    ) -> Answer[_Result]:
        """Ask for something to be done, and have the answer made of the values that come back; `do` does it here.

        Files are hashed ahead, when nothing else waits.

        The answer may raise StillBeingWritten, ContractInvalid, OSError; Blocked, Stopped.
        """
        answer: Answer[_Result] = Answer(self._help_out)
        with self._lock:
            (self._ahead if kind is Kind.hash else self._queue).append(_Request(answer, kind, tuple(values), make, do))
            self._send()
        return answer

    def _help_out(self) -> bool:
        """Do the next request that was not sent, in the thread that waits; tells whether there was one."""
        with self._lock:
            request = self._next_queued()
        if request is None:
            return False
        if request.answer.set_running_or_notify_cancel():
            settle(request.answer, request.do)
        return True

    def end(self) -> None:
        """End it, once what was begun is done."""
        with self._lock:
            queued = self._take_queued()
            begun = [request.answer for request in self._waiting.values()]
        for request in queued:
            request.answer.cancel()
        wait(begun)
        self._close_requests()
        self._thread.join()
        self._process.wait()

    def _send(self) -> None:
        """Send what may be sent now; for the holder of the lock."""
        while self._end is not None or len(self._waiting) < _MOST_AT_ONCE:
            request = self._next_queued()
            if request is None:
                return
            if not request.answer.set_running_or_notify_cancel():
                continue
            if self._end is not None:
                request.answer.set_exception(self._end)
                continue
            self._next += 1
            self._waiting[self._next] = request
            try:
                self._requests.write(pack(request.kind, (self._next, *request.values)))
                self._requests.flush()
            except (OSError, ValueError):
                self._process.kill()  # whoever listens hears that it has died

    def _next_queued(self) -> _Request | None:
        """What is to be done next; for the holder of the lock."""
        queue = self._queue or self._ahead
        return queue.popleft() if queue else None

    def _take_queued(self) -> list[_Request]:
        """All that was not sent, which is queued no more; for the holder of the lock."""
        queued = [*self._queue, *self._ahead]
        self._queue.clear()
        self._ahead.clear()
        return queued

    @property
    def _requests(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with cast("BinaryIO", self._process.stdout) as replies:
            try:
                while (frame := read_frame(replies)) is not None:
                    self._hand_on(frame[0], unpack(frame[1]))
                    self._ask_for_more()
            except (BadFrame, KeyError, OSError):
                self._process.kill()
            finally:  # nobody is to wait for ever, whatever came back
                self._give_up(OSError(errno.EIO, "the process that works on files ended"))

    def _hand_on(self, kind: Kind, values: list[Value]) -> None:
        number, *values = values
        assert isinstance(number, int)
        with self._lock:
            request = self._waiting.pop(number)
        if kind is Kind.done:
            request.answer.set_result(request.make(values))
        else:
            request.answer.set_exception(_error(kind, values))

    def _ask_for_more(self) -> None:
        if self._queue or self._ahead:
            try:
                self._step()
            except (Blocked, Stopped) as error:
                self._give_up_queued(error)
        with self._lock:
            self._send()

    def _give_up_queued(self, error: BaseException) -> None:
        with self._lock:
            queued = self._take_queued()
        for request in queued:
            if request.answer.set_running_or_notify_cancel():
                request.answer.set_exception(error)

    def _give_up(self, error: BaseException) -> None:
        with self._lock:
            self._end = error
            begun, self._waiting = list(self._waiting.values()), {}
        for request in begun:
            request.answer.set_exception(error)
        self._give_up_queued(error)

    def _close_requests(self) -> None:
        with suppress(OSError):
            self._requests.close()


def settle(answer: Future[_Result], work: Callable[[], _Result | Future[_Result]]) -> None:
    """Do something, and let its answer be what it returns or raises, at once or later."""
    try:
        found = work()
        if isinstance(found, Future):
            found.add_done_callback(lambda later: settle(answer, later.result))
        else:
            answer.set_result(found)
    except Exception as error:  # noqa: BLE001 whoever asks the answer is told
        answer.set_exception(error)


def _error(kind: Kind, values: list[Value]) -> BaseException:
    if kind is Kind.unfinished:
        return StillBeingWritten(str(values[0]))
    if kind is Kind.rejected:
        return ContractInvalid(str(values[0]), remedy=str(values[1]))
    if kind is Kind.refused and isinstance(values[0], int) and isinstance(values[1], bytes):
        return OSError(values[0], os.strerror(values[0]), os.fsdecode(values[1]) or None)
    return OSError(errno.EIO, f"the process that works on files failed ({values[0]!r})")
