"""Training on a segmentation data set of torchgeo: `[data] torchgeo = "LoveDA"`."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from geoseg.errors import ConfigError, SceneError
from geoseg.geo.stats import BandStats, BandStatsAccumulator
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import CachedSource, Pair
from geoseg.nn.drawing import ANYWHERE, Drawing, tell_repeats
from geoseg.nn.pair_checks import check_pair
from geoseg.nn.sources import TrainingData, fingerprint
from geoseg.nn.torchgeo_classes import MaskValues, mask_values

_MEASURED = 256
"""Pairs by which bands and classes are measured."""

_PROBED = 16
"""Pairs of validation whose sizes are looked at."""

_VAL_NAMES = ("val", "valid", "validation", "dev")
"""What data sets call the split that validates, in the order of preference."""

_IMAGE_AXES = 3


class TorchgeoSource:
    """Samples of a torchgeo data set as pairs.

    Args:
        name: What people know it by.
        dataset: Gives `image` (bands, height, width) and `mask` (height, width).
        numbers: Those of its samples that belong to this part.
        values: What mask values mean.
        limit: Height and width that no pair may be larger than; None lets them be any.
    """

    def __init__(
        self,
        name: str,
        dataset: Any,  # noqa: ANN401 - any data set of torchgeo
        numbers: npt.NDArray[np.int64],
        values: MaskValues,
        limit: tuple[int, int] | None = None,
    ) -> None:
        self.legend = values.legend
        self.scenes = (name,)
        self._dataset, self._numbers, self._values = dataset, numbers.tolist(), values
        self.limit = limit

    def __len__(self) -> int:
        return len(self._numbers)

    def scene(self, index: int) -> int:
        """All pairs are of one scene, as nobody tells otherwise."""
        del index
        return 0

    def name(self, index: int) -> str:
        """The data set and the number of a sample."""
        return f"{self.scenes[0]} {self._numbers[index]}"

    def read(self, index: int, rng: np.random.Generator, focus: int = ANYWHERE) -> Pair:
        """Read a sample; neither `rng` nor `focus` is used.

        Raises:
            SceneError: If it cannot be read, or is no image with a mask.
            LabelError: If its mask holds values that mean nothing.
        """
        del rng, focus
        name = self.name(index)
        image, mask = _image_and_mask(self._sample(index), name)
        if self.limit is not None and (
            mask.shape[0] > self.limit[0] or mask.shape[1] > self.limit[1]
        ):
            found, most = "{} x {}".format(*mask.shape), "{} x {}".format(*self.limit)
            cure = 'Set data.crop_mode to "resize", or a larger data.crop'
            raise SceneError(name, f"is {found} pixels, {most} is expected", cure)
        valid = np.isfinite(image).any(axis=0)
        pair = Pair(name, image, self._values.decode(mask, name), valid)
        return check_pair(pair, self.legend.ignore, SceneError)

    def _sample(self, index: int) -> Any:  # noqa: ANN401 - what a data set of torchgeo gives
        try:
            return self._dataset[self._numbers[index]]
        except Exception as error:  # whatever a data set of others may raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise SceneError(self.name(index), f"cannot be read ({reason[0]})") from error


def open_torchgeo(config: DataConfig, seed: int) -> TrainingData:
    """Open a data set of torchgeo for training.

    Args:
        config: Names it and its arguments; `val_share` parts it where it has no split to
            validate on.
        seed: Of that parting, and of the pairs by which bands are measured.

    Raises:
        ConfigError: If torchgeo has no such data set, its arguments are wrong, it is not where
            they say, or nothing tells its classes.
        SceneError: If its samples are no images with masks.
        LabelError: If masks hold values that mean nothing.
    """
    name = config.torchgeo
    kind = _find_class(name)
    train, val = _open_splits(kind, name, config)
    rng = np.random.default_rng((seed, 2))
    numbers = [np.arange(len(part or ()), dtype=np.int64) for part in (train, val)]
    if val is None:
        numbers = _part(len(train), config.val_share, name, rng)
    values = mask_values(name, train, config.legend)
    whole = (config.crop, config.crop)
    source = TorchgeoSource(
        f"{name} train", train, numbers[0], values, whole if config.crop_mode == "none" else None
    )
    val_source = TorchgeoSource(f"{name} val", val or train, numbers[1], values)
    for part, pairs in (("train", source), ("val", val_source)):
        if not len(pairs):
            raise ConfigError("data.torchgeo", f"{name} has no sample for {part}", "Check its root")
    shape = whole if config.crop_mode in ("resize", "none") else _largest(val_source)
    if config.crop_mode != "resize":
        val_source.limit = shape
    stats, class_pixels, dtype, pair_bytes = _measure(source, rng)
    drawing = _plan_draws(source, config)
    room = config.cache_mb * 2**20
    return TrainingData(
        train=CachedSource(source, len(source) * pair_bytes, room * 3 // 4),
        val=CachedSource(val_source, len(val_source) * pair_bytes, room // 4),
        shape=shape,
        samples=drawing.natural_count,
        drawing=drawing,
        legend=values.legend,
        band_names=("",) * len(stats.mean),
        dtype=dtype,
        class_pixels=class_pixels,
        stats=stats,
        resolution=None,
        crs=None,
        fingerprint=fingerprint([name, config.torchgeo_args, len(source), len(val_source)]),
    )


def _find_class(name: str) -> type[Any]:
    """The data set's class, by its name in torchgeo."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries that torchgeo imports
        from torchgeo import datasets  # seconds to import

    known = {
        each: found
        for each in datasets.__all__
        if inspect.isclass(found := getattr(datasets, each))
        and issubclass(found, datasets.NonGeoDataset)
    }
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, 3, 0.5)
    cure = f"Did you mean {' or '.join(near)}" if near else "See torchgeo.datasets"
    problem = "is no data set of images with masks that torchgeo knows"
    if name in datasets.__all__:
        problem, cure = (
            "is a layer with a place, no set of samples",
            "Give its files as data.scenes",
        )
    raise ConfigError(f"data.torchgeo = {name}", problem, cure)


