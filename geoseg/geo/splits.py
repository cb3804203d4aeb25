"""Splits that do not leak: which windows may train, validate and test, decided by place."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.windows import Window

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.footprints import OVERLAP, Plane, Polygons, overlapping
from geoseg.geo.geometry import reproject
from geoseg.geo.grid import Grid
from geoseg.geo.vector import crs_of, read_polygons
from geoseg.geo.windows import sliding_windows

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Cell = tuple[int, int, int]
"""Part of the plane, column and row of a block."""

_BLOCK_FACTORS = (8, 4, 2, 1)
_ENOUGH_BLOCKS = (20, 8)
_MOST_DEALS = 64


@dataclass(frozen=True, kw_only=True)
class SplitOptions:
    """How windows are dealt to train, val and test."""

    shares: tuple[float, float, float] = (0.7, 0.2, 0.1)
    """Shares of train, val and test; they sum to 1."""

    by: str = "block"
    """`block`, `scene`, or a file of polygons with a column `split`."""

    block: int | None = None
    """Side of a block in pixels of the first scene; None chooses by the size of the windows."""

    guard: int = 0
    """Pixels that every window keeps off the border of its split's ground."""

    seed: int = 0
    """Of the deal."""

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in self.shares):
            raise ConfigError(
                "--split",
                f"{self.shares} is not three shares of 0 to 1",
                "Give such as 0.7,0.2,0.1",
            )
        if abs(sum(self.shares) - 1) > 1e-6:
            raise ConfigError(
                "--split", f"sums to {sum(self.shares):g}, not to 1", "Give such as 0.7,0.2,0.1"
            )
        if self.block is not None and self.block < 1:
            raise ConfigError("--block", f"{self.block} is below 1 pixel", "Give a larger one")
        if self.guard < 0:
            raise ConfigError("--guard", f"{self.guard} is below 0 pixels", "Give 0 or more")

    @property
    def used(self) -> tuple[Split, ...]:
        """The splits that are to have a share."""
        return tuple(s for s, share in zip(SPLITS, self.shares, strict=True) if share > 0)

    def wants(self, split: Split) -> bool:
        """Whether tiles of this split are expected; a file of zones decides by itself."""
        return self.by in {"block", "scene"} and split in self.used


class SplitPlan(ABC):
    """Says of any window of the scenes which split it belongs to.

    Windows of different splits share no ground, whatever scenes they are of.
    """

    block: int | None = None
    """Side of the blocks in pixels of the plane, where there are blocks."""

    def __init__(self, plane: Plane) -> None:
        self.plane = plane

    @abstractmethod
    def assign(self, scene: int, windows: Sequence[Window]) -> list[Split | None]:
        """The split of each window; None where it does not lie in the ground of one split.

        Args:
            scene: Index of the scene among those planned for.
            windows: Integer windows of its grid.
        """


class _OnePlan(SplitPlan):
    """All windows belong to one split."""

    def __init__(self, plane: Plane, split: Split) -> None:
        super().__init__(plane)
        self._split = split

    def assign(self, scene: int, windows: Sequence[Window]) -> list[Split | None]:  # noqa: ARG002
        return [self._split] * len(windows)


class BlockPlan(SplitPlan):
    """The plane in square blocks, each of one split.

    Args:
        plane: The plane of the scenes.
        block: Side of a block in pixels of the plane.
        guard: Pixels that a window keeps off blocks of other splits.
        cells: The split of each block; ground outside them belongs to none and hinders none.
    """

    def __init__(self, plane: Plane, block: int, guard: int, cells: Mapping[Cell, Split]) -> None:
        super().__init__(plane)
        self.block: int = block
        self.cells = dict(cells)
        self._guard = guard

    def assign(self, scene: int, windows: Sequence[Window]) -> list[Split | None]:
        """As `SplitPlan.assign`."""
        polygons = self.plane.polygons(scene, windows)
        return [
            _only({self.cells[cell] for cell in cells if cell in self.cells})
            for cells in _touched(self.plane.part(scene), polygons, self.block, self._guard)
        ]


class ScenePlan(SplitPlan):
    """Whole scenes; ground that scenes of several splits show is left to the rarest use.

    A train window gives way to val and test scenes, a val window to test scenes.
    """

    def __init__(
        self, plane: Plane, grids: Sequence[Grid], guard: int, splits: Sequence[Split]
    ) -> None:
        super().__init__(plane)
        self.splits = list(splits)
        self._guard = guard
        self._outlines = [plane.polygons(i, [grid.window])[0] for i, grid in enumerate(grids)]

    def assign(self, scene: int, windows: Sequence[Window]) -> list[Split | None]:
        """As `SplitPlan.assign`."""
        polygons = _widened(self.plane.polygons(scene, windows), self._guard)
        rank, part = SPLITS.index(self.splits[scene]), self.plane.part(scene)
        above = [
            outline
            for other, outline in enumerate(self._outlines)
            if SPLITS.index(self.splits[other]) > rank and self.plane.part(other) == part
        ]
        blocked = set(overlapping(polygons, np.array(above, dtype=object)).tolist())
        return [None if i in blocked else self.splits[scene] for i in range(len(windows))]


