"""The job `tile`: labelled scenes in, a tile set for training out."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from geoseg import __version__
from geoseg.errors import ConfigError
from geoseg.geo.cutting import LabelledScene
from geoseg.geo.gdal import file_stamp
from geoseg.geo.labelled import name_scenes, open_labelled
from geoseg.geo.labels import LabelOptions
from geoseg.geo.legend import Legend
from geoseg.geo.outputs import check_output_folder, publish_folder
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import SceneOptions
from geoseg.geo.sampling import Method, Sampling
from geoseg.geo.splits import SPLITS, Split, SplitOptions, plan_splits
from geoseg.geo.tile_plan import TilePlanner
from geoseg.geo.tile_writer import (
    TileEncoder,
    nodata_entry,
    write_card,
    write_index,
    write_lists,
)
from geoseg.geo.tileset import FORMAT_VERSION, TileFormat, TileSet
from geoseg.geo.tiling import Tally, Tiler
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
class TileOptions:
    """How tiles are cut and split."""

    method: Method = "stride"
    """`stride`, `random` or `balanced`: how windows are chosen."""

    size: int = 512
    """Height and width of a tile in pixels."""

    stride: int | None = None
    """Pixels from one window to the next (`stride`); None takes `size`."""

    count: int = 100
    """Tiles per scene (`random`, `balanced`)."""

    weights: Mapping[str, float] | None = None
    """Weight of each class at the centres of windows (`balanced`); None makes all equal."""

    split: tuple[float, float, float] = (0.7, 0.2, 0.1)
    """Shares of train, val and test."""

    split_by: str = "block"
    """`block`, `scene`, or a file of polygons with a column `split`."""

    block: int | None = None
    """Side of a block in pixels of the first scene; None chooses."""

    guard: int = 0
    """Pixels that every tile keeps off the border of its split's ground."""

    seed: int = 0
    """Of all that is drawn."""

    bands: tuple[int | str, ...] | None = None
    """Bands to keep, by number from 1 or by name; None keeps all."""

    resolution: float | None = None
    """Ground side of a pixel in metres to cut at; None keeps the scenes'."""

    min_valid: float = 0.5
    """Least share of a tile with data."""

    min_labelled: float = 0.0
    """Least share of a tile with a class."""

    format: TileFormat = "tif"
    """`tif`, `png` or `npy`."""

    labels: LabelOptions = field(default_factory=LabelOptions)
    """How the labels are read."""

    expand_palette: bool = False
    """Whether paletted scenes are read as their colours."""

    assume_crs: str | None = None
    """CRS of scenes that have none; `none` takes them as plain images."""

    trust_vrt: bool = False
    """Whether a VRT may point out of its own folder."""

    jobs: int | None = None
    """Threads; None takes a thread per processor. The tiles do not depend on it."""

    overwrite: bool = False
    """Whether an existing folder may be replaced."""

    def __post_init__(self) -> None:
        _ = self.sampling, self.splitting
        for name in ("min_valid", "min_labelled"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"--{name.replace('_', '-')}",
                    f"{getattr(self, name)} is no share",
                    "Give 0 to 1",
                )
        if self.format not in {"tif", "png", "npy"}:
            raise ConfigError("--format", f"{self.format!r} is unknown", "Choose tif, png or npy")
        if self.jobs is not None and self.jobs < 1:
            raise ConfigError("--jobs", f"{self.jobs} threads", "Give 1 or more")

    @property
    def sampling(self) -> Sampling:
        """How windows are chosen."""
        return Sampling(
            method=self.method,
            size=self.size,
            stride=self.stride,
            count=self.count,
            weights=self.weights,
        )

    @property
    def splitting(self) -> SplitOptions:
        """How ground is dealt to the splits."""
        return SplitOptions(
            shares=self.split,
            by=self.split_by,
            block=self.block,
            guard=self.guard,
            seed=self.seed,
        )

    @property
    def scene(self) -> SceneOptions:
        """How scenes are read."""
        return SceneOptions(
            bands=self.bands,
            resolution=self.resolution,
            assume_crs=self.assume_crs,
            expand_palette=self.expand_palette,
            trust_vrt=self.trust_vrt,
        )


