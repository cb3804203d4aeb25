"""Samples for training: read, cropped and padded to one size, in an order that chance repeats."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import BaseContext
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from geoseg.errors import GeosegError, LabelError
from geoseg.geo.legend import Legend
from geoseg.nn.cropping import CropRule, resize_image, resize_nearest
from geoseg.nn.drawing import ANYWHERE
from geoseg.nn.fork_server import start_fork_server
from geoseg.nn.sampling import EpochSampler, SampleKey
from geoseg.nn.tie import die_with_parent

Batch = dict[str, Tensor]


class Pair(NamedTuple):
    """An image with its labels, as they are read."""

    name: str
    """Where it comes from."""

    image: npt.NDArray[Any]
    """(bands, height, width) in raw units."""

    mask: npt.NDArray[Any]
    """(height, width) class values, with the legend's ignore."""

    valid: npt.NDArray[np.bool_]
    """(height, width), True where the image holds data."""


class PairSource(Protocol):
    """Where pairs come from; it is copied to the loader's workers."""

    legend: Legend

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes that pairs come from."""

    def scene(self, index: int) -> int:
        """Number of the scene that a pair comes from, in the order of `scenes`."""

    def __len__(self) -> int:
        """Number of pairs."""

    def name(self, index: int) -> str:
        """What a person knows a pair by: its file, or its place on a scene."""

    def read(self, index: int, rng: np.random.Generator, focus: int = ANYWHERE) -> Pair:
        """Read a pair; a source that draws windows draws by `rng`, around a pixel of `focus`."""


class CachedSource:
    """Keeps pairs in memory while there is room; only for sources that read the same each time.

    Args:
        source: Reads the pairs.
        total_bytes: Of all its pairs in memory.
        room: Bytes that may be kept.
    """

    def __init__(self, source: PairSource, total_bytes: int, room: int) -> None:
        self.legend = source.legend
        self.fits = total_bytes <= room
        self._source = source
        self._room = room
        self._kept: dict[int, Pair] = {}

    def __len__(self) -> int:
        return len(self._source)

    @property
    def scenes(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.scenes

    def scene(self, index: int) -> int:
        """As the source does."""
        return self._source.scene(index)

    def name(self, index: int) -> str:
        """As the source does."""
        return self._source.name(index)

    def share_room(self, workers: int) -> None:
        """Leave each of several workers its part of the room."""
        self._room //= max(workers, 1)

    def read(self, index: int, rng: np.random.Generator, focus: int = ANYWHERE) -> Pair:
        """As the source does; a pair that was kept is not read again."""
        pair = self._kept.get(index)
        if pair is None:
            pair = self._source.read(index, rng, focus)
            size = pair.image.nbytes + pair.mask.nbytes + pair.valid.nbytes
            # Epochs go through all pairs: none is worth more than another.
            if size <= self._room:
                self._room -= size
                self._kept[index] = pair
        return pair


@dataclass(frozen=True, kw_only=True)
class SampleForm:
    """What samples look like."""

    height: int
    """Rows of every sample."""

    width: int
    """Columns of every sample."""

    fill: tuple[float, ...]
    """Value of each band where there is no data: its mean, in raw units."""

    seed: int
    """Start of the chance that places crops."""

    random: bool
    """Whether crops are placed at random, or in the middle."""

    cat_max_ratio: float = 1.0
    """Share of its labelled pixels that one class may cover before a crop at random is drawn
    again; the last of ten stays."""

    resize: bool = False
    """Whether pairs are scaled to the size, which must be a square, and not cropped."""


class SampleDataset(Dataset[Batch]):
    """Pairs, cropped and padded to one size.

    Each item is `image` (bands, height, width) float32 in raw units, without NaN, `target`
    (height, width) channel indices with the legend's `ignore_index` where there is no label,
    no data, or nothing but padding, `valid` (height, width) bool, True where there is data, and
    `pair` () int64, the number of the pair in its source.

    Args:
        source: The pairs.
        form: Size, fill and chance of the samples.
    """

    def __init__(self, source: PairSource, form: SampleForm) -> None:
        self.source = source
        self.form = form
        self._fill = np.array(form.fill, np.float32)[:, None, None]
        self._rule = CropRule(
            height=form.height,
            width=form.width,
            ignore=source.legend.ignore,
            cat_max_ratio=form.cat_max_ratio,
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: SampleKey | int) -> Batch | GeosegError:  # type: ignore[override]
        """Read a sample.

        Returns:
            The sample, or the error that kept it from being read: an error raised in a worker
            would arrive as a traceback in place of its one line.
        """
        try:
            return self.sample(SampleKey(0, key, key) if isinstance(key, int) else key)
        except GeosegError as error:
            return error

    def sample(self, key: SampleKey) -> Batch:
        """Read a sample.

        Raises:
            GeosegError: If it cannot be read.
        """
        rng = np.random.default_rng((self.form.seed, key.epoch, key.position))
        pair = self._crop(self.source.read(key.pair, rng, key.focus), rng, key.focus)
        return {**self._sample(pair), "pair": torch.tensor(key.pair)}

    def pair(self, index: int) -> Pair:
        """Read a pair as it is, cropped like its sample but neither filled nor padded.

        Raises:
            GeosegError: If it cannot be read.
        """
        rng = np.random.default_rng((self.form.seed, 0, index))
        return self._crop(self.source.read(index, rng), rng)

    def _sample(self, pair: Pair) -> Batch:
        height, width = pair.mask.shape
        known = np.isfinite(pair.image) & pair.valid if _is_float(pair.image) else pair.valid
        image = np.empty((len(pair.image), self.form.height, self.form.width), np.float32)
        if known.all():  # without a mask numpy copies seven times as fast
            if (height, width) != image.shape[1:]:
                image[:] = self._fill
            image[:, :height, :width] = pair.image
        else:
            image[:] = self._fill
            np.copyto(image[:, :height, :width], pair.image, where=known, casting="unsafe")
        ignore = self.source.legend.ignore_index
        target = np.full(image.shape[1:], ignore, np.uint8 if ignore == 255 else np.int32)
        target[:height, :width] = np.where(pair.valid, self._encode(pair), ignore)
        valid = np.zeros(target.shape, np.bool_)
        valid[:height, :width] = pair.valid
        arrays = {"image": image, "target": target, "valid": valid}
        return {key: torch.from_numpy(array) for key, array in arrays.items()}

    def _crop(self, pair: Pair, rng: np.random.Generator, focus: int = ANYWHERE) -> Pair:
        if self.form.resize:
            return self._resize(pair)
        if self.form.random:
            value = None if focus == ANYWHERE else self.source.legend.values[focus]
            row, col = self._rule.place(pair.mask, rng, value)
        else:
            row, col = (
                max(length - side, 0) // 2
                for length, side in zip(
                    pair.mask.shape, (self.form.height, self.form.width), strict=True
                )
            )
        rows, cols = slice(row, row + self.form.height), slice(col, col + self.form.width)
        return Pair(
            pair.name, pair.image[:, rows, cols], pair.mask[rows, cols], pair.valid[rows, cols]
        )

    def _resize(self, pair: Pair) -> Pair:
        side = self.form.height
        if pair.mask.shape == (side, side):
            return pair
        known = np.isfinite(pair.image) & pair.valid if _is_float(pair.image) else pair.valid
        image = resize_image(pair.image, known, self._fill, side)
        mask, valid = resize_nearest(pair.mask, side), resize_nearest(pair.valid, side)
        return Pair(pair.name, image, mask, valid)

    def _encode(self, pair: Pair) -> npt.NDArray[np.integer[Any]]:
        try:
            return self.source.legend.encode(pair.mask)
        except LabelError as error:
            raise LabelError(pair.name, error.problem, error.cure) from error


def make_loader(
    dataset: SampleDataset,
    batch_size: int,
    workers: int,
    sampler: EpochSampler | range | None = None,
) -> DataLoader[Batch]:
    """Make a loader; without a sampler all samples come once, in their order, of a range those.

    Workers are forked from a small server process, so that neither threads of torch nor
    handles of GDAL are copied into them.
    """
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_start_worker if workers else None,
        multiprocessing_context=_worker_context() if workers else None,
        # Its own, so that making an iterator takes nothing from the chance of the network.
        generator=torch.Generator().manual_seed(dataset.form.seed),
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=4 if workers else None,
        # A last batch of one sample has no variance for batch normalisation to divide by.
        drop_last=isinstance(sampler, EpochSampler) and len(sampler) > batch_size,
    )


def collate(samples: Sequence[Batch | GeosegError]) -> Batch | GeosegError:
    """Stack samples; an error among them takes the place of the batch."""
    batch: list[Batch] = []
    for sample in samples:
        if isinstance(sample, GeosegError):
            return sample
        batch.append(sample)
    return {key: torch.stack([sample[key] for sample in batch]) for key in batch[0]}


def _worker_context() -> BaseContext:
    start_fork_server(["geoseg.nn.sources", "geoseg.nn.window_sources"])
    return multiprocessing.get_context("forkserver")


def _start_worker(number: int) -> None:
    """Leave Ctrl-C to the main process, which ends its workers in order."""
    del number
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()  # the server, which ends with the main process, however that ends


def _is_float(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind == "f"
