"""Windows of labelled scenes: the same ones each time, or drawn by chance while training."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.cutting import Cut, LabelledScene, cut_windows
from geoseg.geo.splits import SplitPlan
from geoseg.geo.windows import centred_window, random_windows
from geoseg.nn.cropping import CROP_TRIES, is_varied
from geoseg.nn.dataset import Pair
from geoseg.nn.drawing import ANYWHERE
from geoseg.nn.pair_checks import check_pair

_DRAWS = 16
"""Windows drawn at once in search of one that lies in the train split."""

_DRAWS_AT_ONCE = 64
_ROUNDS = 8
_READS = 3
"""Windows read at most in search of one with labels."""


class Place(NamedTuple):
    """A window of one of the scenes."""

    scene: int
    """Index of the scene."""

    window: Window
    """Where on it."""


class WindowSource:
    """The same windows whenever they are asked for: those of validation.

    Args:
        scenes: The labelled scenes, of one legend.
        places: The windows.
        size: Side of a window in pixels; scenes smaller than it are padded.
    """

    def __init__(self, scenes: Sequence[LabelledScene], places: Sequence[Place], size: int) -> None:
        self.legend = scenes[0].labels.legend
        self.labelled = list(scenes)
        self.scenes = tuple(each.scene.path for each in scenes)
        self.places = list(places)
        self.size = size

    def __len__(self) -> int:
        return len(self.places)

    def scene(self, index: int) -> int:
        """Number of the scene of a window."""
        return self.places[index].scene

    def name(self, index: int) -> str:
        """The scene of a window, and where it lies there."""
        return self._name(self.places[index])

    def read(self, index: int, rng: np.random.Generator, focus: int = ANYWHERE) -> Pair:
        """Read a window; neither `rng` nor `focus` is used.

        Raises:
            SceneError: If the scene is broken there, or infinite.
            LabelError: If the labels cannot be read.
        """
        del rng, focus
        return self._pair(self.places[index], self.cut(self.places[index]))

    def cut(self, place: Place) -> Cut:
        """Read a window with its labels."""
        return next(self._cuts(place, self.size))

    def _cuts(self, place: Place, size: int) -> Iterator[Cut]:
        return cut_windows(self.labelled[place.scene], [place.window], size)

    def count_classes(self, place: Place) -> npt.NDArray[np.int64]:
        """Pixels of each class (classes,) by the labels of a window alone, in legend order."""
        values, counts = np.unique(self._labels(place), return_counts=True)
        found = dict(zip(values.tolist(), counts.tolist(), strict=True))
        return np.array([found.get(value, 0) for value in self.legend.values], np.int64)

    def _labels(self, place: Place) -> npt.NDArray[np.integer[Any]]:
        labelled = self.labelled[place.scene]
        return labelled.labels.mask(labelled.scene.grid.crop(place.window))

    def _pair(self, place: Place, cut: Cut) -> Pair:
        pair = Pair(self._name(place), cut.data, cut.mask, cut.valid)
        return check_pair(pair, self.legend.ignore, SceneError)

    def _name(self, place: Place) -> str:
        stem = os.path.basename(self.scenes[place.scene])
        return f"{stem} row {place.window.row_off} col {place.window.col_off}"


@dataclass(frozen=True, kw_only=True)
class WindowRule:
    """How windows are drawn for the places of an epoch."""

    size: int
    """Side of a window in pixels."""

    near: bool = False
    """Whether a window lies near the place it is drawn for, or anywhere on its scene."""

    cat_max_ratio: float = 1.0
    """Share of its labelled pixels that one class may cover before a window is drawn again."""


class DrawnSource(WindowSource):
    """Other windows each time, of the train split only: those to learn from.

    Args:
        scenes: The labelled scenes, of one legend.
        places: Windows that show the train split once; each stands for one that is drawn.
        plan: Says which windows belong to the train split.
        rule: How windows are drawn.
    """

    def __init__(
        self,
        scenes: Sequence[LabelledScene],
        places: Sequence[Place],
        plan: SplitPlan,
        rule: WindowRule,
    ) -> None:
        super().__init__(scenes, places, rule.size)
        self._plan = plan
        self._rule = rule

    def read(self, index: int, rng: np.random.Generator, focus: int = ANYWHERE) -> Pair:
        """Draw a window for place `index`, with labels if one is found.

        Args:
            index: Number of the place.
            rng: The source of chance.
            focus: Class, in legend order, around one of whose pixels in the place the window
                lies.

        Raises:
            SceneError: If the scene is broken there, or infinite.
            LabelError: If the labels cannot be read.
        """
        place, ratio = self.places[index], self._rule.cat_max_ratio
        tries = CROP_TRIES if ratio < 1 else _READS
        for window in islice(self._candidates(place, rng, focus), tries):
            drawn = Place(place.scene, window)
            if ratio < 1 and not is_varied(self.count_classes(drawn), ratio):
                continue
            cut = self.cut(drawn)
            if cut.class_counts.any():
                return self._pair(drawn, cut)
        return super().read(index, rng)

    def _candidates(self, place: Place, rng: np.random.Generator, focus: int) -> Iterator[Window]:
        """Windows that lie in the train split, as the rule draws them."""
        draws = self._draws(place, rng, focus)
        for _ in range(_ROUNDS):
            windows = list(islice(draws, _DRAWS))
            splits = self._plan.assign(place.scene, windows)
            yield from (w for w, split in zip(windows, splits, strict=True) if split == "train")

    def _draws(self, place: Place, rng: np.random.Generator, focus: int) -> Iterator[Window]:
        shape = self.labelled[place.scene].scene.grid.shape
        if focus != ANYWHERE:
            pixels = np.argwhere(self._labels(place) == self.legend.values[focus])
            corner = np.array([place.window.row_off, place.window.col_off])
            while len(pixels):
                row, col = (pixels[rng.integers(len(pixels))] + corner).tolist()
                yield centred_window(row, col, shape, self.size)
        while self._rule.near:
            shift = rng.integers(-self.size // 4, self.size // 4 + 1, 2)
            yield _shifted(place.window, shift, shape)
        while True:
            yield from random_windows(shape, self.size, _DRAWS_AT_ONCE, rng)


def _shifted(window: Window, shift: npt.NDArray[np.int64], shape: tuple[int, int]) -> Window:
    """The window moved by rows and columns, as far as the scene reaches."""
    row = min(max(window.row_off + int(shift[0]), 0), shape[0] - window.height)
    col = min(max(window.col_off + int(shift[1]), 0), shape[1] - window.width)
    return Window(col, row, window.width, window.height)
