"""Lists of names of images, written to `train.txt`, `val.txt` and `test.txt`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import ConfigError, OutputError
from geoseg.geo.gdal import open_dataset
from geoseg.geo.labels import find_labels
from geoseg.geo.name_lists import (
    By,
    Dealt,
    Entry,
    check_stems,
    deal_files,
    deal_regions,
    list_entries,
)
from geoseg.geo.outputs import check_output, make_folders, publish
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import Scene
from geoseg.geo.splits import SPLITS, SplitOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    """How names are dealt to lists."""

    split: tuple[float, float, float] = (0.7, 0.2, 0.1)
    """Shares of train, val and test; they sum to 1."""

    by: By = "auto"
    """`file`: each by chance; `region`: by blocks of ground; `auto`: by region where all images
    have a CRS."""

    block: int | None = None
    """Side of a block of ground in pixels of the first image; None chooses it."""

    seed: int = 0
    """Of the deal."""

    entry: Entry = "stem"
    """What a line says: `stem`, `name`, or `pair` (image and label)."""

    overwrite: bool = False
    """Whether existing lists may be replaced."""


def lists(
    images: Sequence[str],
    output: str | Path,
    options: ListOptions | None = None,
    *,
    labels: str | None = None,
) -> Dealt:
    """Write `train.txt`, `val.txt` and `test.txt` of the names of images.

    Args:
        images: Images, folders, globs or lists.
        output: Folder of the lists; it is made where it is missing, and other files in it stay.
        options: How to deal.
        labels: Folder, or pattern with `{stem}`; every image must have a label there.

    Returns:
        Which image went where.

    Raises:
        SceneError: If an image cannot be read, or stems are not unique.
        LabelError: If an image has no label.
        ConfigError: If shares or blocks make no sense, or there are fewer images than splits.
        OutputError: If a list cannot or must not be written there.
        WorkError: If the file system fails.
    """
    options = options or ListOptions()
    paths = find_scenes(images)
    check_stems(paths)
    if options.entry == "pair" and labels is None:
        raise ConfigError("--labels", "is missing, pairs are wanted", "Give it")
    found = dict(zip(paths, find_labels(labels, paths), strict=True)) if labels else {}
    split = SplitOptions(shares=options.split, block=options.block, seed=options.seed)
    dealt = _deal(paths, options.by, split)
    contents = {
        name: "".join(
            f"{line}\n" for line in list_entries(dealt.paths.get(name, []), options.entry, found)
        )
        for name in SPLITS  # An empty list, too: an older one would name what is elsewhere now.
    }
    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise OutputError(folder, "is a file, a folder is wanted", "Name another folder")
    with make_folders([folder / f"{name}.txt" for name in contents]):
        targets = [
            check_output(folder / f"{name}.txt", overwrite=options.overwrite, inputs=paths)
            for name in contents
        ]
        for target, text in zip(targets, contents.values(), strict=True):
            with publish(target, overwrite=options.overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8", newline="\n")
    return dealt


def _deal(paths: Sequence[str], by: By, options: SplitOptions) -> Dealt:
    """Deal images by region where that is wanted and can be, else by chance."""
    with_crs = [_has_crs(path) for path in paths] if by == "auto" else []
    if by == "region" or (with_crs and all(with_crs)):
        return deal_regions(paths, [Scene.open(path).grid for path in paths], options)
    if any(with_crs):
        problem = "%d of %d images have a CRS; all are dealt by chance, not by region"
        logger.warning(problem, sum(with_crs), len(paths))
    dealt = deal_files(paths, options.shares, options.seed)
    return Dealt(paths=dealt, left_out=[], by="file")


def _has_crs(path: str) -> bool:
    with open_dataset(path) as dataset:
        return dataset.crs is not None
