"""What a network is trained on: tile sets, or scenes with labels from which windows are drawn."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geoseg.errors import ConfigError, TileSetError
from geoseg.geo.legend import Legend
from geoseg.geo.stats import BandStats, BandStatsAccumulator
from geoseg.geo.tileset import TileSet
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import CachedSource, Pair, PairSource
from geoseg.nn.drawing import ANYWHERE, Drawing
from geoseg.nn.pair_checks import check_pair
from geoseg.nn.tile_draws import keep_labelled, keep_weighted, plan_draws
from geoseg.nn.tile_split import TilePair, part_tiles

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """The two parts of the data, and what the bundle will tell about them."""

    train: PairSource
    """Pairs to learn from."""

    val: PairSource
    """Pairs to validate on; they share no ground with those of `train`."""

    shape: tuple[int, int]
    """Height and width of the largest pair of `val`."""

    samples: int
    """Samples of an epoch where nobody says: such as show the training part once, and what
    sampling repeats of it."""

    drawing: Drawing
    """How often each pair of `train` comes."""

    legend: Legend
    """The classes."""

    band_names: tuple[str, ...]
    """Names of the bands; empty strings where they have none."""

    dtype: str
    """Type of the images, as numpy names it."""

    class_pixels: tuple[int, ...]
    """Labelled pixels of each class of the training part, in legend order; of scenes, of the
    windows by which the bands are measured."""

    stats: BandStats
    """Of the training part, in raw units."""

    resolution: float | None
    """Metres per pixel; None for plain images."""

    crs: str | None
    """WKT of the CRS of the images, if it is one."""

    fingerprint: str
    """SHA-256 of what the data say about themselves; other data, other fingerprint."""


class TileSource:
    """Tiles of one or several tile sets.

    Args:
        tiles: Each tile with the set it belongs to; all of one legend and the same bands.
    """

    def __init__(self, tiles: Sequence[TilePair]) -> None:
        self.legend = tiles[0][0].legend
        self._tiles = list(tiles)
        self.scenes = tuple(dict.fromkeys(tile.scene for _, tile in self._tiles))
        self._scene_numbers = {scene: number for number, scene in enumerate(self.scenes)}

    def __len__(self) -> int:
        return len(self._tiles)

    def scene(self, index: int) -> int:
        """Number of the scene that a tile was cut from."""
        return self._scene_numbers[self._tiles[index][1].scene]

    def name(self, index: int) -> str:
        """The file of a tile's image."""
        return str(self._tiles[index][1].image)

    def read(self, index: int, rng: np.random.Generator, focus: int = ANYWHERE) -> Pair:
        """Read a tile; neither `rng` nor `focus` is used.

        Raises:
            TileSetError: If a file is damaged, or an image holds infinite values or nothing.
        """
        del rng, focus
        tileset, tile = self._tiles[index]
        pair = Pair(tile.name, *tileset.read_tile(tile))
        return check_pair(pair, self.legend.ignore, TileSetError)


