"""What stands around a run and never changes what it does: its part of the machine, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from pipeline.budget.hold import Budget
from pipeline.dataroot import DataRoot
from pipeline.runs.servers import own_servers
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.runs.work import Work


class Watch:
    """What the run loop tells: first that it has the DataRoot to itself, then with what it works. This one is deaf."""

    def held(self) -> AbstractContextManager[object]:
        """Around all that a run does, with the run lock held."""
        return nullcontext()

    def around(self, work: Work) -> AbstractContextManager[object]:  # noqa: ARG002
        """Around the work itself, within the manifest."""
        return nullcontext()

    def preempted(self) -> None:
        """The gate has closed: on return nobody is stopped or woken by us. From any thread."""

    def require_room(self) -> None:
        """Raises Unavailable when the run takes more memory than it may."""


NOBODY_WATCHES = Watch()


class RunWatch(Watch):
    """Holds a run to its budget and notes in its manifest what that took."""

    def __init__(self, root: DataRoot, settings: Settings) -> None:
        """Raises UsageError for a limit in the environment that is no number."""
        self._root, self._settings = root, settings
        self.budget = self._new_budget()

    def held(self) -> AbstractContextManager[object]:
        self.budget = self._new_budget()
        return self.budget.held()

    def require_room(self) -> None:
        self.budget.require_room()

    @contextmanager
    def around(self, work: Work) -> Iterator[None]:
        work.manifest.content["budget"] = self.budget.snapshot()
        try:
            yield
        finally:
            work.manifest.content["budget"] = self.budget.snapshot()

    def preempted(self) -> None:
        self.budget.stand_back()

    def _new_budget(self) -> Budget:
        return Budget(self._root, self._settings, own_servers(self._root))
