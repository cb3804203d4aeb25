"""What a raster is to be, decided before its first pixel is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from geoseg.geo.grid import Grid

Color = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class RasterProfile:
    """All that is decided about a raster before its first pixel is written."""

    grid: Grid
    """The pixels."""

    count: int = 1
    """Bands."""

    dtype: str = "uint8"
    """Of all bands."""

    nodata: float | None = None
    """Value that means no data."""

    colormap: Mapping[int, Color] | None = None
    """Colours (red, green, blue, alpha) by value, for one band of uint8."""

    is_rgb: bool = False
    """Whether the three bands of uint8 are red, green and blue."""

    band_names: tuple[str, ...] = ()
    """One description a band, or none."""

    tags: Mapping[str, str] = field(default_factory=dict)
    """Metadata of the default domain (other domains are lost in a COG)."""

    scale: float | None = None
    """Multiplied to stored values it gives physical ones."""

    overview_resampling: Literal["mode", "average", "nearest"] = "mode"
    """How smaller copies are made; never a mean of class values."""

    options: Mapping[str, str] = field(default_factory=dict)
    """Creation options of GDAL's COG driver that override geoseg's."""