def open_tiles(config: DataConfig) -> TrainingData:
    """Open tile sets for training.

    Args:
        config: Names the sets; `val_share` parts tiles where no set has validation tiles.

    Raises:
        TileSetError: If a set is damaged, the sets differ in legend or bands, or a split is
            empty or has no label.
        ConfigError: If weights or ratios do not fit the sets.
    """
    sets = [TileSet.open(path) for path in config.tiles]
    for other in sets[1:]:
        _check_alike(sets[0], other)
    train = keep_labelled([(s, tile) for s in sets for tile in s.split("train")], "train")
    val = keep_labelled([(s, tile) for s in sets for tile in s.split("val")], "val")
    if not train:
        raise TileSetError(sets[0].root, "has no train tiles", "Tile again with a larger share")
    is_parted = not val
    if is_parted:
        train, val = part_tiles(train, config.val_share)
    train, weights = keep_weighted(train, sets, config.tile_weights)
    drawing = plan_draws(train, sets, config, weights)
    first = sets[0]
    cache_bytes = config.cache_mb * 2**20
    side = _val_side(config, [tileset for tileset, _ in (*train, *val)])
    return TrainingData(
        train=CachedSource(TileSource(train), _bytes(train), cache_bytes * 3 // 4),
        val=CachedSource(TileSource(val), _bytes(val), cache_bytes // 4),
        shape=(side, side),
        samples=drawing.natural_count,
        drawing=drawing,
        legend=first.legend,
        band_names=first.band_names,
        dtype=first.dtype,
        class_pixels=_class_pixels(train),
        stats=_measure(train) if is_parted or len(sets) > 1 else first.stats,
        resolution=None if config.crop_mode == "resize" else first.resolution,
        crs=first.crs.to_wkt() if first.crs else None,
        fingerprint=fingerprint([*(s.fingerprint for s in sets), *(weights or ())]),
    )


def _val_side(config: DataConfig, sets: Sequence[TileSet]) -> int:
    """Side of validation samples: they are whole, unless they are resized as in training."""
    side = max(tileset.size for tileset in sets)
    if config.crop_mode == "resize":
        return config.crop
    if config.crop_mode == "none" and side > config.crop:
        raise too_large(f"tiles of {side}", side)
    return side


def too_large(what: str, side: int) -> ConfigError:
    """That images are not seen whole in samples of the side told."""
    return ConfigError(
        "data.crop",
        f"is smaller than {what} pixels, and data.crop_mode is none: they are never cropped",
        f"Set it to {-(-side // 32) * 32}",
    )


def fingerprint(description: object) -> str:
    """SHA-256 (hex) of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(description, default=str).encode()).hexdigest()


def _class_pixels(tiles: Sequence[TilePair]) -> tuple[int, ...]:
    return tuple(sum(column) for column in zip(*(t.class_pixels for _, t in tiles), strict=True))


def _bytes(tiles: Sequence[TilePair]) -> int:
    """Of all these tiles in memory: image, mask and valid."""
    return sum(s.size**2 * (s.bands * np.dtype(s.dtype).itemsize + 3) for s, _ in tiles)


def _check_alike(first: TileSet, other: TileSet) -> None:
    """Refuse a set that cannot be mixed with the first."""
    named = all(first.band_names) and all(other.band_names)
    if other.dtype != first.dtype or (
        other.band_names != first.band_names if named else other.bands != first.bands
    ):
        raise TileSetError(
            other.root,
            f"has {_bands(other)}, {first.root} has {_bands(first)}",
            "Tile both with the same bands",
        )
    ours, theirs = (_classes(tileset) for tileset in (other, first))
    if ours != theirs:
        raise TileSetError(
            other.root,
            f"has the classes {', '.join(ours)}, {first.root} has {', '.join(theirs)}",
            "Tile both with one legend",
        )
    if _differ(first.resolution, other.resolution):
        logger.warning(
            "%s has pixels of %s m, %s of %s m",
            other.root, other.resolution, first.root, first.resolution,
        )  # fmt: skip


def _bands(tileset: TileSet) -> str:
    names = f" ({', '.join(tileset.band_names)})" if all(tileset.band_names) else ""
    return f"{tileset.bands} bands{names} of {tileset.dtype}"


def _classes(tileset: TileSet) -> list[str]:
    legend = tileset.legend
    return [f"{c.value} {c.name}" for c in legend.classes] + [f"{legend.ignore} ignore"]


def _differ(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is not other
    return abs(one - other) > 0.25 * one


def _measure(tiles: Sequence[TilePair]) -> BandStats:
    """Statistics of all these tiles, read once more: percentiles of parts cannot be joined."""
    first = tiles[0][0]
    accumulator = BandStatsAccumulator(first.bands, first.dtype)
    for tileset, tile in tiles:
        data, _, valid = tileset.read_tile(tile)
        accumulator.update(data, valid)
    return accumulator.result()
