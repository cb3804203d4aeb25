"""What a network is trained on: tile sets, or scenes with labels from which windows are drawn."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely

from geoseg.errors import TileSetError
from geoseg.geo.legend import Legend
from geoseg.geo.stats import BandStats, BandStatsAccumulator
from geoseg.geo.tileset import Tile, TileSet
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import CachedSource, Pair, PairSource

logger = logging.getLogger(__name__)

TilePair = tuple[TileSet, Tile]


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
    """Samples that show the training part once."""

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

    def __len__(self) -> int:
        return len(self._tiles)

    def name(self, index: int) -> str:
        """The file of a tile's image."""
        return str(self._tiles[index][1].image)

    def read(self, index: int, rng: np.random.Generator) -> Pair:
        """Read a tile; `rng` is not used.

        Raises:
            TileSetError: If a file is damaged.
        """
        del rng
        tileset, tile = self._tiles[index]
        return Pair(tile.name, *tileset.read_tile(tile))


def open_tiles(config: DataConfig) -> TrainingData:
    """Open tile sets for training.

    Args:
        config: Names the sets; `val_share` parts tiles where no set has validation tiles.

    Raises:
        TileSetError: If a set is damaged, the sets differ in legend or bands, or a split is
            empty.
    """
    sets = [TileSet.open(path) for path in config.tiles]
    for other in sets[1:]:
        _check_alike(sets[0], other)
    train: list[TilePair] = [(s, tile) for s in sets for tile in s.split("train")]
    val: list[TilePair] = [(s, tile) for s in sets for tile in s.split("val")]
    is_parted = not val and bool(train)
    if is_parted:
        train, val = _part_tiles(train, config)
    if not train:
        raise TileSetError(sets[0].root, "has no train tiles", "Tile again with a larger share")
    first = sets[0]
    cache_bytes = config.cache_mb * 2**20
    side = max(tileset.size for tileset, _ in val)
    return TrainingData(
        train=CachedSource(TileSource(train), _bytes(train), cache_bytes * 3 // 4),
        val=CachedSource(TileSource(val), _bytes(val), cache_bytes // 4),
        shape=(side, side),
        samples=len(train),
        legend=first.legend,
        band_names=first.band_names,
        dtype=first.dtype,
        class_pixels=_class_pixels(train),
        stats=_measure(train) if is_parted or len(sets) > 1 else first.stats,
        resolution=first.resolution,
        crs=first.crs.to_wkt() if first.crs else None,
        fingerprint=fingerprint([s.fingerprint for s in sets]),
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


def _part_tiles(tiles: list[TilePair], config: DataConfig) -> tuple[list[TilePair], list[TilePair]]:
    """Take the last tiles, scene by scene and row by row, for validation; drop what overlaps."""
    subject = tiles[0][0].root
    if not config.val_share:
        raise TileSetError(
            subject, "has no val tiles", "Tile again with a share for val, or set data.val_share"
        )
    count = max(1, round(len(tiles) * config.val_share))
    in_order = sorted(tiles, key=lambda t: (str(t[0].root), t[1].scene, t[1].row, t[1].col))
    train, val = in_order[:-count], in_order[-count:]
    kept = [
        pair for pair, shares in zip(train, _share_ground(train, val), strict=True) if not shares
    ]
    if not kept:
        raise TileSetError(
            subject, "all train tiles overlap those for validation", "Set a smaller data.val_share"
        )
    if len(kept) < len(train):
        logger.info("%d train tiles left out, they overlap validation", len(train) - len(kept))
    return kept, val


def _share_ground(tiles: list[TilePair], others: list[TilePair]) -> list[bool]:
    """Whether each tile shares ground with any of the others, by pixels or by footprints."""
    boxes = [(_ground_key(s, t), t.col, t.row, t.col + s.size, t.row + s.size) for s, t in others]
    found = []
    for tileset, tile in tiles:
        key, size = _ground_key(tileset, tile), tileset.size
        found.append(
            any(
                key == other
                and left < tile.col + size and tile.col < right
                and top < tile.row + size and tile.row < bottom
                for other, left, top, right, bottom in boxes
            )
            or _footprints_overlap(tileset, tile, others)
        )  # fmt: skip
    return found


def _ground_key(tileset: TileSet, tile: Tile) -> tuple[str, float | None]:
    return tile.scene, tileset.resolution


def _footprints_overlap(tileset: TileSet, tile: Tile, others: list[TilePair]) -> bool:
    outline = tile.footprint
    if outline is None:
        return False
    return any(
        other.footprint is not None
        and other_set.crs == tileset.crs
        and shapely.area(shapely.intersection(outline, other.footprint)) > 1e-4 * outline.area
        for other_set, other in others
    )


def _measure(tiles: Sequence[TilePair]) -> BandStats:
    """Statistics of all these tiles, read once more: percentiles of parts cannot be joined."""
    first = tiles[0][0]
    accumulator = BandStatsAccumulator(first.bands, first.dtype)
    for tileset, tile in tiles:
        data, _, valid = tileset.read_tile(tile)
        accumulator.update(data, valid)
    return accumulator.result()