class ZonePlan(SplitPlan):
    """Ground of each split as drawn by the user; what lies in none is left out."""

    def __init__(self, plane: Plane, guard: int, zones: Mapping[Split, shapely.Geometry]) -> None:
        super().__init__(plane)
        self._guard = guard
        self._zones = dict(zones)

    def assign(self, scene: int, windows: Sequence[Window]) -> list[Split | None]:
        """As `SplitPlan.assign`."""
        polygons = self.plane.polygons(scene, windows)
        widened = _widened(polygons, self._guard)
        splits: list[Split | None] = [None] * len(windows)
        for split, zone in self._zones.items():
            outside = shapely.area(shapely.difference(polygons, zone))
            others = np.array([z for s, z in self._zones.items() if s != split], dtype=object)
            blocked = set(overlapping(widened, others).tolist())
            for i in np.flatnonzero(outside <= OVERLAP).tolist():
                splits[i] = None if i in blocked else split
        return splits


def plan_splits(
    grids: Sequence[Grid], size: int, stride: int, options: SplitOptions | None = None
) -> SplitPlan:
    """Decide which ground belongs to train, val and test.

    Args:
        grids: Grids of all scenes; those with a CRS share blocks where they overlap.
        size: Side of the windows that will be asked for, in pixels.
        stride: Pixels from one window to the next.
        options: How to split.

    Raises:
        ConfigError: If there are fewer blocks or scenes than splits with a share.
        LabelError: If the file of zones cannot be used.
    """
    options = options or SplitOptions()
    plane = Plane(grids)
    if options.by not in {"block", "scene"}:
        return ZonePlan(plane, options.guard, _read_zones(options.by, plane))
    if len(options.used) == 1:
        return _OnePlan(plane, options.used[0])
    if options.by == "scene":
        return _plan_scenes(plane, grids, (size, stride), options)
    layouts = [sliding_windows(grid.shape, size, stride) for grid in grids]
    footprints = [plane.polygons(i, windows) for i, windows in enumerate(layouts)]
    return _plan_blocks(plane, footprints, size, options)


def find_leaks(
    polygons: Polygons, splits: Sequence[Split], parts: Sequence[int]
) -> npt.NDArray[np.intp]:
    """Indices of tiles to leave out so that no two splits share ground.

    Train gives way to val and test, val to test.

    Args:
        polygons: Footprints (tiles,) in pixels of a plane.
        splits: The split of each.
        parts: The part of the plane of each; other parts are never compared.
    """
    split_codes = np.array([SPLITS.index(split) for split in splits], dtype=int)
    found = [np.empty(0, dtype=np.intp)]
    part_numbers = np.asarray(parts, dtype=int)
    for part in np.unique(part_numbers):
        for code in (0, 1):
            mine = np.flatnonzero((part_numbers == part) & (split_codes == code))
            above = np.flatnonzero((part_numbers == part) & (split_codes > code))
            found.append(mine[overlapping(polygons[mine], polygons[above])])
    return np.sort(np.concatenate(found))


def _plan_scenes(
    plane: Plane, grids: Sequence[Grid], layout: tuple[int, int], options: SplitOptions
) -> ScenePlan:
    if len(grids) < len(options.used):
        raise ConfigError(
            "--split-by",
            f"{len(grids)} scenes cannot fill {len(options.used)} splits",
            "Give more scenes, or change --split-by or --split",
        )
    weights = np.array([len(sliding_windows(grid.shape, *layout)) for grid in grids], float)
    return ScenePlan(plane, grids, options.guard, _deal(weights, options))


def _plan_blocks(
    plane: Plane, footprints: Sequence[Polygons], size: int, options: SplitOptions
) -> BlockPlan:
    if options.block is not None:
        block = options.block
        counts = _count_windows(plane, footprints, block, options.guard)
    else:
        block, counts = _choose_block(plane, footprints, size, options)
    filled = sorted(cell for cell, count in counts.items() if count)
    if len(filled) < len(options.used):
        raise ConfigError(
            "--block",
            f"{len(filled)} blocks of {block} pixels can hold a window, "
            f"{len(options.used)} splits are wanted",
            "Give a smaller --block or --size, or change --split",
        )
    dealt = _deal(np.array([counts[cell] for cell in filled], float), options)
    cells = dict(zip(filled, dealt, strict=True))
    return BlockPlan(plane, block, options.guard, {**_join_slivers(counts, cells), **cells})