def tile(
    scenes: Sequence[str],
    labels: str,
    output: str | Path,
    options: TileOptions | None = None,
    *,
    legend: str | Path | None = None,
    progress: Progress | None = None,
) -> TileSet:
    """Cut labelled scenes into tiles for training, split so that no ground is in two splits.

    Args:
        scenes: Files, folders, globs, URLs or `@list.txt`.
        labels: A file of labels for all scenes, a folder with one for each (by stem), or a
            pattern with `{stem}`.
        output: The folder to make.
        options: How to cut and split.
        legend: File that tells the classes; None takes them from the labels.
        progress: Where to report.

    Returns:
        The tile set, as it lies on disk.

    Raises:
        SceneError: If a scene cannot be read, or is unlike the others.
        LabelError: If the labels cannot be read or do not touch a scene.
        LegendError: If the legend is wrong, or a weight names none of its classes.
        ConfigError: If options contradict each other or the scenes, or no tile is left.
        OutputError: If the folder exists, or cannot be written.
        WorkError: If the disk fails.
    """
    options = options or TileOptions()
    sources = open_labelled(find_scenes(scenes), labels, legend, options.scene, options.labels)
    _check_format(sources[0], options.format)
    inputs = [p for source in sources for p in (source.scene.path, source.labels.path)]
    root = check_output_folder(
        output, overwrite=options.overwrite, inputs=inputs, marker="tileset.json"
    )
    sampling = options.sampling
    grids = [source.scene.grid for source in sources]
    planner = TilePlanner(
        plan_splits(grids, sampling.size, sampling.layout_step, options.splitting)
    )
    with publish_folder(root) as folder, _quiet_about_plain_images():
        tiler = _tiler(sources, options, planner, folder)
        tally = tiler.run(options.jobs, progress or Progress())
        _check_tally(tally, options)
        write_index(
            folder / "index.gpkg", tally.tiles, tiler.encoder.legend, planner.plan.plane.crs
        )
        write_lists(folder, tally.tiles)
        write_card(folder, _card(tiler, tally, options))
        TileSet.open(folder)
    _report(root, tally)
    return TileSet.open(root)


def _tiler(
    sources: Sequence[LabelledScene], options: TileOptions, planner: TilePlanner, folder: Path
) -> Tiler:
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    encoder = TileEncoder(
        root=folder,
        format=options.format,
        legend=sources[0].labels.legend,
        band_names=sources[0].scene.band_names,
    )
    return Tiler(
        sources=tuple(sources),
        names=tuple(name_scenes([source.scene.path for source in sources])),
        sampling=options.sampling,
        planner=planner,
        encoder=encoder,
        min_valid=options.min_valid,
        min_labelled=options.min_labelled,
        seed=options.seed,
    )


def _check_format(source: LabelledScene, format_: TileFormat) -> None:
    scene = source.scene
    if format_ == "png" and (scene.dtype != "uint8" or scene.count not in {1, 3}):
        raise ConfigError(
            "--format",
            f"png holds 1 or 3 bands of uint8, the scenes have {scene.count} of {scene.dtype}",
            "Give tif or npy, or choose --bands",
        )


def _check_tally(tally: Tally, options: TileOptions) -> None:
    train_wanted = options.splitting.wants("train")
    splits = {tile.split for tile in tally.tiles}
    if not splits or (train_wanted and "train" not in splits):
        missing = "no tile" if not splits else "no train tile"
        raise ConfigError(
            "tile",
            f"{missing} is left ({_list_rejected(tally) or 'the scenes hold no window'})",
            "Give a smaller --size or --block, or lower --min-valid or --min-labelled",
        )
    for split in SPLITS:
        if split not in splits and options.splitting.wants(split):
            logger.warning("no tile is left for %s (%s)", split, _list_rejected(tally))


def _card(tiler: Tiler, tally: Tally, options: TileOptions) -> dict[str, Any]:
    """What `tileset.json` says."""
    scene, legend = tiler.sources[0].scene, tiler.encoder.legend
    plane = tiler.planner.plan.plane
    return {
        "format_version": FORMAT_VERSION,
        "geoseg_version": __version__,
        "size": options.size,
        "format": options.format,
        "legend": legend.to_dict(),
        "bands": list(scene.band_names),
        "dtype": scene.dtype,
        "nodata": nodata_entry(_common_nodata(tiler.sources)),
        "resolution": scene.grid.ground_resolution() if scene.grid.is_georeferenced else None,
        "crs": plane.crs.to_wkt() if plane.crs is not None else None,
        "tiles": dict(Counter(tile.split for tile in tally.tiles)),
        "rejected": {reason: tally.rejected[reason] for reason in _REASONS},
        "stats": tally.stats.result().to_dict(),
        "class_counts": {split: _class_counts(legend, tally, split) for split in SPLITS},
        "block": tiler.planner.plan.block,
        "sources": [_source_entry(source) for source in tiler.sources],
        "options": _options_entry(options),
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


def _options_entry(options: TileOptions) -> dict[str, Any]:
    """The options that decide on the tiles, as JSON holds them."""
    entry = asdict(options)
    del entry["jobs"], entry["overwrite"]
    entry["labels"] = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in entry["labels"].items()
    }
    return entry


def _report(root: Path, tally: Tally) -> None:
    counts = Counter(tile.split for tile in tally.tiles)
    splits = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    logger.info("%s: %d tiles (%s)", root, len(tally.tiles), splits)
    if tally.rejected.total():
        logger.info("left out: %s", _list_rejected(tally))


def _list_rejected(tally: Tally) -> str:
    return ", ".join(
        f"{tally.rejected[reason]} {text}"
        for reason, text in _REASONS.items()
        if tally.rejected[reason]
    )


@contextmanager
def _quiet_about_plain_images() -> Iterator[None]:
    """Keep rasterio from warning of each tile of a plain image that it has no place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
        yield
