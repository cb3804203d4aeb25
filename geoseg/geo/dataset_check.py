"""Looking through a described data set: every image opened, every label read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from geoseg.errors import GeosegError, LabelError, SceneError
from geoseg.geo.cutting import LabelledScene
from geoseg.geo.dataset_labels import SizeError, count_classes, open_labels
from geoseg.geo.dataset_pairs import Fault, Found, Kind, Pair, find_pairs
from geoseg.geo.dataset_tables import Description, ImageTable
from geoseg.geo.gdal import open_dataset
from geoseg.geo.raster import Scene, SceneOptions
from geoseg.geo.splits import Split
from geoseg.geo.validity import alpha_band
from geoseg.geo.values import list_counts
from geoseg.geo.workers import Workers
from geoseg.progress import Progress

_RGB = 3
_PLAIN = {".png", ".jpg", ".jpeg", ".bmp", ".npy"}
"""Files of these kinds bear no place, and to look for one takes as long as all else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A pair that was looked at."""

    pair: Pair
    """Where it lies."""

    source: LabelledScene | None
    """Image and labels; None where they cannot be used."""

    pixels: dict[int, int] = field(default_factory=dict)
    """Pixels of each class value and of `ignore`."""

    unknown: dict[str, int] = field(default_factory=dict)
    """Pixels of each number or colour that means no class."""

    fault: tuple[Kind, GeosegError] | None = None
    """What is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """What `check` found out about a data set on disk."""

    name: str
    """Of the description."""

    root: str
    """The folder that its paths begin at."""

    pairs: dict[Split, int]
    """Whole pairs by split."""

    published: dict[Split, int | None]
    """Pairs by split that there should be; None where the description does not tell."""

    unlabelled: dict[Split, int]
    """Images without labels by split."""

    class_pixels: dict[Split, dict[str, int]]
    """Pixels by split and class."""

    ignored: dict[Split, int]
    """Pixels without a class by split."""

    sizes: dict[str, int]
    """Images of each size, `height x width`, the most frequent first."""

    dtype: str
    """Of the images; empty where there is none."""

    unknown: dict[str, int]
    """Pixels of each number or colour that means no class."""

    skipped: int
    """Points and lines among the polygons of labels, which are left out."""

    faults: tuple[Fault, ...]
    """All that is wrong."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd, but no fault: other counts than published, points, lines, absent classes."""
        notes = [
            f"{self.pairs[split]} pairs of {split}, {count} were published"
            for split, count in self.published.items()
            if count is not None and count != self.pairs[split]
        ]
        if self.skipped:
            notes.append(f"{self.skipped} points or lines are left out, for they cover no ground")
        total: Counter[str] = Counter()
        for counts in self.class_pixels.values():
            total.update(counts)
        absent = [name for name, pixels in total.items() if not pixels]
        if absent and any(self.pairs.values()):
            notes.append(f"classes without a pixel: {', '.join(absent)}")
        return tuple(notes)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        faults = [
            {"kind": fault.kind, "path": fault.path, "problem": fault.problem}
            for fault in self.faults
        ]
        return {**values, "faults": faults, "notes": list(self.notes)}


