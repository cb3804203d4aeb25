"""Tile sets and scenes as data sets of torchgeo, for its samplers, loaders and trainers.

Importing this module imports torchgeo, which takes seconds; nothing else of geoseg imports it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import numpy.typing as npt
import pandas as pd
import shapely
import torch
from affine import Affine
from rasterio.crs import CRS
from torch import Tensor
from torchgeo.datasets import GeoDataset, NonGeoDataset

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.labelled import open_labelled
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.splits import Split
from geoseg.geo.tileset import TileSet

__all__ = ["SceneDataset", "TileSetDataset"]

Sample = dict[str, Any]
Transforms = Callable[[Sample], Sample]


class TileSetDataset(NonGeoDataset):
    """Tiles of one split of a tile set.

    A sample is `image` (bands, size, size) float32 in raw units, pixels without data the mean of
    their band, and `mask` (size, size) int64: channel indices, `ignore_index` where nothing is
    known or the image has no data.

    Args:
        root: The tile set.
        split: Which part of it.
        transforms: Applied to every sample.

    Raises:
        TileSetError: If the tile set cannot be read, or has no such split.
    """

    def __init__(
        self, root: str | Path, split: Split = "train", transforms: Transforms | None = None
    ) -> None:
        self.tileset = TileSet.open(root)
        self.split = split
        self.transforms = transforms
        self._tiles = self.tileset.split(split)
        self.classes = self.tileset.legend.names
        """Names of the classes, in the order of the channels."""
        self.ignore_index = self.tileset.legend.ignore_index
        """What stands in masks where no class does; hand it to the trainer."""
        self.bands = self.tileset.band_names
        """Names of the bands; empty where unknown."""
        self.mean = _finite(self.tileset.stats.mean, 0.0)
        """Mean of each band (bands,) in raw units, to normalise by."""
        self.std = _finite(self.tileset.stats.std, 1.0).clamp(min=1e-6)
        """Standard deviation of each band (bands,)."""

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self._tiles)

    def __getitem__(self, index: int) -> Sample:
        """Read a tile.

        Raises:
            IndexError: If there is no such tile.
            TileSetError: If a file is damaged.
        """
        data, mask, valid = self.tileset.read_tile(self._tiles[index])
        image = _filled(data, valid, self.mean.numpy())
        target = _encoded(self.tileset.legend, mask, valid)
        sample = {"image": torch.from_numpy(image), "mask": torch.from_numpy(target)}
        return sample if self.transforms is None else self.transforms(sample)


class SceneDataset(GeoDataset):
    """Scenes, and labels if there are any, as one layer of torchgeo's samplers.

    A sample is what lies on the place asked for, in the data set's CRS and resolution: `image`
    (bands, height, width) float32 in raw units, 0 where no scene has data; with labels `mask`
    (height, width) int64: channel indices, `ignore_index` where nothing is known; `crs` and
    `bounds` as torchgeo's own data sets give them. Where scenes overlap, the first one counts.

    Args:
        scenes: Files, folders, globs or `@list.txt`.
        labels: Labels: a file, a folder or a pattern with `{stem}`; None gives images alone.
        legend: The classes; None takes what the labels hold.
        scene_options: How to look at the scenes; their resolution is `res`.
        label_options: How to look at the labels.
        crs: CRS of the samples; that of the first scene where None.
        res: Pixel size of the samples in units of the CRS; that of the first scene where None.
        transforms: Applied to every sample.

    Raises:
        SceneError: If a scene cannot be read, has no CRS, or is unlike the others.
        LabelError: If the labels cannot be read or do not touch a scene.
        LegendError: If the legend is wrong.
    """

    def __init__(  # noqa: PLR0913 - torchgeo's own arguments beside those of the labels
        self,
        scenes: str | Path | Sequence[str | Path],
        labels: str | None = None,
        legend: str | Path | Legend | None = None,
        *,
        scene_options: SceneOptions | None = None,
        label_options: LabelOptions | None = None,
        crs: Any = None,  # noqa: ANN401 - whatever pyproj takes
        res: float | tuple[float, float] | None = None,
        transforms: Transforms | None = None,
    ) -> None:
        options = scene_options or SceneOptions()
        if options.resolution is not None:
            raise ConfigError("resolution", "is given for the scenes", "Give res instead")
        self.paths = find_scenes([scenes] if isinstance(scenes, str | Path) else scenes)
        self.transforms = transforms
        self._labels: list[Labels] = []
        if labels is None:
            self._scenes = [Scene.open(path, options) for path in self.paths]
        else:
            pairs = open_labelled(self.paths, labels, legend, options, label_options)
            self._scenes = [pair.scene for pair in pairs]
            self._labels = [pair.labels for pair in pairs]
        first = self._scenes[0]
        self.bands = first.band_names
        """Names of the bands; empty where unknown."""
        self.classes = self._labels[0].legend.names if self._labels else ()
        """Names of the classes, in the order of the channels."""
        self.ignore_index = self._labels[0].legend.ignore_index if self._labels else None
        """What stands in masks where no class does; hand it to the trainer."""
        self.index = _index(self._scenes)
        if crs is not None:
            self.index = self.index.to_crs(crs)
        self._res = _resolution(first, self.crs) if res is None else _pair(res)

    def __getitem__(self, query: Any) -> Sample:  # noqa: ANN401 - slices of torchgeo
        """Read what lies at a place.

        Args:
            query: `[xmin:xmax:xres, ymin:ymax:yres, tmin:tmax]`, as samplers give it.

        Raises:
            IndexError: If no scene lies there.
            SceneError: If a scene is broken there.
        """
        x, y, _ = self._disambiguate_slice(query)
        width = max(round((x.stop - x.start) / x.step), 1)
        height = max(round((y.stop - y.start) / y.step), 1)
        grid = Grid(
            height=height,
            width=width,
            transform=Affine(x.step, 0, x.start, 0, -y.step, y.stop),
            crs=CRS.from_wkt(self.crs.to_wkt()),
        )
        box = shapely.box(x.start, y.start, x.stop, y.stop)
        hits = np.flatnonzero(self.index.geometry.intersects(box))
        if not len(hits):
            raise IndexError(f"no scene lies at {query} within {self.bounds}")
        sample: Sample = {"crs": self.crs, "bounds": query, **self._read(hits, grid)}
        return sample if self.transforms is None else self.transforms(sample)

    def _read(self, hits: npt.NDArray[np.intp], grid: Grid) -> Sample:
        """What some scenes hold on a grid, the first of them on top."""
        known = np.zeros(grid.shape, np.bool_)
        image = np.zeros((self._scenes[0].count, *grid.shape), np.float32)
        mask = np.full(grid.shape, self.ignore_index or 0, np.int64)
        for hit in hits:
            raster = self._scenes[hit].read_onto(grid)
            fresh = raster.valid & ~known
            values = np.nan_to_num(raster.data.astype(np.float32), posinf=0, neginf=0)
            np.copyto(image, values, where=fresh)
            if self._labels and fresh.any():
                labels = self._labels[hit]
                np.copyto(mask, _encoded(labels.legend, labels.mask(grid), fresh), where=fresh)
            known |= fresh
        sample = {"image": torch.from_numpy(image)}
        return {**sample, "mask": torch.from_numpy(mask)} if self._labels else sample


def _index(scenes: Sequence[Scene]) -> geopandas.GeoDataFrame:
    """Torchgeo's index: an outline for each scene, valid at all times."""
    first = scenes[0].grid.crs
    outlines = []
    for scene in scenes:
        if scene.grid.crs is None or first is None:
            raise SceneError(scene.path, "has no CRS", "Use its tiles, by TileSetDataset")
        outline = geopandas.GeoSeries([_outline(scene.grid)], crs=scene.grid.crs.to_wkt())
        outlines.append(outline.to_crs(first.to_wkt()).iloc[0])
    assert first is not None
    always = pd.IntervalIndex.from_tuples(
        [(pd.Timestamp.min, pd.Timestamp.max)] * len(scenes), closed="both", name="datetime"
    )
    data = {"filepath": [scene.path for scene in scenes]}
    return geopandas.GeoDataFrame(data, index=always, geometry=outlines, crs=first.to_wkt())


