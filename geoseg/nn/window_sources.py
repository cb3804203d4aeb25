"""Training straight from scenes: windows are drawn while the network learns, no tiles are cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoseg.errors import ConfigError
from geoseg.geo.cutting import LabelledScene
from geoseg.geo.labelled import open_labelled
from geoseg.geo.labels import LabelOptions
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.remote import file_name
from geoseg.geo.splits import Split, SplitOptions, SplitPlan, plan_splits
from geoseg.geo.stats import BandStats, BandStatsAccumulator
from geoseg.geo.windows import sliding_windows
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import CachedSource
from geoseg.nn.drawing import Drawing, tell_repeats
from geoseg.nn.drawn_windows import DrawnSource, Place, WindowRule, WindowSource
from geoseg.nn.option_keys import keys_for_options
from geoseg.nn.sources import TrainingData, fingerprint
from geoseg.nn.whole_images import WholeSource, check_whole

_MEASURED_WINDOWS = 256
_DEFAULT_VAL_SHARE = 0.2


@keys_for_options()
def open_scenes(config: DataConfig, seed: int) -> TrainingData:
    """Open scenes and their labels for training.

    Args:
        config: Names scenes, labels and legend, and how ground is parted.
        seed: Of the split, and of the windows by which bands are measured.

    Raises:
        SceneError: If a scene cannot be read.
        LabelError: If labels cannot be read, or touch no scene.
        ConfigError: If there is too little ground for two splits.
    """
    scenes = _open_labelled(config)
    if config.crop_mode != "random":
        return _open_whole(config, seed, scenes)
    first, grids = scenes[0].scene, [s.scene.grid for s in scenes]
    val_share = _DEFAULT_VAL_SHARE if config.val_share is None else config.val_share
    options = SplitOptions(
        shares=(1 - val_share, val_share, 0.0), by=config.split, block=config.block, seed=seed
    )
    plan = plan_splits(grids, config.crop, config.crop, options)
    train, val = (_places(scenes, plan, split, config.crop) for split in ("train", "val"))
    rule = WindowRule(
        size=config.crop,
        near=config.sampling in ("rare", "hard"),
        cat_max_ratio=config.cat_max_ratio,
    )
    source = DrawnSource(scenes, train, plan, rule)
    stats, class_pixels = _measure(source, seed)
    drawing = _plan_draws(source, config)
    val_source = WindowSource(scenes, val, config.crop)
    for part, windows in (("train", source), ("val", val_source)):
        _check_labelled(windows, part)
    pair_bytes = config.crop**2 * (first.count * np.dtype(first.dtype).itemsize + 3)
    return TrainingData(
        train=source,
        val=CachedSource(val_source, len(val) * pair_bytes, config.cache_mb * 2**20 // 4),
        shape=(config.crop, config.crop),
        samples=drawing.natural_count,
        drawing=drawing,
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
            bands=config.bands or None,
            resolution=config.resolution,
            assume_crs=config.assume_crs,
            npy_axes=config.npy_axes,
        ),
        LabelOptions(
            field=config.label_field,
            layer=config.label_layer,
            extent=config.label_extent,
            buffer=config.label_buffer,
            assume_crs=config.assume_crs,
        ),
    )


def _open_whole(config: DataConfig, seed: int, scenes: Sequence[LabelledScene]) -> TrainingData:
    """Training data whose pairs are whole scenes."""
    first = scenes[0].scene
    for labelled in scenes:
        check_whole(labelled, config)
    val_share = _DEFAULT_VAL_SHARE if config.val_share is None else config.val_share
    options = SplitOptions(
        shares=(1 - val_share, val_share, 0.0),
        by="scene" if config.split == "block" else config.split,
        seed=seed,
    )
    plan = plan_splits([s.scene.grid for s in scenes], config.crop, config.crop, options)
    parts: dict[Split, list[Place]] = {"train": [], "val": []}
    for index, labelled in enumerate(scenes):
        window = labelled.scene.grid.window
        split = plan.assign(index, [window])[0]
        if split in parts:
            parts[split].append(Place(index, window))
    for split, places in parts.items():
        if not places:
            raise ConfigError("data.val_share", f"no scene is left for {split}", "Give more scenes")
    source, val_source = (WholeSource(scenes, places, config.crop) for places in parts.values())
    for part, windows in (("train", source), ("val", val_source)):
        _check_labelled(windows, part)
    stats, class_pixels = _measure(source, seed)
    drawing = _plan_draws(source, config)
    room = config.cache_mb * 2**20
    return TrainingData(
        train=CachedSource(source, source.bytes, room * 3 // 4),
        val=CachedSource(val_source, val_source.bytes, room // 4),
        shape=(config.crop, config.crop),
        samples=drawing.natural_count,
        drawing=drawing,
        legend=source.legend,
        band_names=first.band_names,
        dtype=first.dtype,
        class_pixels=class_pixels,
        stats=stats,
        resolution=_resolution(config, first),
        crs=first.grid.crs.to_wkt() if first.grid.crs else None,
        fingerprint=fingerprint([_describe(s) for s in scenes]),
    )


def _resolution(config: DataConfig, scene: Scene) -> float | None:
    """Metres per pixel as the network sees them; of resized scenes nobody can tell."""
    if config.crop_mode == "resize" or not scene.grid.is_georeferenced:
        return None
    return scene.grid.ground_resolution()


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


def _plan_draws(source: WindowSource, config: DataConfig) -> Drawing:
    """How often each place comes; the labels of all are read only where it goes by class."""
    class_pixels = None
    if config.sampling in ("balanced", "rare"):
        class_pixels = np.array([source.count_classes(place) for place in source.places])
    drawing = Drawing(
        pairs=len(source.places),
        sampling=config.sampling,
        class_pixels=class_pixels,
        rare_below=config.rare_below,
        hard_share=config.hard_share,
    )
    tell_repeats(drawing, source.legend.names)
    return drawing


def _check_labelled(source: WindowSource, part: str) -> None:
    """Refuse ground without a label; the search ends at the first window with one."""
    if not any(source.count_classes(place).any() for place in source.places):
        raise ConfigError(
            "data.labels",
            f"none of the {len(source.places)} windows for {part} has a labelled pixel",
            "Check that the labels cover the scenes, or give another data.val_share",
        )


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
    name = file_name(scene.path)
    place = scene.grid.shape, list(scene.grid.transform)
    return [name, scene.stamp, scene.sources, scene.bands, *place]
