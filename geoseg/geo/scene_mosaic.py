"""Scenes of one lattice made into one scene: a VRT, a small XML file that points at them.

Unlike GDAL's own tools it never resamples, converts or leaves out anything silently: tiles that
are not of one making are refused. Where tiles overlap, the later one counts wherever it has data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from xml.sax.saxutils import escape

import shapely

from geoseg.errors import SceneError
from geoseg.geo.grid import Grid
from geoseg.geo.mosaic_sources import Tile
from geoseg.geo.mosaic_vrt import place, relative_to
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.remote import is_remote, vsi_path

_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "float32": "Float32",
    "float64": "Float64",
}
_HIDDEN, _SHOWN = "<NODATA>0</NODATA>", "<NODATA>255</NODATA>"
"""What of a mask is not drawn."""

_Box = tuple[int, int, int, int]
"""First row and column of the mosaic, and behind the last ones."""

_MOST_BLOCK_ROWS = 1024
"""Rows of a tile that is one block would else be the rows in memory."""


@dataclass(frozen=True, slots=True)
class _Band:
    """A band of one tile."""

    path: str
    number: int
    name: str
    nodata: float | None
    block: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Look:
    """What is known of one tile."""

    name: str
    grid: Grid
    dtype: str
    has_nodata: bool
    bands: tuple[_Band, ...]
    hiding: tuple[_Band, ...]
    """Of each file whose mask or alpha hides pixels the first band."""


def compose(tiles: Sequence[Tile], output: Path, options: SceneOptions, jobs: int | None) -> str:
    """The text of a VRT over tiles.

    Args:
        tiles: One or more; the later ones on top.
        output: The `.vrt` to be; files are named relatively to it.
        options: How tiles are looked at.
        jobs: Threads that look at them; None takes GDAL's and Python's usual number.

    Raises:
        SceneError: If a tile cannot be read, or is unlike the first one in CRS, pixels, bands,
            type or nodata value.
    """
    with ThreadPoolExecutor(jobs) as pool:
        looks = list(pool.map(partial(_look, options=options), tiles))
    for look in looks[1:]:
        _check_alike(look, looks[0])
    whole, placed = place([(look.name, look.grid) for look in looks])
    corners = [(each.row, each.col) for each in placed]
    return "\n".join(_dataset(whole, looks, corners, partial(_file_name, folder=output.parent)))


def _look(tile: Tile, options: SceneOptions) -> _Look:
    scenes: list[Scene] = []
    bands: list[_Band] = []
    hiding: dict[str, _Band] = {}
    for part in tile.parts:
        scene = Scene.open(part.path, replace(options, bands=part.bands))
        if scene.is_paletted:
            raise SceneError(tile.name, "is paletted", "Expand it: gdal_translate -expand rgb")
        if scenes and scene.grid != scenes[0].grid:
            problem = f"lies on another grid than {scenes[0].path}"
            raise SceneError(part.path, problem, "Choose assets of one pixel size")
        names = part.names if len(part.names) == scene.count else scene.band_names
        nodata = scene.nodata_values if scene.validity == "values" else (None,) * scene.count
        block = scene.block_shape()
        for number, name, value in zip(scene.bands, names, nodata, strict=True):
            bands.append(_Band(part.path, number, name, value, block))
        if scene.validity == "mask":
            hiding.setdefault(part.path, bands[-scene.count])
        scenes.append(scene)
    dtypes = {scene.dtype for scene in scenes}
    if len(dtypes) > 1:
        raise SceneError(tile.name, f"has bands of types {', '.join(sorted(dtypes))}", "Choose one")
    has_nodata = [band.nodata is not None for band in bands]
    if any(has_nodata) and not all(has_nodata):
        raise SceneError(tile.name, "has bands with and without nodata values", "Choose one kind")
    if scenes[0].dtype not in _TYPES:
        raise SceneError(tile.name, f"is {scenes[0].dtype}, which a VRT cannot hold", "Convert it")
    return _Look(
        name=tile.name,
        grid=scenes[0].grid,
        dtype=scenes[0].dtype,
        has_nodata=all(has_nodata),
        bands=tuple(bands),
        hiding=tuple(hiding.values()),
    )


def _check_alike(look: _Look, first: _Look) -> None:
    cure = "Leave it out of the mosaic, or convert it"
    for what, mine, other in (
        ("bands", len(look.bands), len(first.bands)),
        ("type", look.dtype, first.dtype),
        ("nodata", _nodata(look), _nodata(first)),
        ("names of bands", _names(look), _names(first)),
    ):
        if mine != other:
            problem = f"{what}: {mine}, those of {first.name} are {other}"
            raise SceneError(look.name, problem, cure)


def _nodata(look: _Look) -> str:
    """As text, in which NaN equals NaN."""
    return ", ".join(dict.fromkeys(str(band.nodata) for band in look.bands))


def _names(look: _Look) -> str:
    return ", ".join(band.name or "-" for band in look.bands)


def _file_name(path: str, folder: Path) -> tuple[str, int]:
    """How a VRT names a file, and whether that is relative to it."""
    if is_remote(path):
        return vsi_path(path), 0
    return relative_to(Path(path), folder), 1


_Namer = Callable[[str], tuple[str, int]]


def _dataset(
    grid: Grid, looks: Sequence[_Look], corners: Sequence[tuple[int, int]], namer: _Namer
) -> Iterator[str]:
    t, first = grid.transform, looks[0]
    numbers = ", ".join(repr(float(each)) for each in (t.c, t.a, t.b, t.f, t.d, t.e))
    yield f'<VRTDataset rasterXSize="{grid.width}" rasterYSize="{grid.height}">'
    if grid.crs is not None:
        yield f"<SRS>{escape(grid.crs.to_wkt())}</SRS>"
    yield f"<GeoTransform>{numbers}</GeoTransform>"
    rows = min(max(band.block[0] for look in looks for band in look.bands), _MOST_BLOCK_ROWS)
    cols = min(max(band.block[1] for look in looks for band in look.bands), grid.width)
    kind = f'dataType="{_TYPES[first.dtype]}" blockXSize="{cols}" blockYSize="{rows}"'
    for index, band in enumerate(first.bands):
        yield f'<VRTRasterBand {kind} band="{index + 1}">'
        if band.name:
            yield f"<Description>{escape(band.name)}</Description>"
        if band.nodata is not None:
            yield f"<NoDataValue>{band.nodata!r}</NoDataValue>"
        for look, corner in zip(looks, corners, strict=True):
            own = look.bands[index]
            hides = "<UseMaskBand>true</UseMaskBand>"
            if own.nodata is not None:
                hides = f"<NODATA>{own.nodata!r}</NODATA>"
            yield _source(look, own, str(own.number), hides, namer, corner)
        yield "</VRTRasterBand>"
    if not first.has_nodata:
        yield f'<MaskBand><VRTRasterBand dataType="Byte" blockXSize="{cols}" blockYSize="{rows}">'
        for look, corner in zip(looks, corners, strict=True):
            shows = look.hiding[0] if look.hiding else look.bands[0]
            yield _source(look, shows, f"mask,{shows.number}", _HIDDEN, namer, corner)
        yield from _more_masks(looks, corners, namer)
        yield "</VRTRasterBand></MaskBand>"
    yield "</VRTDataset>\n"


def _more_masks(
    looks: Sequence[_Look], corners: Sequence[tuple[int, int]], namer: _Namer
) -> Iterator[str]:
    """Hide what any file but the first of a tile hides, where no other tile lies.

    Where tiles overlap, each band comes of any of them that has data there: masks of a single
    tile would hide what others show, and a VRT cannot combine those of all.
    """
    boxes = [
        (row, col, row + look.grid.height, col + look.grid.width)
        for look, (row, col) in zip(looks, corners, strict=True)
    ]
    tree = shapely.STRtree([shapely.box(*box) for box in boxes])
    for index, (look, corner) in enumerate(zip(looks, corners, strict=True)):
        if len(look.hiding) < 2:
            continue
        free = [boxes[index]]
        for near in tree.query(tree.geometries[index]):
            if near != index:
                free = [part for box in free for part in _without(box, boxes[near])]
        for band, box in product(look.hiding[1:], free):
            yield _source(look, band, f"mask,{band.number}", _SHOWN, namer, corner, box)


def _without(box: _Box, other: _Box) -> list[_Box]:
    """What of a box lies outside of another: up to four boxes."""
    top, left = max(box[0], other[0]), max(box[1], other[1])
    bottom, right = min(box[2], other[2]), min(box[3], other[3])
    if top >= bottom or left >= right:
        return [box]
    parts = [
        (box[0], box[1], top, box[3]),
        (bottom, box[1], box[2], box[3]),
        (top, box[1], bottom, left),
        (top, right, bottom, box[3]),
    ]
    return [part for part in parts if part[0] < part[2] and part[1] < part[3]]


def _source(
    look: _Look,
    band: _Band,
    number: str,
    hides: str,
    namer: _Namer,
    corner: tuple[int, int],
    box: _Box | None = None,
) -> str:
    """A band or mask of a tile, or of a box of it, drawn where it is not what `hides` tells."""
    name, is_relative = namer(band.path)
    row, col = corner
    top, left, bottom, right = box or (row, col, row + look.grid.height, col + look.grid.width)
    size = f'xSize="{right - left}" ySize="{bottom - top}"'
    return (
        f'<ComplexSource><SourceFilename relativeToVRT="{is_relative}">{escape(name)}'
        f"</SourceFilename><SourceBand>{number}</SourceBand>"
        f'<SourceProperties RasterXSize="{look.grid.width}" RasterYSize="{look.grid.height}" '
        f'DataType="{_TYPES[look.dtype]}" BlockXSize="{band.block[1]}" '
        f'BlockYSize="{band.block[0]}"/>'
        f'<SrcRect xOff="{left - col}" yOff="{top - row}" {size}/>'
        f'<DstRect xOff="{left}" yOff="{top}" {size}/>{hides}</ComplexSource>'
    )
