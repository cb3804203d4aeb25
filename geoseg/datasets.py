"""The job `datasets`: labelled data sets, described in TOML, looked through and tiled."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.windows import Window

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.cutting import LabelledScene
from geoseg.geo.dataset_check import DatasetReport, Sample, examine
from geoseg.geo.dataset_description import open_description, preset_names
from geoseg.geo.dataset_tables import Description
from geoseg.geo.footprints import Plane
from geoseg.geo.outputs import check_output_folder, publish_folder
from geoseg.geo.sampling import Method, Sampling
from geoseg.geo.splits import Split, SplitPlan
from geoseg.geo.tile_folder import (
    TileFolderPlan,
    check_tile_format,
    cut_tiles,
    finish_tiles,
    list_rejected,
    report_tiles,
)
from geoseg.geo.tile_plan import Place, TilePlanner
from geoseg.geo.tileset import TileFormat, TileSet
from geoseg.progress import Progress

logger = logging.getLogger(__name__)

_TOLD = 3
"""Faults that an error quotes; `check` lists them all."""


@dataclass(frozen=True, kw_only=True)
class DatasetTileOptions:
    """How the images of a data set are cut."""

    method: Method = "stride"
    """`stride`, `random` or `balanced`: how windows are chosen."""

    size: int = 512
    """Height and width of a tile in pixels; smaller images are padded."""

    stride: int | None = None
    """Pixels from one window to the next (`stride`); None takes `size`."""

    count: int = 100
    """Tiles per image (`random`, `balanced`)."""

    weights: Mapping[str, float] | None = None
    """Weight of each class at the centres of windows (`balanced`); None makes all equal."""

    val_share: float = 0.0
    """Share of the train images that become val, where the data set has no val of its own."""

    seed: int = 0
    """Of all that is drawn."""

    min_valid: float = 0.0
    """Least share of a tile with data; a tile without any is never kept."""

    min_labelled: float = 0.0
    """Least share of a tile with a class."""

    format: TileFormat = "tif"
    """`tif`, `png` or `npy`."""

    skip_faults: bool = False
    """Whether images with faults are left out; else nothing is tiled while there are any."""

    jobs: int | None = None
    """Threads; None takes a thread per processor. The tiles do not depend on it."""

    overwrite: bool = False
    """Whether an existing folder may be replaced."""

    def __post_init__(self) -> None:
        _ = self.sampling
        for name in ("min_valid", "min_labelled", "val_share"):
            if not 0 <= getattr(self, name) <= 1:
                key = f"--{name.replace('_', '-')}"
                raise ConfigError(key, f"{getattr(self, name)} is no share", "Give 0 to 1")
        if self.format not in {"tif", "png", "npy"}:
            raise ConfigError("--format", f"{self.format!r} is unknown", "Choose tif, png or npy")

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


def list_datasets() -> list[Description]:
    """The data sets that geoseg describes, in alphabetical order."""
    return [open_description(name) for name in preset_names()]


def check_dataset(
    name: str | Path,
    root: str | Path,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> DatasetReport:
    """Look through a data set on disk: every image is opened, every label read.

    Args:
        name: Name of a preset, or the TOML file that describes the data set.
        root: The folder it was unpacked in.
        jobs: Threads; None takes one per processor.
        progress: Where to report.

    Returns:
        Pairs, pixels of each class, and all that is wrong.

    Raises:
        ConfigError: If there is no such data set or folder, its description is wrong, or a list
            leads out of the folder.
        LabelError: If a list or a table of run lengths cannot be read.
        LegendError: If the legend contradicts itself or does not suit the labels.
    """
    return examine(open_description(name), root, jobs=jobs, progress=progress)[0]


def tile_dataset(
    name: str | Path,
    root: str | Path,
    output: str | Path,
    options: DatasetTileOptions | None = None,
    *,
    progress: Progress | None = None,
) -> TileSet:
    """Cut a data set into tiles for training; its own splits are kept.

    Args:
        name: Name of a preset, or the TOML file that describes the data set.
        root: The folder it was unpacked in.
        output: The folder to make.
        options: How to cut.
        progress: Where to report.

    Returns:
        The tile set, as it lies on disk.

    Raises:
        ConfigError: As `check_dataset`, or if options contradict the data set, or no train tile
            is left.
        LabelError: If something is wrong with the data set, and `skip_faults` is not set.
        LegendError: If the legend is wrong, or a weight names none of its classes.
        OutputError: If the folder exists, or cannot be written.
        WorkError: If the disk fails.
    """
    options, progress = options or DatasetTileOptions(), progress or Progress()
    description = open_description(name)
    target = check_output_folder(output, overwrite=options.overwrite, marker="tileset.json")
    report, samples = examine(description, root, jobs=options.jobs, progress=progress)
    _refuse_faults(report, _check_hint(name, root), skip=options.skip_faults)
    samples = [sample for sample in samples if sample.source is not None]
    if not samples:
        raise LabelError(report.root, "has no pair that can be tiled", _check_hint(name, root))
    inputs = [path for s in samples for path in (s.pair.image, s.pair.labels)]
    check_output_folder(output, overwrite=options.overwrite, inputs=inputs, marker="tileset.json")
    sources = [sample.source for sample in samples if sample.source is not None]
    if report.skipped:
        logger.warning("%s: %d points or lines are left out", report.root, report.skipped)
    check_tile_format(sources[0].scene, options.format)
    planner = OfficialPlanner(_Official(sources, _splits(samples, description, options)))
    plan = TileFolderPlan(
        sampling=options.sampling,
        planner=planner,
        format=options.format,
        min_valid=options.min_valid,
        min_labelled=options.min_labelled,
        seed=options.seed,
    )
    with publish_folder(target) as folder:
        tiler, tally = cut_tiles(folder, sources, plan, options.jobs, progress)
        if not any(tile.split == "train" for tile in tally.tiles):
            reasons = list_rejected(tally) or "the images hold no window"
            cure = "Lower --min-valid or --min-labelled, or give a smaller --size"
            raise ConfigError("tile", f"no train tile is left ({reasons})", cure)
        entry = _options_entry(description, options)
        finish_tiles(folder, tiler, tally, entry, description.images.resolution)
    report_tiles(target, tally)
    return TileSet.open(target)


class _Official(SplitPlan):
    """Each image belongs as a whole to the split that the data set's makers put it in."""

    def __init__(self, sources: Sequence[LabelledScene], splits: Sequence[Split]) -> None:
        super().__init__(Plane([source.scene.grid for source in sources]))
        self._splits = splits

    def assign(self, scene: int, windows: Sequence[Window]) -> list[Split | None]:
        """As `SplitPlan.assign`."""
        return [self._splits[scene]] * len(windows)


