"""One picture of many class rasters: a VRT, a small XML file that points at them.

Nothing is copied. What `geoseg.geo.vrt` demands of the VRTs of others holds for these too, where
the rasters lie in the folder of the VRT or below.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import rasterio

from geoseg.errors import OutputError, SceneError, WorkError
from geoseg.geo.cog import sidecar_path
from geoseg.geo.gdal import GDAL_ERRORS, reason
from geoseg.geo.grid import Grid
from geoseg.geo.lattice import lay_out
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import publish
from geoseg.geo.style import class_elements, raster_colormap, raster_qml

_MOST_PIXELS = 2**31 - 1
"""GDAL counts columns and rows in 32 bits."""

_TYPES = {"uint8": "Byte", "uint16": "UInt16"}
_OF_ONE_FILE = ("AREA_OR_POINT", "STATISTICS_", "TIFFTAG_DATETIME")
_STALE_SUFFIXES = (".aux.xml", ".ovr")


@dataclass(frozen=True, slots=True)
class Placed:
    """A raster on the grid of the mosaic."""

    path: Path
    """The raster."""

    grid: Grid
    """Its own grid."""

    row: int
    """Row of the mosaic in which its first row lies."""

    col: int
    """Column of the mosaic in which its first column lies."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What all rasters have in common."""

    dtype: str
    nodata: float | None
    tags: Mapping[str, str]


def place(grids: Sequence[tuple[str | Path, Grid]]) -> tuple[Grid, list[Placed]]:
    """Lay rasters onto the smallest grid that holds them all.

    Args:
        grids: Rasters, or the scenes that they will be made of, with their grids; one or more.

    Returns:
        The grid of the mosaic, and where each raster lies on it.

    Raises:
        SceneError: If one has no CRS or another one than the first, if its pixels are not those
            of the first one's lattice, or if the mosaic would be larger than GDAL can tell.
    """
    for path, grid in grids:
        if grid.crs is None:
            raise SceneError(path, "has no CRS, so no place in a mosaic", "Give --assume-crs")
    whole, corners = lay_out(grids, "Leave it out of the mosaic, or warp it onto the same pixels")
    placed = [
        Placed(Path(path), grid, row, col)
        for (path, grid), (row, col) in zip(grids, corners, strict=True)
    ]
    if max(whole.shape) > _MOST_PIXELS:
        far = max(placed, key=lambda each: max(each.row, each.col))
        problem = f"would make a mosaic of {whole.height} x {whole.width} pixels with {grids[0][0]}"
        raise SceneError(far.path, problem, "Leave out what lies far away")
    return whole, placed


