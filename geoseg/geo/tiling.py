"""From labelled scenes to tiles on disk: windows are chosen, cut, judged, written, counted."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.geo.cutting import Cut, LabelledScene, cut_windows, group_windows
from geoseg.geo.sampling import Sampling, draw_windows, find_places, layout_windows
from geoseg.geo.splits import SPLITS, Split
from geoseg.geo.stats import BandStatsAccumulator
from geoseg.geo.tile_plan import Place, TilePlanner
from geoseg.geo.tile_writer import TileEncoder, writing
from geoseg.geo.tileset import Tile
from geoseg.geo.workers import Workers
from geoseg.progress import Progress, Task

logger = logging.getLogger(__name__)

_DRAWS_PER_TILE = 50
"""Draws for each tile wanted, after which a scene is taken to hold no more."""


@dataclass(kw_only=True)
class Tally:
    """What became of some windows."""

    stats: BandStatsAccumulator
    """Of the valid pixels of the train tiles."""

    tiles: list[Tile] = field(default_factory=list)
    """Those that were written."""

    rejected: Counter[str] = field(default_factory=Counter)
    """Windows that were not, by reason."""

    class_counts: dict[Split, npt.NDArray[np.int64]] = field(default_factory=dict)
    """Pixels of each class in legend order, by split."""

    def merge(self, other: Tally) -> None:
        """Count what `other` has counted."""
        self.stats.merge(other.stats)
        self.tiles.extend(other.tiles)
        self.rejected.update(other.rejected)
        for split, counts in other.class_counts.items():
            self.class_counts[split] = self.class_counts.get(split, 0) + counts


@dataclass(frozen=True, kw_only=True)
class SceneCutter:
    """Cuts tiles from one scene and writes them; it can be sent to other processes."""

    source: LabelledScene
    """The scene."""

    name: str
    """Of the scene, as its tiles' names begin."""

    size: int
    """Side of a tile, pixels."""

    encoder: TileEncoder
    """Writes the files."""

    min_valid: float
    """Least share of a tile with data."""

    min_labelled: float
    """Least share of a tile with a class."""

    def cut(self, places: list[Place], told: Callable[[], object] = lambda: None) -> Tally:
        """Cut places that are read at once.

        Args:
            places: On this scene.
            told: Called after each.
        """
        tally = self.tally()
        cuts = cut_windows(self.source, [place.window for place in places], self.size)
        with writing():
            for place, cut in zip(places, cuts, strict=True):
                reason = self._fault(cut)
                if reason is None:
                    self._write(place, cut, tally)
                else:
                    tally.rejected[reason] += 1
                told()
        return tally

    def tally(self) -> Tally:
        """Of no windows yet."""
        scene = self.source.scene
        return Tally(stats=BandStatsAccumulator(scene.count, scene.dtype))

    def _fault(self, cut: Cut) -> str | None:
        if cut.valid_share < self.min_valid or cut.valid_share == 0:
            return "invalid"
        return "unlabelled" if cut.labelled_share < self.min_labelled else None

    def _write(self, place: Place, cut: Cut, tally: Tally) -> None:
        window = cut.window
        name = f"{self.name}_r{window.row_off:05d}_c{window.col_off:05d}"
        image, mask = self.encoder.write(name, cut, self.source.nodata)
        tile = Tile(
            name=name,
            image=image,
            mask=mask,
            split=place.split,
            scene=self.source.scene.path,
            row=window.row_off,
            col=window.col_off,
            height=window.height,
            width=window.width,
            valid_share=cut.valid_share,
            labelled_share=cut.labelled_share,
            class_shares=cut.class_shares,
            footprint=place.footprint,
        )
        tally.tiles.append(tile)
        known = tally.class_counts.get(place.split, 0)
        tally.class_counts[place.split] = known + cut.class_counts
        if place.split == SPLITS[0]:
            tally.stats.update(cut.data, cut.valid)


Pieces = Iterable[tuple[SceneCutter, list[Place]]]
"""Places that are read at once, each with what cuts them; those of one scene in one run."""


class Cutters(Protocol):
    """Who cuts."""

    def cut(self, pieces: Pieces, task: Task) -> Iterator[Tally]:
        """Cut all pieces; what became of each, in order.

        Args:
            pieces: What to cut.
            task: Told of every window.
        """


