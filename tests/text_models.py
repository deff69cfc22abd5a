"""A TextModel for tests that is quick: it knows letters by nothing but their pixels, and counts what it is asked."""

import hashlib
from collections import Counter

import cv2
import numpy as np

from workers.images import Pixels
from workers.lookalikes import Letter
from workers.text_model import Box, Interrupted, RecognizedLine


class PixelModel:
    """Reads a picture as a word made of its hash, and detects what is darker than its mean."""

    provider_id = "test"
    model_id = "pixels"

    def __init__(self, name: str = "one") -> None:
        self.fingerprint = {"name": name}
        self.calls: Counter[str] = Counter()
        self.interrupted = False

    def detect(self, picture: Pixels) -> list[Box]:
        self._called("detect")
        grey = picture.mean(axis=2)
        dark = (grey < grey.mean()).astype(np.uint8)
        wide = np.asarray(cv2.dilate(dark, np.ones((1, 9), np.uint8)))
        contours, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        boxes = [cv2.boundingRect(contour) for contour in contours]
        return sorted((left, top, left + across, top + down) for left, top, across, down in boxes if across > 8 < down)

    def recognize(self, line: Pixels) -> RecognizedLine:
        self._called("recognize")
        digest = hashlib.sha256(repr(line.shape).encode() + line.tobytes()).hexdigest()
        text = digest[: 3 + line.shape[1] % 7]
        letters = tuple(Letter(mark, {mark: 0.5}) for mark in text)
        places = tuple((place + 0.5) * line.shape[1] / len(text) for place in range(len(text)))
        return RecognizedLine(text, 0.4 + int(digest[:2], 16) / 500, letters, places)

    def interrupt(self) -> None:
        self.interrupted = True

    def rearm(self) -> None:
        self.interrupted = False

    def _called(self, kind: str) -> None:
        if self.interrupted:
            raise Interrupted("told to end")
        self.calls[kind] += 1
