"""The pixels of one raster at the places of another grid, by the nearest pixel.

Done here and not by GDAL's warper, whose nearest pixel is up to an eighth of a pixel off, differs
with the window asked for, and knows another rule of what is valid than scenes do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyproj import Transformer
from rasterio.windows import Window

from geoseg.geo.grid import Grid
from geoseg.geo.raster import Scene

_SNAP = 1e-6
"""Pixels; a centre this little left of an edge lies on it, and belongs to the next pixel."""

_STEP = 64
"""Pixels between exactly transformed places, at first."""

_TOLERANCE = 0.01
"""Pixels that a place found by interpolation may be off."""

_MOST_PIXELS = 16 << 20
"""Pixels of the scene read at once."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def sample_nearest(
    scene: Scene, grid: Grid
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.bool_]]:
    """Read the pixel of `scene` in which each pixel centre of `grid` lies.

    Args:
        scene: The raster; both or neither have a CRS.
        grid: The places.

    Returns:
        Values (bands, height, width), and where they are valid (height, width): False where the
        scene has no data, and outside of it.

    Raises:
        SceneError: If the scene cannot be read.
    """
    data = np.zeros((scene.count, *grid.shape), dtype=scene.dtype)
    valid = np.zeros(grid.shape, dtype=np.bool_)
    offset = integer_offset(scene.grid, grid)
    if offset is None:
        _sample(scene, grid, data, valid)
    else:
        _copy(scene, offset, data, valid)
    return data, valid


def integer_offset(scene: Grid, grid: Grid) -> tuple[int, int] | None:
    """Row and column of the scene at which `grid` starts; None where pixels do not coincide."""
    if scene.crs != grid.crs:
        return None
    inverse = ~scene.transform
    col, row = inverse @ (grid.transform @ (0, 0))
    start = round(row), round(col)
    for corner in ((0, 0), (grid.width, 0), (0, grid.height)):
        x, y = inverse @ (grid.transform @ corner)
        if max(abs(x - start[1] - corner[0]), abs(y - start[0] - corner[1])) > 1e-3:
            return None
    return start


def pixel_places(scene: Grid, grid: Grid) -> tuple[Floats, Floats]:
    """Where the pixel centres of `grid` lie on `scene`, in its rows and columns.

    Returns:
        Rows and columns (height, width); infinite where the CRS of the scene has no such place.
    """
    rows, cols = _centres(grid.height), _centres(grid.width)
    if scene.crs == grid.crs:
        return _exact_places(scene, grid, rows, cols)
    transformer = Transformer.from_crs(grid.crs, scene.crs, always_xy=True)
    step = _STEP
    while step > 1:
        knot_rows, knot_cols = _knots(grid.height, step), _knots(grid.width, step)
        knots = _exact_places(scene, grid, knot_rows, knot_cols, transformer)
        if _is_smooth(scene, grid, knots, (knot_rows, knot_cols), transformer):
            return (
                _interpolate(knots[0], (knot_rows, knot_cols), (rows, cols)),
                _interpolate(knots[1], (knot_rows, knot_cols), (rows, cols)),
            )
        step //= 4
    return _exact_places(scene, grid, rows, cols, transformer)


def _copy(
    scene: Scene,
    offset: tuple[int, int],
    data: npt.NDArray[np.generic],
    valid: npt.NDArray[np.bool_],
) -> None:
    """Fill in what lies inside the scene, pixel on pixel."""
    row, col = offset
    height, width = valid.shape
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + height, scene.grid.height), min(col + width, scene.grid.width)
    if top >= bottom or left >= right:
        return
    part = scene.read(Window(left, top, right - left, bottom - top))
    place = (slice(top - row, bottom - row), slice(left - col, right - col))
    data[:, *place] = part.data
    valid[place] = part.valid


