"""Parting tiles whose sets name none to validate on: no ground may be on both sides."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import shapely

from geoseg.errors import TileSetError
from geoseg.geo.tileset import Tile, TileSet

logger = logging.getLogger(__name__)

TilePair = tuple[TileSet, Tile]


def part_tiles(
    tiles: Sequence[TilePair], share: float | None
) -> tuple[list[TilePair], list[TilePair]]:
    """Take the last tiles, scene by scene and row by row, for validation; drop what overlaps.

    Args:
        tiles: Each with the set it belongs to.
        share: Share of them that validates; None or 0 is refused.

    Returns:
        Tiles to learn from, and tiles to validate on.

    Raises:
        TileSetError: If no share is given, or it leaves no tile to learn from.
    """
    subject = tiles[0][0].root
    if not share:
        raise TileSetError(
            subject, "has no val tiles", "Tile again with a share for val, or set data.val_share"
        )
    count = max(1, round(len(tiles) * share))
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