def _open_splits(kind: type[Any], name: str, config: DataConfig) -> tuple[Any, Any | None]:
    """The data set to learn from, and that to validate on; None where it has none."""
    arguments = dict(config.torchgeo_args)
    parameters = inspect.signature(kind).parameters
    unknown = [key for key in arguments if key not in parameters or key == "transforms"]
    if unknown:
        listing = ", ".join(key for key in parameters if key != "transforms")
        problem = f"{name} takes no {', '.join(unknown)}"
        raise ConfigError("data.torchgeo_args", problem, f"It takes {listing}")
    if "download" in parameters:  # whatever the class would do by itself
        arguments.setdefault("download", False)
    if "split" not in parameters or "split" in arguments:
        return _make(kind, name, arguments), None
    told = getattr(kind, "splits", None)
    names = list(told) if isinstance(told, Mapping | Sequence) else []
    train = _make(kind, name, {**arguments, "split": "train"})
    for split in _VAL_NAMES:
        if names and split not in names:
            continue
        try:
            return train, _make(kind, name, {**arguments, "split": split})
        except ConfigError:
            if names:
                raise
    return train, None


def _make(kind: type[Any], name: str, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401
    from torchgeo.datasets import DatasetNotFoundError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind(**arguments)
    except DatasetNotFoundError as error:
        root = arguments.get("root", "data")
        raise ConfigError(
            "data.torchgeo",
            f"{name} is not at {root}",
            "Set data.torchgeo_args.root, or download = true there where torchgeo can",
        ) from error
    except Exception as error:  # a missing package too, which torchgeo tells by one of its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        listing = ", ".join(f"{key} = {value!r}" for key, value in arguments.items())
        problem = f"{name} does not open with {listing or 'no arguments'} ({reason})"
        raise ConfigError("data.torchgeo_args", problem, "Mend them") from error


def _part(
    count: int, share: float | None, name: str, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Numbers to learn from, and numbers to validate on."""
    if not share:
        raise ConfigError(
            "data.val_share", f"{name} has no split to validate on", "Set a share such as 0.2"
        )
    order = rng.permutation(count)
    kept = min(max(round(count * share), 1), count - 1)
    return [np.sort(order[kept:]), np.sort(order[:kept])]


def _image_and_mask(
    sample: Any,  # noqa: ANN401 - what a data set of torchgeo gives
    name: str,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Image (bands, height, width) and mask (height, width) of a sample."""
    if not isinstance(sample, Mapping) or not {"image", "mask"} <= set(sample):
        found = ", ".join(sample) if isinstance(sample, Mapping) else type(sample).__name__
        raise SceneError(name, f"gives {found}, not image and mask", "Take a segmentation data set")
    image, mask = (torch.as_tensor(sample[key]).numpy() for key in ("image", "mask"))
    mask = mask[0] if mask.ndim == _IMAGE_AXES and len(mask) == 1 else mask
    if image.ndim != _IMAGE_AXES or image.shape[1:] != mask.shape:
        problem = f"gives an image {image.shape} with a mask {mask.shape}"
        cure = "Take a data set of (bands, height, width) and (height, width)"
        raise SceneError(name, problem, cure)
    whole = mask.astype(np.int64)
    if mask.dtype.kind == "f" and not np.array_equal(whole, mask):
        raise SceneError(name, "gives a mask of fractions", "Take a segmentation data set")
    return image, whole


def _largest(source: TorchgeoSource) -> tuple[int, int]:
    """Height and width of the largest of some pairs from all over."""
    count = min(len(source), _PROBED)
    places = np.unique(np.linspace(0, len(source) - 1, count).round().astype(int))
    rng = np.random.default_rng(0)
    shapes = np.array([source.read(int(place), rng).mask.shape for place in places])
    height, width = shapes.max(axis=0).tolist()
    return height, width


def _measure(
    source: TorchgeoSource, rng: np.random.Generator
) -> tuple[BandStats, tuple[int, ...], str, int]:
    """Bands, pixels of each class, type and mean bytes of some pairs to learn from."""
    order = sorted(rng.permutation(len(source))[:_MEASURED].tolist())
    first = source.read(order[0], rng).image
    accumulator = BandStatsAccumulator(len(first), str(first.dtype))
    counts, size = np.zeros(source.legend.count, np.int64), 0
    for index in order:
        pair = source.read(index, rng)
        accumulator.update(pair.image, pair.valid)
        counts += _count(pair, source)
        size += pair.image.nbytes + pair.mask.nbytes + pair.valid.nbytes
    if not counts.any():
        raise ConfigError("data.torchgeo", f"no sample of {source.scenes[0]} has a class")
    return accumulator.result(), tuple(counts.tolist()), str(first.dtype), size // len(order)


def _count(pair: Pair, source: TorchgeoSource) -> npt.NDArray[np.int64]:
    """Labelled pixels of each class (classes,), in legend order."""
    values = source.legend.values
    counts = np.bincount(pair.mask[pair.valid].ravel(), minlength=max(values) + 1)
    return np.asarray(counts[list(values)], np.int64)


def _plan_draws(source: TorchgeoSource, config: DataConfig) -> Drawing:
    """How often each pair comes; all are read once where it goes by class."""
    class_pixels = None
    if config.sampling in ("balanced", "rare"):
        rng = np.random.default_rng(0)
        pairs = (source.read(index, rng) for index in range(len(source)))
        class_pixels = np.array([_count(pair, source) for pair in pairs])
    drawing = Drawing(
        pairs=len(source),
        sampling=config.sampling,
        class_pixels=class_pixels,
        rare_below=config.rare_below,
        hard_share=config.hard_share,
    )
    tell_repeats(drawing, source.legend.names)
    return drawing