def _sample(
    scene: Scene, grid: Grid, data: npt.NDArray[np.generic], valid: npt.NDArray[np.bool_]
) -> None:
    """Fill in by the nearest pixel; in halves where the scene is much finer than the grid."""
    rows, cols, inside = _nearest(scene.grid, grid)
    if not inside.any():
        return
    top, bottom = rows[inside].min(), rows[inside].max() + 1
    left, right = cols[inside].min(), cols[inside].max() + 1
    if (bottom - top) * (right - left) > _MOST_PIXELS and valid.size > 1:
        for half in _halves(grid.shape):
            window = Window(half[1].start, half[0].start, *_extent(half))
            _sample(scene, grid.crop(window), data[:, *half], valid[half])
        return
    part = scene.read(Window(int(left), int(top), int(right - left), int(bottom - top)))
    at = (rows[inside] - top, cols[inside] - left)
    data[:, inside] = part.data[:, *at]
    valid[inside] = part.valid[at]


def _nearest(scene: Grid, grid: Grid) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
    with np.errstate(invalid="ignore"):  # infinite where the CRS of the scene ends
        rows, cols = pixel_places(scene, grid)
    finite = np.isfinite(rows) & np.isfinite(cols)
    row = np.floor(np.where(finite, rows, -1) + _SNAP).astype(np.int64)
    col = np.floor(np.where(finite, cols, -1) + _SNAP).astype(np.int64)
    inside = (row >= 0) & (row < scene.height) & (col >= 0) & (col < scene.width)
    return row, col, inside


def _exact_places(
    scene: Grid, grid: Grid, rows: Floats, cols: Floats, transformer: Transformer | None = None
) -> tuple[Floats, Floats]:
    t = grid.transform
    x = t.a * cols[None, :] + t.b * rows[:, None] + t.c
    y = t.d * cols[None, :] + t.e * rows[:, None] + t.f
    if transformer is not None:
        x, y = transformer.transform(x, y)
    inverse = ~scene.transform
    return (
        inverse.d * x + inverse.e * y + inverse.f,
        inverse.a * x + inverse.b * y + inverse.c,
    )


def _centres(length: int) -> Floats:
    centres: Floats = np.arange(length, dtype=np.float64) + 0.5
    return centres


def _knots(length: int, step: int) -> Floats:
    """Places about `step` apart, from the first pixel's centre to the last one's."""
    return np.linspace(0.5, length - 0.5, max(-(-length // step), 1) + 1)


def _is_smooth(
    scene: Grid,
    grid: Grid,
    knots: tuple[Floats, Floats],
    places: tuple[Floats, Floats],
    transformer: Transformer,
) -> bool:
    """Whether interpolation is right in the middle of all knots."""
    middles = ((places[0][1:] + places[0][:-1]) / 2, (places[1][1:] + places[1][:-1]) / 2)
    exact = _exact_places(scene, grid, *middles, transformer)
    gaps = [np.abs(_interpolate(k, places, middles) - e) for k, e in zip(knots, exact, strict=True)]
    return bool(np.max(gaps) < _TOLERANCE)


def _interpolate(
    values: Floats, places: tuple[Floats, Floats], wanted: tuple[Floats, Floats]
) -> Floats:
    """Linear interpolation on a lattice, along the columns and then along the rows."""
    along = _interpolate_rows(values.T, places[1], wanted[1]).T
    return _interpolate_rows(along, places[0], wanted[0])


def _interpolate_rows(values: Floats, places: Floats, wanted: Floats) -> Floats:
    if places[0] == places[-1]:
        return np.repeat(values[:1], len(wanted), axis=0)
    index = np.clip(np.searchsorted(places, wanted) - 1, 0, len(places) - 2)
    share = ((wanted - places[index]) / (places[index + 1] - places[index]))[:, None]
    return values[index] * (1 - share) + values[index + 1] * share


def _halves(shape: tuple[int, int]) -> list[tuple[slice, slice]]:
    height, width = shape
    if height >= width:
        middle = height // 2
        return [(slice(0, middle), slice(0, width)), (slice(middle, height), slice(0, width))]
    middle = width // 2
    return [(slice(0, height), slice(0, middle)), (slice(0, height), slice(middle, width))]


def _extent(half: tuple[slice, slice]) -> tuple[int, int]:
    """Width and height of a part."""
    return half[1].stop - half[1].start, half[0].stop - half[0].start