class OfficialPlanner(TilePlanner):
    """Admits every window: official splits are kept, even where their images share ground."""

    def admit(self, candidates: Sequence[tuple[int, Window]]) -> list[Place]:
        """All candidates, in order."""
        return self._assign(candidates)


def _refuse_faults(report: DatasetReport, hint: str, *, skip: bool) -> None:
    faults = report.faults
    if not faults:
        return
    told = "; ".join(map(str, faults[:_TOLD]))
    more = f" and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
    count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
    if not skip:
        cure = f"{hint} to see all, and mend them or give --skip-faults"
        raise LabelError(report.root, f"{count}: {told}{more}", cure)
    logger.warning("%s: left out for %s: %s%s", report.root, count, told, more)


def _splits(
    samples: Sequence[Sample], description: Description, options: DatasetTileOptions
) -> list[Split]:
    """The split of each image; a share of train is made val where that is asked for."""
    splits: list[Split] = [sample.pair.split for sample in samples]
    if not options.val_share:
        return splits
    if "val" in splits:
        raise ConfigError(
            "--val-share", f"{description.title} has a val split of its own", "Leave it out"
        )
    train = [i for i, split in enumerate(splits) if split == "train"]
    count = round(options.val_share * len(train))
    if not 0 < count < len(train):
        raise ConfigError(
            "--val-share",
            f"{options.val_share:g} of {len(train)} train images leaves one split empty",
            "Give another share",
        )
    rng = np.random.default_rng((options.seed, 17))
    for i in rng.permutation(train)[:count].tolist():
        splits[i] = "val"
    return splits


def _options_entry(description: Description, options: DatasetTileOptions) -> dict[str, Any]:
    """The options that decide on the tiles, as JSON holds them."""
    entry = asdict(replace(options, weights=dict(options.weights) if options.weights else None))
    del entry["jobs"], entry["overwrite"]
    return {"dataset": description.name, **entry}


def _check_hint(name: str | Path, root: str | Path) -> str:
    return f"Run geoseg datasets check {name} {root}"
