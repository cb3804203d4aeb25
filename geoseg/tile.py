"""The job `tile`: labelled scenes in, a tile set for training out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.engine.cluster_tiles import cutting
from geoseg.errors import ConfigError
from geoseg.geo.labelled import open_labelled
from geoseg.geo.labels import LabelOptions
from geoseg.geo.npy import NpyAxes
from geoseg.geo.outputs import check_output_folder, publish_folder
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import SceneOptions
from geoseg.geo.sampling import Method, Sampling
from geoseg.geo.splits import SPLITS, SplitOptions, plan_splits
from geoseg.geo.tile_folder import (
    TileFolderPlan,
    check_tile_format,
    cut_tiles,
    finish_tiles,
    list_rejected,
    report_tiles,
)
from geoseg.geo.tile_plan import TilePlanner
from geoseg.geo.tileset import TileFormat, TileSet
from geoseg.geo.tiling import Tally
from geoseg.progress import Progress

logger = logging.getLogger(__name__)


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

    allow_remote: bool = False
    """Whether a VRT, and a list of scenes, may name URLs."""

    npy_axes: NpyAxes | None = None
    """What the three axes of `.npy` scenes are; two are height and width."""

    jobs: int | None = None
    """Threads; None takes a thread per processor. The tiles do not depend on it."""

    cluster: str | None = None
    """`local:N`, `tcp://host:port` or `slurm:...`: workers that cut; None takes threads here."""

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
        if self.cluster is not None:
            ClusterSpec.parse(self.cluster)

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
            allow_remote=self.allow_remote,
            npy_axes=self.npy_axes,
        )


def tile(
    scenes: str | Path | Sequence[str | Path],
    labels: str | Path,
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
    paths = find_scenes(
        [scenes] if isinstance(scenes, str | Path) else scenes, allow_remote=options.allow_remote
    )
    sources = open_labelled(paths, str(labels), legend, options.scene, options.labels)
    check_tile_format(sources[0].scene, options.format)
    inputs = [p for source in sources for p in (source.scene.path, source.labels.path)]
    root = check_output_folder(
        output, overwrite=options.overwrite, inputs=inputs, marker="tileset.json"
    )
    sampling = options.sampling
    grids = [source.scene.grid for source in sources]
    planner = TilePlanner(
        plan_splits(grids, sampling.size, sampling.layout_step, options.splitting)
    )
    plan = TileFolderPlan(
        sampling=sampling,
        planner=planner,
        format=options.format,
        min_valid=options.min_valid,
        min_labelled=options.min_labelled,
        seed=options.seed,
    )
    with publish_folder(root) as folder, cutting(options.cluster) as cutters:
        tiler, tally = cut_tiles(folder, sources, plan, options.jobs, progress, cutters)
        _check_tally(tally, options)
        finish_tiles(folder, tiler, tally, _options_entry(options))
    report_tiles(root, tally)
    return TileSet.open(root)


def _check_tally(tally: Tally, options: TileOptions) -> None:
    train_wanted = options.splitting.wants("train")
    splits = {tile.split for tile in tally.tiles}
    if not splits or (train_wanted and "train" not in splits):
        missing = "no tile" if not splits else "no train tile"
        raise ConfigError(
            "tile",
            f"{missing} is left ({list_rejected(tally) or 'the scenes hold no window'})",
            "Give a smaller --size or --block, or lower --min-valid or --min-labelled",
        )
    for split in SPLITS:
        if split not in splits and options.splitting.wants(split):
            logger.warning("no tile is left for %s (%s)", split, list_rejected(tally))


def _options_entry(options: TileOptions) -> dict[str, Any]:
    """The options that decide on the tiles, as JSON holds them."""
    entry = asdict(options)
    del entry["jobs"], entry["overwrite"], entry["cluster"]
    entry["labels"] = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in entry["labels"].items()
    }
    return entry
