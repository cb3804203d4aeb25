"""Training straight from scenes: windows are drawn while the network learns, no tiles are cut."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from rasterio.windows import Window

from geoseg.errors import ConfigError
from geoseg.geo.cutting import Cut, LabelledScene, cut_windows
from geoseg.geo.labelled import open_labelled
from geoseg.geo.labels import LabelOptions
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import SceneOptions
from geoseg.geo.sampling import ClassPlaces, Sampling, draw_windows, find_places
from geoseg.geo.splits import Split, SplitOptions, SplitPlan, plan_splits
from geoseg.geo.stats import BandStats, BandStatsAccumulator
from geoseg.geo.windows import sliding_windows
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import CachedSource, Pair
from geoseg.nn.option_keys import keys_for_options
from geoseg.nn.sources import TrainingData, fingerprint

_DRAWS = 16
"""Windows drawn at once in search of one that lies in the train split."""

_ROUNDS = 8
_READS = 3
"""Windows read at most in search of one with labels."""

_MEASURED_WINDOWS = 256
_DEFAULT_VAL_SHARE = 0.2


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

    def read(self, index: int, rng: np.random.Generator) -> Pair:
        """Read a window; `rng` is not used.

        Raises:
            SceneError: If the scene is broken there.
            LabelError: If the labels cannot be read.
        """
        del rng
        return self._pair(self.places[index], self.cut(self.places[index]))

    def cut(self, place: Place) -> Cut:
        """Read a window with its labels."""
        return next(cut_windows(self.labelled[place.scene], [place.window], self.size))

    def _pair(self, place: Place, cut: Cut) -> Pair:
        return Pair(self._name(place), cut.data, cut.mask, cut.valid)

    def _name(self, place: Place) -> str:
        stem = os.path.basename(self.scenes[place.scene])
        return f"{stem} row {place.window.row_off} col {place.window.col_off}"


class DrawnSource(WindowSource):
    """Other windows each time, of the train split only: those to learn from.

    Args:
        scenes: The labelled scenes, of one legend.
        places: Windows that show the train split once; each stands for one drawn near chance,
            of its scene, so that scenes come as often as they are large.
        sampling: How windows are drawn.
        plan: Says which windows belong to the train split.
        class_places: Where classes lie on each scene; for `balanced` sampling.
    """

    def __init__(
        self,
        scenes: Sequence[LabelledScene],
        places: Sequence[Place],
        sampling: Sampling,
        plan: SplitPlan,
        class_places: Sequence[ClassPlaces] | None = None,
    ) -> None:
        super().__init__(scenes, places, sampling.size)
        self._sampling = sampling
        self._plan = plan
        self._class_places = class_places

    def read(self, index: int, rng: np.random.Generator) -> Pair:
        """Draw a window of the scene of place `index`, with labels if one is found.

        Raises:
            SceneError: If the scene is broken there.
            LabelError: If the labels cannot be read.
        """
        place = self.places[index]
        for window in self._draw(place.scene, rng)[:_READS]:
            drawn = Place(place.scene, window)
            cut = self.cut(drawn)
            if cut.class_counts.any():
                return self._pair(drawn, cut)
        return super().read(index, rng)

    def _draw(self, scene: int, rng: np.random.Generator) -> list[Window]:
        grid = self.labelled[scene].scene.grid
        class_places = self._class_places[scene] if self._class_places else None
        draws = draw_windows(grid, self._sampling, rng, class_places)
        for _ in range(_ROUNDS):
            windows = list(islice(draws, _DRAWS))
            splits = self._plan.assign(scene, windows)
            found = [w for w, split in zip(windows, splits, strict=True) if split == "train"]
            if found:
                return found
        return []


@keys_for_options()
def open_scenes(config: DataConfig, seed: int) -> TrainingData:
    """Open scenes and their labels for training.

    Args:
        config: Names scenes, labels and legend, and how ground is parted.
        seed: Of the split and of where classes are looked for.

    Raises:
        SceneError: If a scene cannot be read.
        LabelError: If labels cannot be read, or touch no scene.
        ConfigError: If there is too little ground for two splits.
    """
    scenes = _open_labelled(config)
    first, grids = scenes[0].scene, [s.scene.grid for s in scenes]
    val_share = _DEFAULT_VAL_SHARE if config.val_share is None else config.val_share
    options = SplitOptions(
        shares=(1 - val_share, val_share, 0.0), by=config.split, block=config.block, seed=seed
    )
    plan = plan_splits(grids, config.crop, config.crop, options)
    train, val = (_places(scenes, plan, split, config.crop) for split in ("train", "val"))
    balanced = config.sampling == "balanced"
    sampling = Sampling(method="balanced" if balanced else "random", size=config.crop)
    class_places = _find_classes(scenes, seed) if balanced else None
    source = DrawnSource(scenes, train, sampling, plan, class_places)
    stats, class_pixels = _measure(source, seed)
    val_source = WindowSource(scenes, val, config.crop)
    pair_bytes = config.crop**2 * (first.count * np.dtype(first.dtype).itemsize + 3)
    return TrainingData(
        train=source,
        val=CachedSource(val_source, len(val) * pair_bytes, config.cache_mb * 2**20 // 4),
        shape=(config.crop, config.crop),
        samples=len(train),
        legend=source.legend,
        band_names=first.band_names,
        dtype=first.dtype,
        class_pixels=class_pixels,
        stats=stats,
        resolution=first.grid.ground_resolution() if first.grid.is_georeferenced else None,
        crs=first.grid.crs.to_wkt() if first.grid.crs else None,
        fingerprint=fingerprint([_describe(s) for s in scenes]),
    )


def _open_labelled(config: DataConfig) -> list[LabelledScene]:
    return open_labelled(
        find_scenes(config.scenes),
        config.labels,
        config.legend,
        SceneOptions(
            bands=config.bands or None, resolution=config.resolution, assume_crs=config.assume_crs
        ),
        LabelOptions(
            field=config.label_field,
            layer=config.label_layer,
            extent=config.label_extent,
            buffer=config.label_buffer,
            assume_crs=config.assume_crs,
        ),
    )


def _places(
    scenes: Sequence[LabelledScene], plan: SplitPlan, split: Split, size: int
) -> list[Place]:
    found = []
    for index, labelled in enumerate(scenes):
        windows = sliding_windows(labelled.scene.grid.shape, size, size)
        splits = plan.assign(index, windows)
        found += [Place(index, w) for w, s in zip(windows, splits, strict=True) if s == split]
    if not found:
        raise ConfigError(
            "data.val_share", f"no window of {size} pixels is left for {split}",
            "Give more scenes, a smaller data.crop or another share",
        )  # fmt: skip
    return found


def _find_classes(scenes: Sequence[LabelledScene], seed: int) -> list[ClassPlaces]:
    return [
        find_places(s.labels, s.scene.grid, s.labels.legend, (seed, index))
        for index, s in enumerate(scenes)
    ]


def _measure(source: WindowSource, seed: int) -> tuple[BandStats, tuple[int, ...]]:
    """Bands and pixels of each class in the windows of the train split; in a part of many."""
    scene = source.labelled[0].scene
    rng = np.random.default_rng((seed, 1))
    order = rng.permutation(len(source.places))[:_MEASURED_WINDOWS]
    accumulator = BandStatsAccumulator(scene.count, scene.dtype)
    class_pixels = np.zeros(source.legend.count, np.int64)
    for index in sorted(order.tolist()):
        cut = source.cut(source.places[index])
        accumulator.update(cut.data, cut.valid)
        class_pixels += cut.class_counts
    return accumulator.result(), tuple(class_pixels.tolist())


def _describe(labelled: LabelledScene) -> list[object]:
    scene = labelled.scene
    name = os.path.basename(scene.path)
    return [name, scene.stamp, scene.bands, scene.grid.shape, list(scene.grid.transform)]