def check_mosaic_name(path: str | Path) -> Path:
    """The path of a mosaic.

    Raises:
        OutputError: If it is not called `.vrt`.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() != ".vrt":
        raise OutputError(path, f'a mosaic cannot be written as "{path.suffix}"', "Name it .vrt")
    return path


def write_mosaic(
    path: str | Path, rasters: Sequence[str | Path], legend: Legend, *, overwrite: bool = False
) -> Grid:
    """Write a VRT over class rasters, with their colours and names, and its QGIS style beside.

    Where rasters overlap, the later one counts; where it has no data, the one below it.

    Args:
        path: The `.vrt`; the caller has called `check_output`. It names the rasters relatively.
        rasters: Class rasters of one lattice, one or more.
        legend: Their classes.
        overwrite: Whether a file that appeared meanwhile is replaced.

    Returns:
        The grid of the mosaic.

    Raises:
        OutputError: If the name is no `.vrt`.
        SceneError: If a raster cannot be read, or does not fit to the first one.
        WorkError: If the file system fails.
    """
    path = check_mosaic_name(path)
    grids, kind, blocks = _look(rasters)
    grid, placed = place(grids)
    names = [relative_to(each.path, path.parent) for each in placed]
    sources = [
        _source(name, each, kind, block)
        for name, each, block in zip(names, placed, blocks, strict=True)
    ]
    text = _dataset(grid, kind, legend, sources)
    with publish(sidecar_path(path, ".qml")) as style:
        style.write_text(raster_qml(legend), encoding="utf-8")
        with publish(path, overwrite=overwrite) as made:
            made.write_text(text, encoding="utf-8")
            _verify(made, path, grid)
    for suffix in _STALE_SUFFIXES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    return grid


def _look(
    rasters: Sequence[str | Path],
) -> tuple[list[tuple[str | Path, Grid]], _Kind, list[tuple[int, int]]]:
    """Grids, what all have in common, and the sides of blocks."""
    grids: list[tuple[str | Path, Grid]] = []
    blocks: list[tuple[int, int]] = []
    kind: _Kind | None = None
    for raster in rasters:
        try:
            with rasterio.open(raster) as dataset:
                own = _Kind(dataset.dtypes[0], dataset.nodata, dataset.tags())
                grid = Grid(
                    height=dataset.height,
                    width=dataset.width,
                    transform=dataset.transform,
                    crs=dataset.crs,
                )
                count, block = dataset.count, dataset.block_shapes[0]
        except GDAL_ERRORS as error:
            raise SceneError(raster, f"cannot be read ({reason(error)})", "Make it anew") from error
        if count != 1 or own.dtype not in _TYPES:
            raise SceneError(
                raster, f"has {count} bands of {own.dtype}, no classes", "Leave it out"
            )
        if kind is not None and (own.dtype, own.nodata) != (kind.dtype, kind.nodata):
            problem = f"is {own.dtype} with nodata {own.nodata}, {rasters[0]} is {kind.dtype}"
            raise SceneError(raster, f"{problem} with nodata {kind.nodata}", "Make it anew")
        shared = own.tags if kind is None else _shared(own.tags, kind.tags)
        kind = _Kind(own.dtype, own.nodata, shared)
        grids.append((raster, grid))
        blocks.append(block)
    assert kind is not None
    return grids, kind, blocks


def _shared(tags: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if others.get(key) == value}


def relative_to(raster: Path, folder: Path) -> str:
    """The way from the folder to a raster; links to folders are followed, as the system does."""
    place = raster.absolute().parent.resolve() / raster.name
    return Path(os.path.relpath(place, folder.absolute().resolve())).as_posix()


def _source(name: str, placed: Placed, kind: _Kind, block: tuple[int, int]) -> str:
    size = f'xSize="{placed.grid.width}" ySize="{placed.grid.height}"'
    nodata = "" if kind.nodata is None else f"<NODATA>{kind.nodata:.17g}</NODATA>"
    return (
        f'<ComplexSource><SourceFilename relativeToVRT="1">{escape(name)}</SourceFilename>'
        "<SourceBand>1</SourceBand>"
        f'<SourceProperties RasterXSize="{placed.grid.width}" RasterYSize="{placed.grid.height}" '
        f'DataType="{_TYPES[kind.dtype]}" BlockXSize="{block[1]}" BlockYSize="{block[0]}"/>'
        f'<SrcRect xOff="0" yOff="0" {size}/>'
        f'<DstRect xOff="{placed.col}" yOff="{placed.row}" {size}/>{nodata}</ComplexSource>'
    )


def _dataset(grid: Grid, kind: _Kind, legend: Legend, sources: Sequence[str]) -> str:
    t = grid.transform
    numbers = ", ".join(repr(float(each)) for each in (t.c, t.a, t.b, t.f, t.d, t.e))
    tags = {key: value for key, value in kind.tags.items() if not key.startswith(_OF_ONE_FILE)}
    tags["GEOSEG_SCENES"] = str(len(sources))
    assert grid.crs is not None
    lines = [
        f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">',
        f"<SRS>{escape(grid.crs.to_wkt())}</SRS>",
        f"<GeoTransform>{numbers}</GeoTransform>",
        "<Metadata>",
        *(f"<MDI key={quoteattr(key)}>{escape(value)}</MDI>" for key, value in tags.items()),
        "</Metadata>",
        f'<VRTRasterBand dataType="{_TYPES[kind.dtype]}" band="1">',
        "<Description>class</Description>",
        *([] if kind.nodata is None else [f"<NoDataValue>{kind.nodata:.17g}</NoDataValue>"]),
        *(_colors(legend) if kind.dtype == "uint8" else []),
        *class_elements(legend),
        *sources,
        "</VRTRasterBand>",
        "</VRTDataset>",
        "",
    ]
    return "\n".join(lines)


def _colors(legend: Legend) -> list[str]:
    """The colour table: its entries stand for the values from 0 on."""
    table = raster_colormap(legend)
    entries = [table.get(value, (0, 0, 0, 255)) for value in range(max(table) + 1)]
    return [
        "<ColorInterp>Palette</ColorInterp>",
        "<ColorTable>",
        *(f'<Entry c1="{r}" c2="{g}" c3="{b}" c4="{a}"/>' for r, g, b, a in entries),
        "</ColorTable>",
    ]


def _verify(made: Path, path: Path, grid: Grid) -> None:
    """Open what was written, as others will."""
    try:
        with rasterio.open(made) as dataset:
            is_same = dataset.shape == grid.shape and dataset.transform == grid.transform
            is_same = is_same and dataset.crs == grid.crs
    except GDAL_ERRORS as error:
        raise WorkError(path, f"does not read back ({reason(error)})", "Check the disk") from error
    if not is_same:
        raise WorkError(path, "a VRT cannot hold this CRS or transform exactly")