def _outline(grid: Grid) -> shapely.Polygon:
    corners = [(0, 0), (grid.width, 0), (grid.width, grid.height), (0, grid.height)]
    return shapely.Polygon([grid.transform @ corner for corner in corners])


def _resolution(scene: Scene, crs: Any) -> tuple[float, float]:  # noqa: ANN401 - of pyproj
    """Pixel size of a scene in units of a CRS: its own there, or by the size of its outline."""
    grid = scene.grid
    frame = geopandas.GeoSeries([_outline(grid)], crs=grid.crs.to_wkt() if grid.crs else None)
    if frame.crs == crs:
        return grid.res
    scale = float(np.sqrt(frame.to_crs(crs).area.iloc[0] / (grid.height * grid.width)))
    return scale, scale


def _pair(res: float | tuple[float, float]) -> tuple[float, float]:
    return res if isinstance(res, tuple) else (res, res)


def _encoded(
    legend: Legend, mask: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """Channel indices, `ignore_index` where nothing is valid."""
    encoded = legend.encode(mask).astype(np.int64)
    return np.where(valid, encoded, legend.ignore_index)


def _filled(
    data: npt.NDArray[Any], valid: npt.NDArray[np.bool_], mean: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    values = data.astype(np.float32)
    known = np.isfinite(values) & valid
    return np.where(known, values, mean[:, None, None].astype(np.float32))


def _finite(values: Sequence[float], other: float) -> Tensor:
    return torch.tensor([value if np.isfinite(value) else other for value in values])
