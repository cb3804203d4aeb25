"""How much memory a prediction takes, by the arithmetic of what it keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from geoseg.engine.panels import Need
from geoseg.engine.pipeline import Group
from geoseg.engine.resample import ROWS_AT_ONCE
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

_RESAMPLING = 5
"""Copies of a row's scores while it is brought to another grid."""

_POLYGONS = 192 << 20
"""Bytes that the libraries of polygons take, and batches of them; measured."""

_POLYGON_COLUMN = 12_000
"""Bytes for each column of polygons that are being traced; measured on blobs of some pixels."""

_SLACK = 1.05
"""What allocators lose."""

_GPU_SHARE = 0.8
"""Of a GPU's free memory that may be taken by what grows with the width of a panel."""


def panel_need(
    scene: Scene,
    own: Scene,
    groups: Sequence[Group],
    profiles: Sequence[RasterProfile],
    *,
    polygons: bool = False,
) -> Need:
    """Bytes for what grows with the width of a panel, networks apart.

    Args:
        scene: What is read.
        own: The same on the grid of the outputs, whose columns are counted.
        groups: The networks with their windows.
        profiles: The rasters that are written.
        polygons: Whether polygons are made, of whole rows of the scene.
    """
    members = [member for group in groups for member in group]
    window = max(member.layout.window for member in members)
    stride = max(member.layout.stride for member in members)
    scores = members[0].backend.classes * _SCORE
    written = sum(profile.count * np.dtype(profile.dtype).itemsize for profile in profiles) + 1
    sums = scores * window * len(groups)
    strip = bytes_per_pixel(scene) * buffer_rows(window, min(scene.block_rows(), window))
    averaged = stride * scores * (len(groups) + 1)
    read = scene.grid.width / own.grid.width * (sums + strip + averaged)
    # A row of blocks is decoded once only if GDAL's cache holds it.
    blocks = bytes_per_pixel(own) * own.block_rows()
    rows, resampled = stride, 0
    if not scene.grid.matches(own.grid):
        rows = ROWS_AT_ONCE
        resampled = rows * (_RESAMPLING * (scores + _SCORE) + bytes_per_pixel(own))
    made = rows * _ENCODING + resampled
    # Pieces in the queue and one on either side of it, and what is gathered to rows of blocks.
    held = -(-BLOCK // rows) * rows
    height = own.grid.height
    waiting = written * (min((BEHIND + 2) * rows, height) + 2 * min(held, height))
    per_column = round(_SLACK * (read + blocks + made + waiting))
    margins = 2 * window * own.grid.width // scene.grid.width
    fixed = BLOCK_CACHE + (AHEAD + 2) * MOST_BYTES + margins * per_column
    if polygons:
        fixed += _POLYGONS + _POLYGON_COLUMN * own.grid.width
    return Need(fixed=fixed, per_column=per_column)


def block_cache(scene: Scene, columns: int) -> int:
    """Bytes of GDAL's cache with which each block of a panel is decoded once."""
    return BLOCK_CACHE + columns * bytes_per_pixel(scene) * scene.block_rows()


def free_gpu_memory(devices: Sequence[torch.device]) -> int | None:
    """Bytes that panels may take on the GPU that has least; None without GPUs."""
    free = []
    for device in devices:
        if device.type == "cuda":
            unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            free.append(torch.cuda.mem_get_info(device)[0] + unused)
    return int(min(free) * _GPU_SHARE) if free else None
