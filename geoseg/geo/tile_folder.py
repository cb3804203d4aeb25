"""Filling the folder of a tile set: tiles, lists, index and description."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from geoseg import __version__
from geoseg.errors import ConfigError, TileSetError, WorkError
from geoseg.geo.cutting import LabelledScene
from geoseg.geo.gdal import file_stamp
from geoseg.geo.labelled import name_scenes
from geoseg.geo.legend import Legend
from geoseg.geo.polygon_formats import FORMAT_ERRORS
from geoseg.geo.raster import Scene
from geoseg.geo.sampling import Sampling
from geoseg.geo.splits import SPLITS, Split
from geoseg.geo.tile_plan import TilePlanner
from geoseg.geo.tile_writer import (
    TileEncoder,
    nodata_entry,
    write_card,
    write_index,
    write_lists,
)
from geoseg.geo.tileset import FORMAT_VERSION, TileFormat, TileSet
from geoseg.geo.tiling import Cutters, Tally, Tiler
from geoseg.progress import Progress

logger = logging.getLogger(__name__)

_REASONS = {
    "straddling": "not in the ground of one split",
    "overlapping": "on ground of another split",
    "repeated": "drawn before",
    "invalid": "with too little data",
    "unlabelled": "with too few labels",
}


@dataclass(frozen=True, kw_only=True)
class TileFolderPlan:
    """Which tiles are cut, and how they are stored."""

    sampling: Sampling
    """How windows are chosen."""

    planner: TilePlanner
    """Which split each window belongs to."""

    format: TileFormat
    """How images and masks are stored."""

    min_valid: float
    """Least share of a tile with data."""

    min_labelled: float
    """Least share of a tile with a class."""

    seed: int
    """Of all that is drawn."""


def check_tile_format(scene: Scene, format_: TileFormat) -> None:
    """Refuse a format that cannot hold the scenes.

    Raises:
        ConfigError: If PNG is asked for, and bands or type do not suit it.
    """
    if format_ == "png" and (scene.dtype != "uint8" or scene.count not in {1, 3}):
        raise ConfigError(
            "--format",
            f"png holds 1 or 3 bands of uint8, the scenes have {scene.count} of {scene.dtype}",
            "Give tif or npy, or choose --bands",
        )


def cut_tiles(
    folder: Path,
    sources: Sequence[LabelledScene],
    plan: TileFolderPlan,
    jobs: int | None = None,
    progress: Progress | None = None,
    cutters: Cutters | None = None,
) -> tuple[Tiler, Tally]:
    """Cut all tiles into a new folder.

    Args:
        folder: An empty folder.
        sources: The scenes, all of one legend.
        plan: Which tiles.
        jobs: Threads; None takes one per processor.
        progress: Where to report.
        cutters: Who cuts instead of threads; they must see the folder.

    Returns:
        What cut them, and what became of all windows.

    Raises:
        SceneError: If a scene is broken.
        LabelError: If labels are broken, or hold values that no class has.
        LegendError: If a weight names no class.
        WorkError: If the disk fails.
    """
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    encoder = TileEncoder(
        root=folder if cutters is None else folder.absolute(),
        format=plan.format,
        legend=sources[0].labels.legend,
        band_names=sources[0].scene.band_names,
    )
    tiler = Tiler(
        sources=tuple(sources),
        names=tuple(name_scenes([source.scene.path for source in sources])),
        sampling=plan.sampling,
        planner=plan.planner,
        encoder=encoder,
        min_valid=plan.min_valid,
        min_labelled=plan.min_labelled,
        seed=plan.seed,
    )
    with _quiet_about_plain_images():
        return tiler, tiler.run(jobs, progress or Progress(), cutters)


def finish_tiles(
    folder: Path,
    tiler: Tiler,
    tally: Tally,
    options: Mapping[str, Any],
    resolution: float | None = None,
) -> None:
    """Write what a tile set says about its tiles, and read it back.

    Args:
        folder: The folder with the tiles.
        tiler: What cut them.
        tally: What became of all windows; at least one is a train tile.
        options: As they were given, for `tileset.json`.
        resolution: Ground side of a pixel in metres, for images that do not tell it.

    Raises:
        WorkError: If the disk fails, or it cannot be read back.
    """
    plane = tiler.planner.plan.plane
    try:
        with _quiet_about_plain_images():
            write_index(folder / "index.gpkg", tally.tiles, tiler.encoder.legend, plane.crs)
        write_lists(folder, tally.tiles)
        write_card(folder, _card(tiler, tally, options, resolution))
        TileSet.open(folder)
    except FORMAT_ERRORS as error:
        raise WorkError("index.gpkg", f"cannot be written ({error})", "Check the disk") from error
    except TileSetError as error:
        problem = f"does not read back as written ({error.problem})"
        raise WorkError(Path(error.subject).name, problem, "Check the disk") from error


def report_tiles(root: Path, tally: Tally) -> None:
    """Log how many tiles there are, and what was left out and why."""
    counts = Counter(tile.split for tile in tally.tiles)
    splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    logger.info("%s: %d tiles (%s)", root, len(tally.tiles), splits)
    if tally.rejected.total():
        logger.info("left out: %s", list_rejected(tally))


def list_rejected(tally: Tally) -> str:
    """How many windows were left out for which reason, in words; empty if none was."""
    return ", ".join(
        f"{tally.rejected[reason]} {text}"
        for reason, text in _REASONS.items()
        if tally.rejected[reason]
    )


def _card(
    tiler: Tiler, tally: Tally, options: Mapping[str, Any], resolution: float | None
) -> dict[str, Any]:
    """What `tileset.json` says."""
    scene, legend = tiler.sources[0].scene, tiler.encoder.legend
    plane = tiler.planner.plan.plane
    if scene.grid.is_georeferenced:
        resolution = scene.grid.ground_resolution()
    return {
        "format_version": FORMAT_VERSION,
        "geoseg_version": __version__,
        "size": tiler.sampling.size,
        "format": tiler.encoder.format,
        "legend": legend.to_dict(),
        "bands": list(scene.band_names),
        "dtype": scene.dtype,
        "nodata": nodata_entry(_common_nodata(tiler.sources)),
        "resolution": resolution,
        "crs": plane.crs.to_wkt() if plane.crs is not None else None,
        "tiles": dict(Counter(tile.split for tile in tally.tiles)),
        "rejected": {reason: tally.rejected[reason] for reason in _REASONS},
        "stats": tally.stats.result().to_dict(),
        "class_counts": {split: _class_counts(legend, tally, split) for split in SPLITS},
        "block": tiler.planner.plan.block,
        "sources": [_source_entry(source) for source in tiler.sources],
        "options": dict(options),
    }


def _class_counts(legend: Legend, tally: Tally, split: Split) -> dict[str, int]:
    counts = tally.class_counts.get(split, np.zeros(legend.count, np.int64))
    return dict(zip(legend.names, counts.tolist(), strict=True))


def _common_nodata(sources: Sequence[LabelledScene]) -> float | None:
    """The nodata value of all scenes; None where they differ (GeoTIFF tiles keep their own)."""
    values = {str(source.nodata): source.nodata for source in sources}
    return values.popitem()[1] if len(values) == 1 else None


def _source_entry(source: LabelledScene) -> dict[str, Any]:
    return {
        **_file_entry("scene", source.scene.path),
        **_file_entry("labels", source.labels.path),
    }


def _file_entry(kind: str, path: str) -> dict[str, Any]:
    size, nanoseconds = file_stamp(path)
    changed = datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="seconds")
    return {kind: path, f"{kind}_bytes": size, f"{kind}_changed": changed}


@contextmanager
def _quiet_about_plain_images() -> Iterator[None]:
    """Keep rasterio from warning of each tile of a plain image that it has no place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        yield
