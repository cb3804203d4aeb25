"""Which rasters, and which of their bands, are meant by names of a STAC item's assets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoseg.errors import SceneError

_RASTER_TYPES = ("image/tiff", "image/jp2", "image/vnd.stac.geotiff", "image/x.geotiff")
_NO_DATA_ROLES = {"thumbnail", "overview", "metadata", "visual"}
_BAND_LISTS = ("bands", "eo:bands", "raster:bands")
"""Of STAC 1.1, and of the extensions before it."""

_BAND_NAMES = ("name", "common_name", "eo:common_name")


@dataclass(frozen=True, slots=True)
class Part:
    """Some bands of a tile, out of one file."""

    path: str
    """The file."""

    bands: tuple[int, ...] | None = None
    """Numbers of the bands, from 1; None takes all but alpha."""

    names: tuple[str, ...] = ()
    """What they are called; none takes the file's own names."""


def parts_of(name: str, item: Any, wanted: Sequence[str]) -> list[Part]:  # noqa: ANN401 - no stubs
    """The rasters of an item.

    Args:
        name: Of the item, for errors.
        item: A `pystac.Item`.
        wanted: Keys of assets, or names or common names of their bands (`red`); none where the
            item has one raster only.

    Returns:
        A part a name, in their order; one of all bands where none was wanted.

    Raises:
        SceneError: If a name stands for nothing or for several things, or none was given and
            there are several rasters; what there is is listed.
    """
    rasters = {key: asset for key, asset in item.assets.items() if _is_raster(asset)}
    if wanted:
        return [_find(name, each, item.assets, rasters) for each in wanted]
    if len(rasters) != 1:
        problem = f"has {len(rasters)} rasters: {', '.join(rasters) or 'none'}"
        raise SceneError(name, problem, "Choose by --assets")
    return [Part(_href(name, asset)) for asset in rasters.values()]


def _is_raster(asset: Any) -> bool:  # noqa: ANN401
    kind = (asset.media_type or "").lower().replace(" ", "")
    roles = set(asset.roles or ())
    return kind.startswith(_RASTER_TYPES) and not (roles & _NO_DATA_ROLES and "data" not in roles)


def _find(name: str, wanted: str, assets: Mapping[str, Any], rasters: Mapping[str, Any]) -> Part:
    if wanted in assets:
        asset = assets[wanted]
        bands = list(_band_names(asset))
        return Part(_href(name, asset), None, (wanted,) if len(bands) <= 1 else ())
    found = [
        Part(_href(name, asset), (number,), (wanted,))
        for asset in rasters.values()
        for number, names in _band_names(asset)
        if wanted in names
    ]
    if len(found) != 1:
        problem = f"has {len(found) or 'no'} assets or bands {wanted!r}"
        raise SceneError(name, problem, f"Its assets are: {', '.join(assets)}")
    return found[0]


def _band_names(asset: Any) -> Iterator[tuple[int, set[str]]]:  # noqa: ANN401
    """Number and names of each band that an asset tells of."""
    for key in _BAND_LISTS:
        bands = asset.extra_fields.get(key)
        if isinstance(bands, list):
            for number, band in enumerate(bands, start=1):
                names = {band[each] for each in _BAND_NAMES if isinstance(band.get(each), str)}
                yield number, names
            return


def _href(name: str, asset: Any) -> str:  # noqa: ANN401
    """The file of an asset as it is written, or, of an item that tells where it lies, whole."""
    href: str = asset.get_absolute_href() or asset.href
    if not href.strip():
        raise SceneError(name, "has an asset without a file", "Check the item")
    return href
