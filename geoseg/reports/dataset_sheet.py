"""Contact sheet of a described data set as it lies on the disk, before any tile is cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoseg.errors import LabelError
from geoseg.geo.dataset_check import Sample, look_at
from geoseg.geo.dataset_pairs import Found, Pair, find_pairs
from geoseg.geo.dataset_pixels import strips
from geoseg.geo.dataset_tables import Description
from geoseg.geo.splits import SPLITS
from geoseg.geo.stats import BandStatsAccumulator
from geoseg.reports.sheet import Sheet, SheetTile, check_sheet, draw_sheet

_SIDE = 512
"""Pixels of the longer side of what is kept of an image, by leaving rows and columns out."""


def draw_dataset_sheet(
    description: Description,
    root: str | Path,
    output: str | Path,
    *,
    count: int = 20,
    overwrite: bool = False,
) -> Path:
    """Draw some images of each split with their labels.

    Classes are those of the images that are shown, bands of the pixels; pairs with faults are
    passed over.

    Args:
        description: What the data set is.
        root: The folder it was unpacked in.
        output: PNG file to write.
        count: Images to show, about; each split has one at least.
        overwrite: Whether an existing file may be replaced.

    Returns:
        The path of the picture.

    Raises:
        ConfigError: If there is no such folder, or a list leads out of it.
        LabelError: If no image can be shown, or a list or table cannot be read.
        LegendError: If the legend does not suit the labels.
        OutputError: If the picture must not be written there.
        WorkError: If writing fails.
    """
    output = check_sheet(output, overwrite=overwrite)
    found = find_pairs(description, root)
    samples = _look(found, description, count)
    tiles = [_thinned(sample) for sample in samples]
    first = tiles[0].image
    accumulator = BandStatsAccumulator(len(first), str(first.dtype))
    for tile in tiles:
        accumulator.update(tile.image, tile.valid)
    pairs = [
        f"{split} {number} pairs"
        for split in SPLITS
        if (number := sum(pair.split == split for pair in found.pairs))
    ]
    sheet = Sheet(
        title=description.title,
        subtitle=f"{', '.join(pairs)}; classes and bands are of the {len(tiles)} shown; gray is "
        "not labelled",
        tiles=tiles,
        legend=description.legend,
        class_counts=_class_counts(description, samples),
        band_names=description.images.bands,
        stats=accumulator.result(),
    )
    return draw_sheet(sheet, output, overwrite=overwrite)


def _look(found: Found, description: Description, count: int) -> list[Sample]:
    """Samples without faults and of the same bands, evenly from every split."""
    looked = [look_at(pair, description) for pair in _choose(found.pairs, count)]
    whole = [sample for sample in looked if sample.source is not None]
    if not whole:
        faults = [str(sample.fault[1]) for sample in looked if sample.fault is not None]
        reasons = [*map(str, found.faults), *faults, "it has no pairs"]
        cure = "geoseg datasets check tells all that is wrong"
        raise LabelError(found.root, f"has no image that can be shown ({reasons[0]})", cure)
    return [sample for sample in whole if _kind(sample) == _kind(whole[0])]


def _choose(pairs: list[Pair], count: int) -> list[Pair]:
    """About so many pairs: of each split in proportion, one at least, evenly over its names."""
    chosen: list[Pair] = []
    for split in SPLITS:
        own = [pair for pair in pairs if pair.split == split]
        if not own:
            continue
        number = min(max(round(count * len(own) / len(pairs)), 1), len(own))
        places = np.linspace(0, len(own) - 1, number).round().astype(int)
        chosen += [own[place] for place in places.tolist()]
    return chosen


def _kind(sample: Sample) -> tuple[int, str]:
    assert sample.source is not None
    return sample.source.scene.count, sample.source.scene.dtype


def _thinned(sample: Sample) -> SheetTile:
    """Every so many rows and columns of an image, read by strips: no class is mixed or made up."""
    assert sample.source is not None
    scene, labels = sample.source.scene, sample.source.labels
    step = max(-(-max(scene.grid.shape) // _SIDE), 1)
    images, valids, masks = [], [], []
    for window in strips(scene.grid):
        rows = slice(-int(window.row_off) % step, None, step)
        raster = scene.read(window)
        images.append(raster.data[:, rows, ::step])
        valids.append(raster.valid[rows, ::step])
        masks.append(labels.mask(raster.grid)[rows, ::step])
    return SheetTile(
        name=f"{sample.pair.split}  {Path(scene.path).stem}",
        image=np.concatenate(images, axis=1),
        valid=np.concatenate(valids),
        mask=np.concatenate(masks),
    )


def _class_counts(description: Description, samples: list[Sample]) -> dict[str, dict[str, int]]:
    """Pixels of each class in the whole images, by split."""
    return {
        split: {
            entry.name: sum(
                sample.pixels.get(entry.value, 0)
                for sample in samples
                if sample.pair.split == split
            )
            for entry in description.legend.classes
        }
        for split in SPLITS
    }