def examine(
    description: Description,
    root: str | Path,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[DatasetReport, list[Sample]]:
    """Look through a data set.

    Args:
        description: What there should be.
        root: The folder it was unpacked in.
        jobs: Threads; None takes one per processor.
        progress: Where to report.

    Returns:
        What was found, and every pair, those with faults too.

    Raises:
        ConfigError: If there is no such folder, or a list leads out of it.
        LabelError: If a list or a table of run lengths cannot be read.
        LegendError: If the legend does not suit the labels.
    """
    found = find_pairs(description, root)
    progress = progress or Progress()
    with Workers(jobs) as workers:
        samples = list(
            progress.track(
                workers.map(lambda pair: look_at(pair, description), found.pairs),
                "check",
                len(found.pairs),
                "pair",
            )
        )
    samples = _alike(samples)
    for sample in samples:
        if sample.fault is not None:
            kind, error = sample.fault
            found.fault(kind, error.subject, _told(error))
    return _report(description, found, samples), samples


def open_image(path: str, table: ImageTable) -> Scene:
    """Look at an image of a data set; one that has no place is taken in pixels.

    Args:
        path: The file.
        table: What the images of the data set are.

    Raises:
        SceneError: If it cannot be read, or has other bands.
    """
    has_place = False
    if Path(path).suffix.lower() not in _PLAIN:
        with open_dataset(path) as dataset:
            has_place = dataset.crs is not None and not dataset.transform.is_identity
    wanted = len(table.bands)
    options = SceneOptions(
        bands=table.numbers,
        assume_crs=None if has_place else "none",
        expand_palette=wanted == _RGB,
        npy_axes=table.npy_axes,
    )
    scene = Scene.open(path, options)
    if scene.count == 1 and wanted == _RGB:
        # gray images among colour ones, as photographs have them
        scene = Scene.open(path, replace(options, bands=scene.bands * wanted))
    if scene.count != wanted:
        raise _other_bands(scene, table)
    return replace(scene, band_names=table.bands)


def _other_bands(scene: Scene, table: ImageTable) -> SceneError:
    wanted = len(table.bands)
    problem = f"has {scene.count} bands, {wanted} are expected ({', '.join(table.bands)})"
    with open_dataset(scene.path, npy_axes=table.npy_axes) as dataset:
        alpha = alpha_band(dataset)
    if table.numbers is None and alpha is not None and scene.count + 1 == wanted:
        numbers = ", ".join(map(str, range(1, wanted + 1)))
        cure = f"Band {alpha} is marked as alpha; if it is data, say numbers = [{numbers}]"
        return SceneError(scene.path, problem, f"{cure} in [images]")
    return SceneError(scene.path, problem, "Say `bands` and `numbers` in [images]")


def look_at(pair: Pair, description: Description) -> Sample:
    """Open the image of a pair and read all its labels.

    Args:
        pair: Where they lie.
        description: What they should be.

    Returns:
        What was found; what is wrong is no error, but its `fault`.

    Raises:
        LegendError: If the legend does not suit the labels.
    """
    try:
        scene = open_image(pair.image, description.images)
    except SceneError as error:
        return Sample(pair=pair, source=None, fault=("image", error))
    try:
        labels = open_labels(pair, scene, description.legend)
        pixels, unknown = count_classes(labels, scene)
    except SizeError as error:
        return Sample(pair=pair, source=None, fault=("size", error))
    except LabelError as error:
        return Sample(pair=pair, source=None, fault=("label", error))
    source = LabelledScene(scene=scene, labels=labels)
    if not unknown:
        return Sample(pair=pair, source=source, pixels=pixels)
    what = "colours" if any(key.startswith("#") for key in unknown) else "values"
    problem = f"{what} that are not in the legend: {list_counts(unknown, 'pixels')}"
    fault = LabelError(pair.labels, problem)
    return Sample(pair=pair, source=None, pixels=pixels, unknown=unknown, fault=("values", fault))


def _alike(samples: Sequence[Sample]) -> list[Sample]:
    """The samples, with a fault for images of another type than most."""
    dtypes = Counter(sample.source.scene.dtype for sample in samples if sample.source is not None)
    if len(dtypes) < 2:
        return list(samples)
    usual = dtypes.most_common(1)[0][0]
    return [_of_type(sample, usual) for sample in samples]


def _of_type(sample: Sample, usual: str) -> Sample:
    if sample.source is None or sample.source.scene.dtype == usual:
        return sample
    problem = f"is of {sample.source.scene.dtype}, most images are of {usual}"
    error = SceneError(sample.pair.image, problem)
    return replace(sample, source=None, fault=("image", error))


def _report(description: Description, found: Found, samples: Sequence[Sample]) -> DatasetReport:
    legend = description.legend
    used = description.used_splits
    pixels: dict[Split, Counter[int]] = {split: Counter() for split in used}
    unknown: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    dtypes: Counter[str] = Counter()
    for sample in samples:
        pixels[sample.pair.split].update(sample.pixels)
        unknown.update(sample.unknown)
        if sample.source is not None:
            scene = sample.source.scene
            sizes[f"{scene.grid.height} x {scene.grid.width}"] += 1
            dtypes[scene.dtype] += 1
    return DatasetReport(
        name=description.name,
        root=str(found.root),
        pairs={s: sum(p.pair.split == s for p in samples) for s in used},
        published={s: _published(description, s) for s in used},
        unlabelled={s: found.unlabelled[s] for s in used},
        class_pixels={s: {c.name: pixels[s][c.value] for c in legend.classes} for s in used},
        ignored={s: pixels[s][legend.ignore] for s in used},
        sizes=dict(sizes.most_common()),
        dtype=dtypes.most_common(1)[0][0] if dtypes else "",
        unknown=dict(unknown.most_common()),
        skipped=sum(s.source.labels.skipped for s in samples if s.source is not None),
        faults=tuple(found.faults),
    )


def _published(description: Description, split: Split) -> int | None:
    counts = [part.pairs for part in description.parts(split) if part.labels or part.list_]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _told(error: GeosegError) -> str:
    return " ".join(f"{error.problem}. {error.cure}".rstrip(". ").split())
