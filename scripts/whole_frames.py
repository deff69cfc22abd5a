"""The same models run on every whole frame, as RapidOCR and programs like it run them; to compare with."""

from __future__ import annotations

import time
from collections import Counter

import cv2
import numpy as np
from rapidocr.utils.process_img import get_rotate_crop_image

from schemas.canonical import nfc
from schemas.serving import ReadFailed
from workers.images import Pixels, decode_image
from workers.ocr_lines import mend_line
from workers.pp_ocr import PpOcr, tensor_of

LEAST_WIDTH = 320


class WholeFrames(PpOcr):
    """Detection over the whole frame, then every line that it found, each time anew."""

    def __init__(self, threads: int, runtime: str) -> None:
        super().__init__(threads, runtime)
        self.spent: Counter[str] = Counter()

    def filled_width(self, columns: int) -> int:
        """Its own width, but 320 at least: as RapidOCR has it."""
        return max(LEAST_WIDTH, columns)

    def read(self, image: bytes) -> list[tuple[str, tuple[int, int, int, int]]]:
        """Text and box of each line of a frame."""
        pixels = decode_image(image)
        assert not isinstance(pixels, ReadFailed)
        lines = []
        for quad in self._quads(pixels):
            picture = np.asarray(get_rotate_crop_image(pixels, quad.astype(np.float32)), dtype=np.uint8)
            started = time.process_time_ns()
            read = self.recognize(picture)
            self._count("recognize", started)
            text = mend_line(picture, list(read.letters), list(read.places)).strip() if read.letters else ""
            if text and read.score >= 0.5:
                (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
                lines.append((nfc(text), (max(0, int(left)), max(0, int(top)), int(right) + 1, int(bottom) + 1)))
        return lines

    def _quads(self, pixels: Pixels) -> list[Pixels]:
        height, width = pixels.shape[:2]
        size = (max(32, round(width / 32) * 32), max(32, round(height / 32) * 32))
        scaled = np.asarray(cv2.resize(pixels, size), dtype=np.uint8)
        started = time.process_time_ns()
        heat = self.detector.run(tensor_of(scaled, size[0]))
        quads, _ = self._boxes(heat, (height, width))
        self._count("detect", started)
        return list(quads)

    def _count(self, kind: str, started: int) -> None:
        self.spent[f"{kind}_ns"] += time.process_time_ns() - started
        self.spent[kind] += 1