def _choose_block(
    plane: Plane, footprints: Sequence[Polygons], size: int, options: SplitOptions
) -> tuple[int, dict[Cell, int]]:
    """The largest block that leaves enough blocks to deal; large ones lose fewer windows."""
    tried: list[tuple[int, dict[Cell, int]]] = []
    for factor in _BLOCK_FACTORS:
        counts = _count_windows(plane, footprints, factor * size, options.guard)
        tried.append((factor * size, counts))
        if factor > 1 and _count_filled(counts) >= _ENOUGH_BLOCKS[0]:
            return tried[-1]
    for enough in (*_ENOUGH_BLOCKS, len(options.used)):
        for block, counts in tried:
            if block > size and _count_filled(counts) >= enough:
                return block, counts
    return tried[-1]


def _count_windows(
    plane: Plane, footprints: Sequence[Polygons], block: int, guard: int
) -> dict[Cell, int]:
    """How many windows lie wholly in each block, guard included; 0 where they only touch it."""
    counts: dict[Cell, int] = {}
    for scene, polygons in enumerate(footprints):
        for cells in _touched(plane.part(scene), polygons, block, 0):
            for cell in cells:
                counts.setdefault(cell, 0)
    for scene, polygons in enumerate(footprints):
        for cells in _touched(plane.part(scene), polygons, block, guard):
            known = [cell for cell in cells if cell in counts]
            if len(known) == 1:
                counts[known[0]] += 1
    return counts


def _count_filled(counts: Mapping[Cell, int]) -> int:
    return sum(1 for count in counts.values() if count)


def _touched(part: int, polygons: Polygons, block: int, guard: int) -> Iterator[list[Cell]]:
    """The blocks that the upright box around each polygon, widened by `guard`, shares area with."""
    boxes = shapely.bounds(polygons)
    first = np.floor((boxes[:, :2] - guard) / block).astype(int)
    last = np.ceil((boxes[:, 2:] + guard) / block).astype(int)
    for (col, row), (col_end, row_end) in zip(first.tolist(), last.tolist(), strict=True):
        yield [(part, c, r) for c in range(col, col_end) for r in range(row, row_end)]


def _join_slivers(counts: Mapping[Cell, int], cells: Mapping[Cell, Split]) -> dict[Cell, Split]:
    """Give blocks too narrow for a window to the split of the nearest block that is not."""
    filled = list(cells)
    places = np.array(filled)
    joined: dict[Cell, Split] = {}
    for cell in sorted(set(counts) - set(cells)):
        distance = np.abs(places - cell) @ np.array([1 << 40, 1, 1])
        nearest = filled[int(distance.argmin())]
        if nearest[0] == cell[0]:
            joined[cell] = cells[nearest]
    return joined


def _deal(weights: npt.NDArray[np.float64], options: SplitOptions) -> list[Split]:
    """Deal items at random so that each split gets one and weights come near the shares.

    Of several shuffled deals the one nearest to the shares is kept.
    """
    rng = np.random.default_rng([options.seed, 7])
    wanted = np.array([s for s in options.shares if s > 0]) * weights.sum()
    deals = [
        _deal_once(weights, wanted, rng.permutation(len(weights)))
        for _ in range(min(_MOST_DEALS, 1 + 20_000 // len(weights)))
    ]
    misses = [np.abs(np.bincount(d, weights, len(wanted)) - wanted).sum() for d in deals]
    best = deals[int(np.argmin(misses))]
    return [options.used[code] for code in best]


def _deal_once(
    weights: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.float64],
    order: npt.NDArray[np.intp],
) -> npt.NDArray[np.intp]:
    codes = np.zeros(len(weights), dtype=np.intp)
    missing = wanted.tolist()
    for turn, item in enumerate(order.tolist()):
        code = turn if turn < len(missing) else missing.index(max(missing))
        codes[item] = code
        missing[code] -= weights[item]
    return codes


def _only(splits: set[Split]) -> Split | None:
    return splits.pop() if len(splits) == 1 else None


def _widened(polygons: Polygons, guard: int) -> Polygons:
    return shapely.buffer(polygons, guard, join_style="mitre") if guard else polygons


def _read_zones(path: str, plane: Plane) -> dict[Split, shapely.Geometry]:
    """The union of the polygons of each split, on the plane."""
    if plane.crs is None:
        raise ConfigError(
            "--split-by", f"{path} needs scenes with a CRS", "Split by block or scene"
        )
    frame = read_polygons(path, None)
    if "split" not in frame.columns:
        raise LabelError(path, "has no column `split`", "Add one with train, val or test")
    unknown = sorted({str(value) for value in frame["split"]} - set(SPLITS))
    if unknown or frame.empty:
        found = ", ".join(unknown) or "nothing"
        raise LabelError(path, f"column split holds {found}", f"Write {', '.join(SPLITS)}")
    crs = crs_of(frame)
    if crs is None:
        raise LabelError(path, "has no CRS", "Set the one it was drawn in")
    tolerance = math.sqrt(abs(plane.transform.determinant)) / 10
    zones = reproject(frame.geometry.to_numpy(), crs, plane.crs, tolerance)
    shapes = plane.to_plane(zones)
    names = frame["split"].to_numpy()
    return {s: shapely.union_all(shapes[names == s]) for s in SPLITS if (names == s).any()}
