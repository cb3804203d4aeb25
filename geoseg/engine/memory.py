"""How much memory a prediction takes, by the arithmetic of what it keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from geoseg.engine.panels import Need
from geoseg.engine.pipeline import Group
from geoseg.engine.strips import AHEAD, MOST_BYTES, buffer_rows, bytes_per_pixel
from geoseg.geo.cog import BLOCK, RasterProfile
from geoseg.geo.raster import Scene

BLOCK_CACHE = 64 << 20
"""Bytes of GDAL's cache of decoded blocks, at the least."""

BEHIND = 4
"""Pieces of rows that may wait in memory to be written."""

_SCORE = 4
"""Bytes of a score."""

_ENCODING = 10
"""Bytes for each pixel that is turned into a class: two scores, the class, a comparison."""

_SLACK = 1.1
"""What allocators lose."""


def strip_need(scene: Scene, groups: Sequence[Group], profiles: Sequence[RasterProfile]) -> Need:
    """Bytes for what grows with the width of a panel, networks apart.

    Args:
        scene: What is read.
        groups: The networks with their windows.
        profiles: The rasters that are written.
    """
    members = [member for group in groups for member in group]
    window = max(member.layout.window for member in members)
    stride = max(member.layout.stride for member in members)
    classes = members[0].backend.classes
    written = sum(profile.count * np.dtype(profile.dtype).itemsize for profile in profiles) + 1
    sums = classes * _SCORE * window * len(groups)
    strip = bytes_per_pixel(scene) * buffer_rows(window, min(scene.block_rows(), window))
    averaged = stride * (classes * _SCORE * (len(groups) + 1) + _ENCODING + written)
    waiting = written * ((BEHIND + 1) * stride + 2 * (BLOCK + stride))
    # A row of blocks is decoded once only if GDAL's cache holds it.
    blocks = bytes_per_pixel(scene) * scene.block_rows()
    per_column = round(_SLACK * (sums + strip + averaged + waiting + blocks))
    fixed = BLOCK_CACHE + (AHEAD + 2) * MOST_BYTES + 2 * window * per_column
    return Need(fixed=fixed, per_column=per_column)


def block_cache(scene: Scene, columns: int) -> int:
    """Bytes of GDAL's cache with which each block of a panel is decoded once."""
    return BLOCK_CACHE + columns * bytes_per_pixel(scene) * scene.block_rows()
