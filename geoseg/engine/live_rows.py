"""Class values and confidences on their way to the tracer, handed over while they are made."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.engine.confidence import averaged
from geoseg.geo.class_rows import Block

HELD = 3
"""Pieces of rows that are in memory at most: one is filled, one waits, one is traced."""

_ROWS = 128
"""Rows that the tracer takes at once, for it needs many times their bytes."""

_LOOK_SECONDS = 0.1
"""How often somebody who waits looks whether the other side is still there."""


class Abandoned(Exception):  # noqa: N818 - nothing is wrong
    """Raised where rows are taken, when no more will come."""


@dataclass(frozen=True, slots=True)
class _Piece:
    classes: npt.NDArray[Any]
    confidences: npt.NDArray[np.uint8]


class LiveRows:
    """The class values of a scene that is being predicted, and behind them their confidences.

    One thread puts rows from the top down, another takes them, once. It waits for rows, and
    is waited for where it is slower: no more than `HELD` pieces are ever in memory.

    Args:
        shape: Height and width.
        dtype: Of the class values.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self._shape, self._dtype = shape, dtype
        self._queue: queue.Queue[_Piece] = queue.Queue(HELD - 2)
        self._waits, self._left, self._given_up = (threading.Event() for _ in range(3))
        self._confidences: npt.NDArray[np.uint8] = np.empty((0, 0, 0), np.uint8)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the class values."""
        return self._dtype

    def put(self, classes: npt.NDArray[Any], confidences: npt.NDArray[np.uint8]) -> bool:
        """Hand over the next rows; nobody may change them any more.

        Args:
            classes: Values (rows, width).
            confidences: (1 or 2, rows, width), as `ConfidenceProduct` encodes them.

        Returns:
            Whether they will be taken; False once the taker has `leave`d.
        """
        while not self._left.is_set():
            try:
                self._queue.put(_Piece(classes, confidences), timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def wait_for_taker(self) -> None:
        """Wait until somebody wants the first rows, or has left."""
        self._waits.wait()

    def leave(self) -> None:
        """Tell that no more rows are taken."""
        self._left.set()
        self._waits.set()

    def give_up(self) -> None:
        """Tell that no more rows will come, so that `blocks` ends with `Abandoned`."""
        self._given_up.set()

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, as they come; once only.

        Raises:
            Abandoned: If some will never come.
        """
        self._waits.set()
        height, _ = self._shape
        top = 0
        while top < height:
            piece = self._next()
            for row in range(0, len(piece.classes), _ROWS):
                classes = piece.classes[row : row + _ROWS]
                self._confidences = piece.confidences[:, row : row + _ROWS]
                yield top, classes
                top += len(classes)

    def fields(self, top: int, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """What is averaged over polygons (fields, rows, width), of the block just taken."""
        del top, values
        return averaged(self._confidences)

    def _next(self) -> _Piece:
        while not self._given_up.is_set():
            try:
                return self._queue.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
        raise Abandoned
