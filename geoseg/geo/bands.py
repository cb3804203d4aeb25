"""Which bands of a file are read, what they are called, and the colours of paletted ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader

from geoseg.errors import SceneError
from geoseg.geo.validity import alpha_band

Colormap = dict[int, tuple[int, int, int, int]]

_PRIMARY = ("red", "green", "blue")


def choose_bands(
    path: str, dataset: DatasetReader, wanted: tuple[int | str, ...] | None, *, expand: bool
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Resolve the bands asked for.

    Args:
        path: Of the file, for errors.
        dataset: The file.
        wanted: Numbers from 1, or names in any case; None takes all but alpha.
        expand: Whether the bands are the red, green and blue of a palette.

    Returns:
        Numbers and names of the bands, in the order asked for.

    Raises:
        SceneError: If there is no such band, a name is not unique, or none is left.
    """
    available = (1, 2, 3) if expand else _colored(dataset)
    names = _PRIMARY if expand else band_names(dataset, available)
    if wanted is None:
        wanted = available
    if not wanted:
        raise SceneError(path, "has no bands to read", "Give a file that holds one raster")
    listing = ", ".join(f"{b} {n}".strip() for b, n in zip(available, names, strict=True))
    chosen = [_find(path, band, available, names, listing) for band in wanted]
    return tuple(chosen), tuple(names[available.index(band)] for band in chosen)


def band_names(dataset: DatasetReader, bands: tuple[int, ...]) -> tuple[str, ...]:
    """Descriptions; where a file has none, red, green and blue by its colour interpretation."""
    names = [dataset.descriptions[band - 1] or "" for band in bands]
    colors = [dataset.colorinterp[band - 1] for band in bands]
    primary = {ColorInterp.red, ColorInterp.green, ColorInterp.blue}
    if not any(names) and set(colors) == primary and len(colors) == len(primary):
        names = [color.name for color in colors]
    return tuple(names)


def common_dtype(path: str, dataset: DatasetReader, bands: tuple[int, ...]) -> str:
    """The dtype that all bands share.

    Raises:
        SceneError: If they differ, or are complex.
    """
    dtypes = sorted({dataset.dtypes[band - 1] for band in bands})
    if len(dtypes) > 1:
        raise SceneError(path, f"has bands of types {', '.join(dtypes)}", "Choose --bands of one")
    if "complex" in dtypes[0]:
        raise SceneError(path, f"holds {dtypes[0]} numbers", "Give their amplitude instead")
    return str(dtypes[0])


def colormap_of(dataset: DatasetReader) -> Colormap | None:
    """The colours of a file of one paletted band."""
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    colormap: Colormap = dataset.colormap(1)
    return colormap


def expand_palette(
    indices: npt.NDArray[Any], colormap: Colormap, bands: tuple[int, ...]
) -> npt.NDArray[np.uint8]:
    """Replace indices (height, width) by their colours (bands, height, width).

    Args:
        indices: Values of a paletted band; those without a colour become black.
        colormap: Colours by value.
        bands: 1 red, 2 green, 3 blue, in the order wanted.
    """
    table = np.zeros((len(bands), np.iinfo(indices.dtype).max + 1), dtype=np.uint8)
    for value, color in colormap.items():
        table[:, value] = [color[band - 1] for band in bands]
    colors: npt.NDArray[np.uint8] = table[:, indices]
    return colors


def _colored(dataset: DatasetReader) -> tuple[int, ...]:
    alpha = alpha_band(dataset)
    return tuple(band for band in dataset.indexes if band != alpha)


def _find(
    path: str, wanted: int | str, available: tuple[int, ...], names: tuple[str, ...], listing: str
) -> int:
    if isinstance(wanted, str):
        matches = [
            band
            for band, name in zip(available, names, strict=True)
            if name and name.casefold() == wanted.strip().casefold()
        ]
        if len(matches) > 1:
            raise SceneError(path, f"has several bands {wanted!r}", "Choose --bands by number")
        if matches:
            return matches[0]
    number = int(wanted) if isinstance(wanted, int) or wanted.strip().isdecimal() else None
    if number not in available:
        raise SceneError(path, f"has no band {wanted!r}", f"Its bands are: {listing}")
    return number
