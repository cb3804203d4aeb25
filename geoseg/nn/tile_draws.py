"""How often the tiles of tile sets come: what the configuration says, checked against them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from geoseg.errors import ConfigError, TileSetError
from geoseg.geo.tile_weights import read_tile_weights
from geoseg.geo.tileset import TileSet
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.drawing import Drawing, Group, tell_repeats
from geoseg.nn.tile_split import TilePair

logger = logging.getLogger(__name__)


def keep_labelled(tiles: Sequence[TilePair], part: str) -> list[TilePair]:
    """Leave out tiles that are all `ignore`, from which nothing is learnt.

    Args:
        tiles: Each with the set it belongs to.
        part: What they are for, as messages name it.

    Raises:
        TileSetError: If there are tiles, but none has a label.
    """
    kept = [pair for pair in tiles if pair[1].labelled_share > 0]
    if tiles and not kept:
        raise TileSetError(
            tiles[0][0].root,
            f"has no labelled pixel in any of {len(tiles)} {part} tiles",
            "Check that the labels cover the scenes, and the values of the legend",
        )
    if len(kept) < len(tiles):
        logger.warning(
            "%d of %d %s tiles have no labelled pixel and are left out",
            len(tiles) - len(kept), len(tiles), part,
        )  # fmt: skip
    return kept


def keep_weighted(
    tiles: Sequence[TilePair], sets: Sequence[TileSet], path: str | None
) -> tuple[list[TilePair], list[float] | None]:
    """Give tiles the weights of a file, and leave out those that weigh 0.

    Args:
        tiles: Each with the set it belongs to.
        sets: All sets, whose tiles the file may name.
        path: The file; None weighs all alike.

    Returns:
        The tiles that may come, and their weights where there is a file.

    Raises:
        ConfigError: If the file cannot be used, or leaves no tile.
    """
    if path is None:
        return list(tiles), None
    named = read_tile_weights(path, {tile.name for each in sets for tile in each.tiles})
    weights = [named.get(tile.name, 1.0) for _, tile in tiles]
    kept = [pair for pair, weight in zip(tiles, weights, strict=True) if weight > 0]
    if not kept:
        raise ConfigError(path, "gives all train tiles the weight 0", "Weigh one of them above 0")
    return kept, [weight for weight in weights if weight > 0]


def plan_draws(
    tiles: Sequence[TilePair],
    sets: Sequence[TileSet],
    config: DataConfig,
    weights: Sequence[float] | None,
) -> Drawing:
    """Say how often each tile is drawn.

    Args:
        tiles: Those to learn from, each with its set.
        sets: All sets, in the order of `data.ratios`.
        config: Tells sampling and ratios.
        weights: Of the tiles; None weighs all alike.

    Raises:
        ConfigError: If a set is to have a share, but has no tile to learn from.
    """
    drawing = Drawing(
        pairs=len(tiles),
        sampling=config.sampling,
        class_pixels=np.array([tile.class_pixels for _, tile in tiles], np.int64),
        weights=None if weights is None else np.array(weights),
        groups=_groups(tiles, sets, config.ratios),
        rare_below=config.rare_below,
        hard_share=config.hard_share,
    )
    tell_repeats(drawing, sets[0].legend.names)
    return drawing


def _groups(
    tiles: Sequence[TilePair], sets: Sequence[TileSet], ratios: Sequence[float]
) -> tuple[Group, ...]:
    groups = []
    for tileset, share in zip(sets, ratios, strict=bool(ratios)):
        numbers = [index for index, (owner, _) in enumerate(tiles) if owner is tileset]
        if not numbers:
            raise ConfigError(
                "data.ratios", f"{tileset.root} has no train tiles to have a share", "Leave it out"
            )
        groups.append(Group(np.array(numbers), share))
    return tuple(groups)
