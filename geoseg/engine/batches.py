"""Windows gathered into batches for a network."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoseg.engine.backends import Backend
from geoseg.engine.timings import Timings
from geoseg.errors import WorkError

logger = logging.getLogger(__name__)

Place = tuple[int, int]
"""Row and column index of a window in its layout."""


def no_room(subject: str, device: torch.device) -> WorkError:
    """What to say when there is no memory for one window of a scene."""
    other = "--max-memory" if device.type == "cpu" else "--device cpu"
    problem = f"{device} has no memory for one window"
    return WorkError(subject, problem, f"Give a smaller --window, or {other}")


class Batcher:
    """Copies windows side by side and runs the network over them.

    Where a GPU has no memory for a batch, it is run in halves from then on.

    Args:
        backend: Runs the network.
        size: Windows in a batch.
        subject: The scene, for errors.
        phase: Places to leave out of the first batch, so that a run that goes on where another
            was left has the same batches: a network may round otherwise at another place.
    """

    def __init__(self, backend: Backend, size: int, subject: str, phase: int = 0) -> None:
        self._backend = backend
        self._size = size
        self._most = size
        self._subject = subject
        self._phase = phase
        self._pixels: Tensor | None = None
        self._valid: npt.NDArray[np.bool_] | None = None
        self._places: list[Place | None] = []
        self._is_all_valid = True

    @property
    def is_full(self) -> bool:
        """Whether the windows must run before another is put."""
        return len(self._places) == self._size

    def put(
        self,
        pixels: Tensor,
        channels: tuple[int, ...] | None,
        valid: npt.NDArray[np.bool_],
        place: Place,
    ) -> None:
        """Take a window.

        Args:
            pixels: (bands, window, window), raw.
            channels: Bands that the network wants; None for all.
            valid: (window, window).
            place: Where its scores belong.
        """
        for _ in range(self._phase):
            self._copy(pixels, channels, valid, None)
        self._phase = 0
        self._copy(pixels, channels, valid, place)

    def fill(self, least: int | None = None) -> None:
        """Repeat the last window; nothing comes of the repeated ones.

        Args:
            least: Until there are so many windows, if there are any; None for a full batch.
        """
        least = self._size if least is None else min(least, self._size)
        while 0 < len(self._places) < least:
            assert self._pixels is not None and self._valid is not None
            here = len(self._places)
            self._pixels[here].copy_(self._pixels[here - 1])
            self._valid[here] = self._valid[here - 1]
            self._places.append(None)

    @property
    def last(self) -> Place | None:
        """The window that waits for others and was put last."""
        return self._places[-1] if self._places else None

    def break_off(self) -> None:
        """Fill the batch; the next one goes on where this one has ended with windows."""
        windows = len(self._places)
        self.fill()
        self._phase = windows

    def run(self, timings: Timings) -> Iterator[tuple[list[Place], Tensor]]:
        """Run the windows that wait.

        Yields:
            Places of some windows, and their scores (n, classes, window, window), which hold
            until the next are asked for.

        Raises:
            WorkError: If there is no memory for one window.
        """
        start = 0
        while start < len(self._places):
            part = slice(start, min(start + self._most, len(self._places)))
            scores = self._scores(part, timings)
            if scores is None:
                continue
            places = self._places[part]
            kept = [number for number, place in enumerate(places) if place is not None]
            if kept:
                wanted = [place for place in places if place is not None]
                yield wanted, scores[kept[0] : kept[-1] + 1]
            start = part.stop
        self._places, self._is_all_valid = [], True

    def _scores(self, part: slice, timings: Timings) -> Tensor | None:
        """Scores of some windows; None where there is no memory for so many."""
        assert self._pixels is not None
        assert self._valid is not None
        valid = None if self._is_all_valid else torch.from_numpy(self._valid[part])
        try:
            with timings.measure("forward"):
                return self._backend.scores(self._pixels[part], valid)
        except torch.OutOfMemoryError as error:
            if self._most == 1:
                raise no_room(self._subject, self._backend.device) from error
        self._most //= 2
        torch.cuda.empty_cache()
        logger.warning(
            "%s: no memory for a batch; going on with %d windows at once", self._subject, self._most
        )
        return None

    def _copy(
        self,
        pixels: Tensor,
        channels: tuple[int, ...] | None,
        valid: npt.NDArray[np.bool_],
        place: Place | None,
    ) -> None:
        if self._pixels is None or self._valid is None:
            bands = pixels.shape[0] if channels is None else len(channels)
            self._pixels = pixels.new_empty((self._size, bands, *pixels.shape[1:]))
            self._valid = np.empty((self._size, *valid.shape), dtype=np.bool_)
        here = len(self._places)
        if channels is None:
            self._pixels[here].copy_(pixels)
        else:
            for channel, band in enumerate(channels):
                self._pixels[here, channel].copy_(pixels[band])
        self._valid[here] = valid
        self._is_all_valid = self._is_all_valid and bool(valid.all())
        self._places.append(place)
