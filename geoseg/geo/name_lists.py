"""Lists of names of train, val and test images, by chance or by the ground they show."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.splits import SPLITS, Split, SplitOptions, find_leaks, plan_splits

logger = logging.getLogger(__name__)

By = Literal["auto", "file", "region"]
Entry = Literal["stem", "name", "pair"]


@dataclass(frozen=True, kw_only=True)
class Dealt:
    """Which image belongs to which split."""

    paths: dict[Split, list[str]]
    """Images of each split that has a share, in the order in which they were given."""

    left_out: list[str]
    """Images that show ground of several splits."""

    by: Literal["file", "region"]
    """How they were dealt."""


def deal_files(
    paths: Sequence[str], shares: tuple[float, float, float], seed: int
) -> dict[Split, list[str]]:
    """Deal images by chance; the numbers are those of the shares, to less than one image.

    Args:
        paths: The images.
        shares: Of train, val and test; they sum to 1.
        seed: Of the deal; the same seed deals the same images alike.

    Raises:
        ConfigError: If there are fewer images than splits with a share.
    """
    options = SplitOptions(shares=shares, seed=seed)
    if len(paths) < len(options.used):
        raise ConfigError(
            "--split",
            f"{len(paths)} images cannot fill {len(options.used)} splits",
            "Give more images, or fewer shares above 0",
        )
    order = np.random.default_rng([seed, 11]).permutation(len(paths))
    ends = np.cumsum(_numbers(len(paths), shares))
    places = np.split(order, ends[:-1])
    return {
        split: [paths[place] for place in sorted(chosen.tolist())]
        for split, chosen in zip(SPLITS, places, strict=True)
        if split in options.used
    }


def deal_regions(paths: Sequence[str], grids: Sequence[Grid], options: SplitOptions) -> Dealt:
    """Deal images by blocks of ground, so that no two splits show the same.

    Images that reach into blocks of several splits are left out.

    Args:
        paths: The images.
        grids: Their grids, all with a CRS.
        options: Shares, block and seed.

    Raises:
        ConfigError: If there are fewer blocks than splits with a share.
        SceneError: If an image has no CRS.
    """
    for path, grid in zip(paths, grids, strict=True):
        if grid.crs is None:
            raise SceneError(path, "has no CRS, so its region is not known", "Give --by file")
    size = max(max(grid.shape) for grid in grids)
    plan = plan_splits(grids, size, size, options)
    found = [plan.assign(i, [grid.window])[0] for i, grid in enumerate(grids)]
    kept = [i for i, split in enumerate(found) if split is not None]
    outlines = [plan.plane.polygons(i, [grids[i].window])[0] for i in kept]
    leaks = find_leaks(
        np.array(outlines, dtype=object),
        [split for split in found if split is not None],
        [plan.plane.part(i) for i in kept],
    )
    leaking = {kept[place] for place in leaks.tolist()}
    dealt: dict[Split, list[str]] = {split: [] for split in options.used}
    left_out = []
    for i, (path, split) in enumerate(zip(paths, found, strict=True)):
        if split is None or i in leaking:
            left_out.append(path)
        else:
            dealt[split].append(path)
    return Dealt(paths=dealt, left_out=left_out, by="region")


def list_entries(paths: Sequence[str], entry: Entry, labels: Mapping[str, str]) -> list[str]:
    """What a list says of each image.

    Args:
        paths: The images.
        entry: `stem` (`a`), `name` (`a.png`), or `pair` (image and label, as they were given).
        labels: Label file of each image, for pairs.

    Raises:
        SceneError: If a path has white space, which would break a pair.
    """
    if entry == "stem":
        return [Path(path).stem for path in paths]
    if entry == "name":
        return [Path(path).name for path in paths]
    for path in (*paths, *(labels[path] for path in paths)):
        if len(path.split()) != 1:
            raise SceneError(path, "has white space, which parts a pair", "Rename it")
    return [f"{path} {labels[path]}" for path in paths]


def check_stems(paths: Sequence[str]) -> None:
    """Refuse images that a list of names could not tell apart.

    Raises:
        SceneError: If two have one stem, or a name holds the end of a line.
    """
    counts = Counter(Path(path).stem for path in paths)
    double = [stem for stem, count in counts.items() if count > 1]
    if double:
        first = [path for path in paths if Path(path).stem == double[0]]
        raise SceneError(
            first[0],
            f"has the same stem as {first[1]} ({len(double)} stems are not unique)",
            "Rename them, or name the images of one suffix, such as 'images/*.png'",
        )
    for path in paths:
        if not Path(path).name.isprintable():
            raise SceneError(path, "has a name that no list can hold", "Rename it")


def _numbers(count: int, shares: tuple[float, float, float]) -> list[int]:
    """How many images each split gets: the largest remainders are rounded up, none gets nothing."""
    exact = [count * share for share in shares]
    numbers = [int(value + 1e-9) or int(value > 0) for value in exact]
    while sum(numbers) != count:
        step = 1 if sum(numbers) < count else -1
        usable = [i for i, share in enumerate(shares) if share > 0 and numbers[i] + step > 0]
        chosen = max(usable, key=lambda i: step * (exact[i] - numbers[i]))
        numbers[chosen] += step
    return numbers
