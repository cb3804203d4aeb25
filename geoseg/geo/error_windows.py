"""The windows in which maps are worst and best, and what is seen there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.geo.classes import class_values
from geoseg.geo.error_map import ErrorMap
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Raster, Scene
from geoseg.geo.scene_images import SceneImage

_KNOWN, _BUSY = 0.5, 0.1
"""Shares of a window: that must be counted; of what is counted, that is not background."""


@dataclass(frozen=True, kw_only=True)
class ErrorWindow:
    """A window of one of the scenes, and how much of it is wrong."""

    scene: int
    """Which scene, from 0."""

    row: int
    """First row, pixels."""

    col: int
    """First column, pixels."""

    height: int
    """Pixels."""

    width: int
    """Pixels."""

    counted: int
    """Pixels that count."""

    wrong: int
    """Those that are wrong."""

    busy: int
    """Those that are not background in both the map and the labels."""

    @property
    def share(self) -> float:
        """Wrong pixels over counted ones."""
        return self.wrong / self.counted

    @property
    def window(self) -> Window:
        """As it is read."""
        return Window(self.col, self.row, self.width, self.height)

    def overlaps(self, other: ErrorWindow) -> bool:
        """Whether both share a pixel."""
        return (
            self.scene == other.scene
            and abs(self.row - other.row) < self.height
            and abs(self.col - other.col) < self.width
        )

    def to_dict(self) -> dict[str, Any]:
        """As the report tells it."""
        place = {key: getattr(self, key) for key in ("scene", "row", "col", "height", "width")}
        return {**place, "counted": self.counted, "wrong": self.wrong, "share": self.share}


@dataclass(frozen=True, kw_only=True)
class WindowChoice:
    """Windows to look at."""

    worst: tuple[ErrorWindow, ...]
    """The most wrong one first."""

    best: tuple[ErrorWindow, ...]
    """The least wrong one first; none of the worst."""

    def to_dict(self) -> dict[str, Any]:
        """As the report tells it."""
        return {key: [w.to_dict() for w in getattr(self, key)] for key in ("worst", "best")}


@dataclass(frozen=True, kw_only=True)
class WindowView:
    """What is seen in a window."""

    window: ErrorWindow
    """Where."""

    prediction: npt.NDArray[Any]
    """(height, width) class indices, the legend's ignored one where there is no data."""

    reference: npt.NDArray[Any]
    """(height, width) class indices, the legend's ignored one where unknown."""

    image: Raster | None = None
    """The scene there, in its own units; None where there is none."""

    is_natural: bool = False
    """Whether the image is red, green and blue, whose balance is to be kept."""


def choose_windows(maps: Sequence[ErrorMap], number: int) -> WindowChoice:
    """Choose the windows in which maps are worst and best.

    Windows count of which half is counted (if there are none, all with a counted pixel). The worst
    are those with the largest share of wrong pixels, if any; the best those with the smallest share
    of which a tenth is not background (if there are none, any), as it is no feat to find nothing
    where nothing is. Of equal ones the busier comes first, then the first in order of scenes, rows,
    columns. None overlaps another.

    Args:
        maps: What was counted of each scene.
        number: Most windows of each kind.

    Returns:
        At most `number` of each kind; both empty where nothing was counted.
    """
    every = [window for scene, each in enumerate(maps) for window in _windows(scene, each)]
    known = [w for w in every if w.counted >= _KNOWN * w.height * w.width] or every
    wrong = [window for window in known if window.wrong]
    worst = _take(wrong, number, lambda window: (-window.share, -window.busy), ())
    busy = [w for w in known if w.busy >= _BUSY * w.counted] or known
    best = _take(busy, number, lambda window: (window.share, -window.busy), worst)
    return WindowChoice(worst=worst, best=best)


def view_window(
    window: ErrorWindow, scene: Scene, labels: Labels, legend: Legend, image: SceneImage | None
) -> WindowView:
    """Read what is seen in a window.

    Args:
        window: Which one.
        scene: The class raster.
        labels: Its labels.
        legend: The classes of both.
        image: What both are of; None where there is none.

    Raises:
        SceneError: If a raster is broken there.
        LabelError: If the labels cannot be read there.
    """
    raster = scene.read(window.window)
    values = class_values(raster.data[0], raster.valid, legend)
    return WindowView(
        window=window,
        prediction=legend.encode(values),
        reference=legend.encode(labels.mask(raster.grid)),
        image=None if image is None else image.read(window.window),
        is_natural=image is not None and image.is_natural,
    )


def _windows(scene: int, counts: ErrorMap) -> list[ErrorWindow]:
    found = counts.windows
    return [
        ErrorWindow(
            scene=scene,
            row=found.rows[row],
            col=found.cols[col],
            height=found.height,
            width=found.width,
            counted=int(found.counted[row, col]),
            wrong=int(found.wrong[row, col]),
            busy=int(found.busy[row, col]),
        )
        for row, col in np.argwhere(found.counted)
    ]


def _take(
    windows: Sequence[ErrorWindow],
    number: int,
    rank: Callable[[ErrorWindow], tuple[float, int]],
    taken: Sequence[ErrorWindow],
) -> tuple[ErrorWindow, ...]:
    chosen: list[ErrorWindow] = []
    for window in sorted(windows, key=rank):
        if len(chosen) == number:
            break
        if not any(window.overlaps(other) for other in (*chosen, *taken)):
            chosen.append(window)
    return tuple(chosen)
