"""The labels of a described data set: any encoding, as class values on the image's own pixels."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from geoseg.errors import LabelError, SceneError
from geoseg.geo.dataset_files import runs_of
from geoseg.geo.dataset_keys import check_two_classes, color_keys, number_keys
from geoseg.geo.dataset_pairs import Pair
from geoseg.geo.dataset_pixels import (
    MatReader,
    PixelSource,
    RasterReader,
    RleReader,
    decode,
    read_mat,
    strips,
)
from geoseg.geo.dataset_tables import (
    ColorLabels,
    IndexLabels,
    MatLabels,
    PolygonLabels,
    RleLabels,
)
from geoseg.geo.gdal import file_stamp, open_dataset
from geoseg.geo.grid import Grid
from geoseg.geo.label_sources import LabelSource, PolygonSource
from geoseg.geo.labels import LabelOptions, Labels
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.values import count_values
from geoseg.geo.vector import count_shapes


class _Background:
    """An image without any polygon."""

    def __init__(self, value: int, dtype: str) -> None:
        self.value, self.dtype = value, dtype

    def mask(self, grid: Grid) -> npt.NDArray[Any]:
        return np.full(grid.shape, self.value, self.dtype)

    def touches(self, grid: Grid) -> bool:  # noqa: ARG002 - as every source
        return True

    def check(self) -> None:
        """There is nothing to refuse."""


def open_labels(pair: Pair, scene: Scene, legend: Legend) -> Labels:
    """Look at the labels of an image.

    Args:
        pair: The image and where its labels are.
        scene: The image at its own pixels.
        legend: The classes.

    Raises:
        LabelError: If they cannot be read, are of another kind or size than expected.
        LegendError: If the legend does not suit the encoding.
    """
    source: LabelSource
    encoding = pair.encoding
    if isinstance(encoding, PolygonLabels):
        try:
            return _open_polygons(pair, scene, legend, encoding)
        except LabelError as error:
            raise _of_description(error) from error
    if isinstance(encoding, RleLabels):
        source = _open_runs(pair, scene, legend, encoding)
    elif isinstance(encoding, MatLabels):
        source = _open_mat(pair, scene, legend, encoding)
    else:
        source = _open_raster(pair, scene, legend, encoding)
    return Labels(path=pair.labels, legend=legend, source=source)


def count_classes(labels: Labels, scene: Scene) -> tuple[dict[int, int], dict[str, int]]:
    """Count the pixels of an image's labels.

    Returns:
        Pixels of each class value and of `ignore`; and of what means no class, as written.

    Raises:
        LabelError: If they cannot be read.
    """
    if isinstance(labels.source, PixelSource):
        return labels.source.count()
    counts: Counter[int] = Counter({labels.legend.ignore: 0})
    for window in strips(scene.grid):
        counts.update(count_values(labels.mask(scene.grid.crop(window))))
    return dict(counts), {}


class SizeError(LabelError):
    """Labels of another size than their image."""


def _open_raster(
    pair: Pair, scene: Scene, legend: Legend, encoding: IndexLabels | ColorLabels
) -> PixelSource:
    by_color = isinstance(encoding, ColorLabels)
    band = encoding.band if isinstance(encoding, IndexLabels) else None
    labels = _open_label_image(pair.labels, band, expand=by_color)
    wanted = 3 if by_color else 1
    if labels.count != wanted or (by_color and labels.dtype != "uint8"):
        found = f"has {labels.count} bands of {labels.dtype}"
        if by_color:
            raise LabelError(
                pair.labels, f"{found}, colours are expected", 'Say encoding = "index"'
            )
        raise LabelError(
            pair.labels, f"{found}, numbers are expected", 'Say encoding = "color", or band = 1'
        )
    _check_size(pair, labels.grid.shape, scene)
    _check_place(pair, scene)
    table = color_keys(legend, encoding) if by_color else number_keys(legend, encoding)
    if labels.nodata is not None and not by_color and float(labels.nodata).is_integer():
        table.setdefault(int(labels.nodata), legend.ignore)
    # A nodata value hides no class: the description says what a number means.
    labels = replace(labels, grid=scene.grid, nodata_values=(None,) * labels.count)
    reader = RasterReader(scene=labels, by_color=by_color, threshold=encoding.threshold)
    return PixelSource(
        path=pair.labels,
        grid=scene.grid,
        legend=legend,
        table=table,
        reader=reader,
        by_color=by_color,
    )


def _open_label_image(path: str, band: int | None, *, expand: bool) -> Scene:
    options = SceneOptions(
        bands=None if band is None else (band,),
        resampling="nearest",
        assume_crs="none",
        expand_palette=expand,
    )
    try:
        return Scene.open(path, options)
    except SceneError as error:
        raise LabelError(error.subject, error.problem, error.cure) from error


def _open_mat(pair: Pair, scene: Scene, legend: Legend, encoding: MatLabels) -> PixelSource:
    array = read_mat(pair.labels, encoding.variable, file_stamp(pair.labels))
    _check_size(pair, array.shape, scene)
    return PixelSource(
        path=pair.labels,
        grid=scene.grid,
        legend=legend,
        table=number_keys(legend, encoding),
        reader=MatReader(path=pair.labels, variable=encoding.variable),
    )


def _open_runs(pair: Pair, scene: Scene, legend: Legend, encoding: RleLabels) -> PixelSource:
    check_two_classes(legend)
    subject = f"{pair.labels}, {pair.key}"
    runs = runs_of(pair.labels, encoding)[pair.key]
    decode(runs, scene.grid.shape, subject)
    return PixelSource(
        path=subject,
        grid=scene.grid,
        legend=legend,
        table={0: 0, 1: legend.foreground[0].value},
        reader=RleReader(subject=subject, runs=runs, shape=scene.grid.shape),
    )


def _is_blank(path: str) -> bool:
    """Whether it is GeoJSON of no bytes, which SpaceNet has for images without any building."""
    return path.lower().endswith((".geojson", ".json")) and Path(path).stat().st_size == 0


def _open_polygons(pair: Pair, scene: Scene, legend: Legend, encoding: PolygonLabels) -> Labels:
    polygons, thin = (0, 0)
    if not _is_blank(pair.labels):
        polygons, thin = count_shapes(pair.labels, encoding.layer)
    skipped = thin if encoding.buffer is None else 0
    if polygons + thin == skipped:
        fill = legend.ignore if legend.background is None else legend.background.value
        empty = _Background(fill, legend.dtype)
        return Labels(path=pair.labels, legend=legend, source=empty, skipped=skipped)
    options = LabelOptions(
        field=encoding.field, layer=encoding.layer, buffer=encoding.buffer, skip_thin=True
    )
    labels = Labels.open(pair.labels, legend, options)
    source = labels.source
    if isinstance(source, PolygonSource) and scene.grid.crs is None and source.crs is not None:
        raise LabelError(pair.labels, "has a CRS, but the image has none", "Georeference the image")
    if not labels.touches(_surroundings(scene.grid)):
        raise LabelError(pair.labels, "lies away from its image", "Check the CRS of both")
    return replace(labels, skipped=skipped)


def _surroundings(grid: Grid) -> Grid:
    """An image and as much again on every side.

    Polygons there are a neighbour's, and the image is background; farther away they are wrong.
    """
    corner = Affine.translation(-grid.width, -grid.height)
    return replace(
        grid, height=3 * grid.height, width=3 * grid.width, transform=grid.transform @ corner
    )


def _of_description(error: LabelError) -> LabelError:
    """An error that names the keys of a description, and not options of other commands."""
    cure = re.sub(r"-{2}label-(field|layer|buffer)(?: METRES)?", r"`\1` of [labels]", error.cure)
    if "--" in cure:
        cure = "Give image and labels one CRS"
    return LabelError(error.subject, error.problem, cure)


def _check_place(pair: Pair, scene: Scene) -> None:
    """Refuse labels that bear another place than their image; often only one bears any."""
    if scene.grid.crs is None:
        return
    with open_dataset(pair.labels) as dataset:
        crs, transform = dataset.crs, dataset.transform
    if crs != scene.grid.crs:
        return
    col, row = ~scene.grid.transform @ (transform @ (0, 0))
    if max(abs(col), abs(row)) >= 1:
        raise LabelError(
            pair.labels,
            f"begins {row:.0f} rows and {col:.0f} columns away from its image",
            "Check that both belong together",
        )


def _check_size(pair: Pair, shape: tuple[int, ...], scene: Scene) -> None:
    if tuple(shape) != scene.grid.shape:
        height, width = scene.grid.shape
        raise SizeError(
            pair.labels, f"has {shape[0]} x {shape[1]} pixels, its image {height} x {width}"
        )
