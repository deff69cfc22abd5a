"""How many images to put into one request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_REQUEST_S = 0.15
_MOST_IMAGES = 16
_MOST_BYTES = 1 << 20
_WEIGHT_OF_NEWEST = 0.3


class Grouping:
    """Sizes requests by how quickly the server answers: long enough to pay for the call, short enough to cancel.

    Starts with one image. What is in a request never changes what is read from an image, only the time it takes.
    """

    def __init__(self) -> None:
        self._seconds_per_image: float | None = None

    def size(self) -> int:
        """How many images the next request should hold."""
        if self._seconds_per_image is None:
            return 1
        return max(1, min(_MOST_IMAGES, int(_REQUEST_S / max(self._seconds_per_image, 1e-6))))

    def answered(self, images: int, seconds: float) -> None:
        """Learn from an answer; waiting in the server's queue counts, as it would for a cancelled request."""
        newest = seconds / images
        known = self._seconds_per_image
        self._seconds_per_image = newest if known is None else known + _WEIGHT_OF_NEWEST * (newest - known)

    def start_over(self) -> None:
        """A request of several failed as a whole: send single images until the server has proved itself again."""
        self._seconds_per_image = None


def split_by_bytes(images: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    """Cut (index, image) pairs into requests of at most 1 MiB, or of one image that is larger."""
    group: list[tuple[int, bytes]] = []
    total = 0
    for index, image in images:
        if group and total + len(image) > _MOST_BYTES:
            yield group
            group, total = [], 0
        group.append((index, image))
        total += len(image)
    if group:
        yield group