class ThreadCutters:
    """Cut in threads of this process.

    Args:
        workers: The threads.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def cut(self, pieces: Pieces, task: Task) -> Iterator[Tally]:
        """See `Cutters.cut`."""
        return self._workers.map(lambda piece: piece[0].cut(piece[1], task.advance), pieces)


@dataclass(frozen=True, kw_only=True)
class Tiler:
    """Cuts tiles from labelled scenes and writes them; the result depends on no thread."""

    sources: tuple[LabelledScene, ...]
    """The scenes."""

    names: tuple[str, ...]
    """Of the scenes, as their tiles' names begin."""

    sampling: Sampling
    """How windows are chosen."""

    planner: TilePlanner
    """Says which window may be cut, and for which split."""

    encoder: TileEncoder
    """Writes the files."""

    min_valid: float
    """Least share of a tile with data."""

    min_labelled: float
    """Least share of a tile with a class."""

    seed: int
    """Of the draws."""

    def run(self, jobs: int | None, progress: Progress, cutters: Cutters | None = None) -> Tally:
        """Cut all tiles.

        Args:
            jobs: Threads; None takes one per processor.
            progress: Where to report.
            cutters: Who cuts instead of threads.

        Returns:
            What became of all windows; tiles in order of scene, row and column.

        Raises:
            SceneError: If a scene is broken.
            LabelError: If labels are broken, or hold values that no class has.
            LegendError: If a weight names no class.
            WorkError: If the disk fails.
        """
        with Workers(jobs) as workers:
            chosen = cutters or ThreadCutters(workers)
            if self.sampling.method == "stride":
                total = self._cut_layout(chosen, progress)
            else:
                total = self._draw(chosen, progress)
        total.rejected.update(self.planner.rejected)
        order = {source.scene.path: i for i, source in enumerate(self.sources)}
        total.tiles.sort(key=lambda tile: (order[tile.scene], tile.row, tile.col))
        scenes = [order[tile.scene] for tile in total.tiles]
        outlines = self.planner.plan.plane.outlines(scenes, [t.footprint for t in total.tiles])
        pairs = zip(total.tiles, outlines, strict=True)
        total.tiles = [replace(tile, footprint=outline) for tile, outline in pairs]
        return total

    def _cut_layout(self, cutters: Cutters, progress: Progress) -> Tally:
        candidates = [
            (i, window)
            for i, source in enumerate(self.sources)
            for window in layout_windows(source.scene.grid, self.sampling)
        ]
        places = self.planner.admit(candidates)
        with progress.task("tile", len(places), "tile") as task:
            return self._cut(places, cutters, task)

    def _draw(self, cutters: Cutters, progress: Progress) -> Tally:
        total = self._cutter(0).tally()
        with progress.task("tile", self.sampling.count * len(self.sources), "tile") as task:
            for scene in range(len(self.sources)):
                total.merge(self._draw_scene(scene, cutters, task))
        return total

    def _draw_scene(self, scene: int, cutters: Cutters, task: Task) -> Tally:
        """Draw until the scene has its tiles; rejected draws are replaced by new ones."""
        total, wanted = self._cutter(scene).tally(), self.sampling.count
        seen: set[tuple[int, int]] = set()
        draws = islice(self._windows(scene), wanted * _DRAWS_PER_TILE)
        while len(total.tiles) < wanted:
            drawn = list(islice(draws, wanted - len(total.tiles)))
            if not drawn:
                break
            fresh = {(w.row_off, w.col_off): w for w in drawn}
            windows = [window for place, window in fresh.items() if place not in seen]
            seen.update(fresh)
            total.rejected["repeated"] += len(drawn) - len(windows)
            places = self.planner.admit([(scene, window) for window in windows])
            total.merge(self._cut(places, cutters, task))
        if len(total.tiles) < wanted:
            path = self.sources[scene].scene.path
            logger.warning(
                "%s: %d of %d tiles found in %d draws",
                path, len(total.tiles), wanted, wanted * _DRAWS_PER_TILE,
            )  # fmt: skip
        return total

    def _windows(self, scene: int) -> Iterator[Window]:
        source = self.sources[scene]
        grid, legend, places = source.scene.grid, source.labels.legend, None
        if self.sampling.method == "balanced":
            places = find_places(source.labels, grid, legend, (self.seed, 13, scene))
        rng = np.random.default_rng((self.seed, 11, scene))
        return draw_windows(grid, self.sampling, rng, places, legend)

    def _cut(self, places: list[Place], cutters: Cutters, task: Task) -> Tally:
        total = self._cutter(0).tally()
        for tally in cutters.cut(self._pieces(places), task):
            total.merge(tally)
        return total

    def _pieces(self, places: list[Place]) -> Pieces:
        cutter: SceneCutter | None = None
        for group in self._group(places):
            if cutter is None or cutter.source is not self.sources[group[0].scene]:
                cutter = self._cutter(group[0].scene)
            yield cutter, group

    def _cutter(self, scene: int) -> SceneCutter:
        return SceneCutter(
            source=self.sources[scene],
            name=self.names[scene],
            size=self.sampling.size,
            encoder=self.encoder,
            min_valid=self.min_valid,
            min_labelled=self.min_labelled,
        )

    def _group(self, places: list[Place]) -> Iterator[list[Place]]:
        """Groups of places on one scene that are read at once."""
        by_scene: dict[int, dict[Window, Place]] = {}
        for place in places:
            by_scene.setdefault(place.scene, {})[place.window] = place
        for scene, by_window in sorted(by_scene.items()):
            source = self.sources[scene]
            bytes_per_pixel = source.scene.count * np.dtype(source.scene.dtype).itemsize
            for group in group_windows(list(by_window), self.sampling.size, bytes_per_pixel):
                yield [by_window[window] for window in group]
