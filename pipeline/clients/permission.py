"""Whether requests may be sent: asked before each one, and told to those in flight."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol


class Permission(Protocol):
    """The gate, as clients see it."""

    def __call__(self) -> bool:
        """Whether a request may be sent now."""
        ...

    def tell(self, ended: Callable[[], None]) -> AbstractContextManager[None]:
        """Within this, have `ended` called once, from any thread, as soon as nothing may be sent any more."""
        ...
