"""The loop of training: Lightning's, set up for one run and kept quiet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import lightning.pytorch as pl

from geoseg.nn.averaging import Averaging, sample_images
from geoseg.nn.batch_end import BatchEnd
from geoseg.nn.budget import Budget
from geoseg.nn.clipping import Clipping
from geoseg.nn.dataset import CachedSource, PairSource, make_loader
from geoseg.nn.failures import told
from geoseg.nn.freezing import Freezing
from geoseg.nn.journal import Journal, Row
from geoseg.nn.keeper import Keeper
from geoseg.nn.observers import Observers
from geoseg.nn.pair_losses import PairLosses
from geoseg.nn.pictures import Pictures
from geoseg.nn.plateau import Plateau
from geoseg.nn.sample_views import SampleViews
from geoseg.nn.setup import TrainSetup
from geoseg.nn.signals import Signals
from geoseg.nn.task import SegmentationTask
from geoseg.nn.throughput import Throughput
from geoseg.nn.trainer import make_trainer
from geoseg.nn.validation import Counts, Validation
from geoseg.nn.whole_scenes import SceneScores, ValidationPlan
from geoseg.progress import Progress

_TALKERS = ("lightning.pytorch", "lightning.fabric", "torch.utils.cpp_extension")
"""Loggers that write lines of their own on stderr; the last one, where a network is compiled."""

METRICS, CHECKPOINTS = "metrics.csv", "checkpoints"
"""Names in the run folder."""


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """What the loop leaves behind."""

    history: list[Row]
    """The rows of metrics.csv, one an epoch."""

    best: Row
    """The row of the best epoch."""

    counts: Counts
    """What its validation counted, scene by scene."""

    whole: Counts | None
    """The same of whole scenes, where it had them."""

    checkpoint: Path
    """The network as it was then."""


def fit(
    setup: TrainSetup,
    run: Path,
    checkpoint: Path | None,
    progress: Progress,
    observers: Observers | None = None,
) -> FitResult:
    """Train until the budget is spent or nothing gets better.

    Args:
        setup: What to train.
        run: The run folder; figures, events and checkpoints go there.
        checkpoint: Where to go on; None begins with the network's first weights.
        progress: Where progress is reported.
        observers: What looks on.

    Raises:
        TrainingStopped: If a signal asked for the end; the last step is in a checkpoint.
        WorkError: If the loss is no number, memory is too small, a worker or the disk fails.
        ConfigError: If what is monitored is no figure of the run.
    """
    config, observers = setup.config, observers or Observers()
    budget = Budget(config.train, setup.epoch_steps, progress)
    train = setup.data.train
    cached = isinstance(train, CachedSource) and train.fits
    throughput = Throughput(config, cached=cached)
    journal = Journal(run / METRICS, budget, setup.data.fingerprint, progress, throughput)
    keeper = Keeper(run / CHECKPOINTS, config.train, journal, setup.sampler)
    signals = Signals(patient=setup.environment is not None)
    decisions = BatchEnd(budget, signals, keeper)
    plateau = Plateau(journal, config.train.monitor)
    # The order counts: the journal writes the row that the keeper looks at and saves.
    ordered = [*_weight_callbacks(setup, budget), journal, plateau, keeper, decisions]
    watching = _watching_callbacks(setup, run, observers, journal, keeper, decisions)
    pair_losses = _pair_losses(setup)
    callbacks = [budget, signals, throughput, *pair_losses, *ordered, *watching]
    trainer = make_trainer(setup, run, callbacks, list(observers.loggers))
    task = SegmentationTask(
        setup.network,
        config,
        setup.scaling,
        setup.data.legend,
        budget.total_steps,
        setup.data.class_pixels,
        name_of=setup.data.train.name,
    )
    task.validation = Validation(setup.data.legend, setup.data.val)
    task.pair_losses = next(iter(pair_losses), None)
    train_workers, val_workers = (_workers(setup, s) for s in (setup.data.train, setup.data.val))
    loaders = (
        make_loader(setup.train, setup.batch_size, train_workers, setup.sampler),
        make_loader(setup.val, _val_batch_size(setup), val_workers, _val_share(setup)),
    )
    try:
        trainer.fit(task, *loaders, ckpt_path=checkpoint)
    except (RuntimeError, MemoryError) as error:
        raise told(error, setup) from error
    finally:
        observers.stopwatch.seconds["checkpoints"] = keeper.seconds
    return FitResult(
        history=journal.history,
        best=next(row for row in journal.history if row["epoch"] == keeper.best_epoch),
        counts=keeper.best_counts,
        whole=keeper.best_whole,
        checkpoint=keeper.best,
    )


def _pair_losses(setup: TrainSetup) -> list[PairLosses]:
    """What gathers the losses by which hard pairs are drawn, where they are."""
    if setup.config.data.sampling != "hard":
        return []
    return [PairLosses(setup.sampler, setup.data.legend.ignore_index)]


def _weight_callbacks(setup: TrainSetup, budget: Budget) -> list[pl.Callback]:
    """What moves or holds weights beside the optimizer, in its order at each step."""
    clip, loop = setup.config.optimizer.clip_norm, setup.config.train
    callbacks: list[pl.Callback] = [Freezing(setup.freezing)]
    if clip is not None:
        callbacks.append(Clipping(clip))
    if loop.average != "none":
        images = partial(sample_images, setup.train, len(setup.sampler), setup.batch_size)
        callbacks.append(Averaging(loop, budget.total_steps, setup.freezing, images))
    return callbacks


def _watching_callbacks(
    setup: TrainSetup,
    run: Path,
    observers: Observers,
    journal: Journal,
    keeper: Keeper,
    decisions: BatchEnd,
) -> list[pl.Callback]:
    """What validates whole scenes and draws."""
    table, stopwatch = setup.config.validation, observers.stopwatch
    callbacks: list[pl.Callback] = [ValidationPlan(table.every, stopwatch)]
    if observers.whole is not None:
        beat, legend = decisions.on_validation_batch_end, setup.data.legend
        callbacks.append(SceneScores(observers.whole, legend, table.scene_every, beat))
    if observers.draw is not None:
        views = SampleViews(setup)
        callbacks.append(Pictures(run, observers.draw, views, journal, keeper, stopwatch))
    return callbacks


def _workers(setup: TrainSetup, source: PairSource) -> int:
    """None where all pairs stay in memory: copying them between processes takes longer."""
    workers = setup.config.train.workers
    if isinstance(source, CachedSource):
        if source.fits:
            return 0
        source.share_room(workers)
    return workers


def _val_share(setup: TrainSetup) -> range | None:
    """The validation samples of this process: none is validated twice; None is all of them."""
    process = setup.process
    if process.world == 1:
        return None
    return range(process.rank, len(setup.val), process.world)


def _val_batch_size(setup: TrainSetup) -> int:
    """As many pixels as in training, as far as whole samples allow."""
    form, crop = setup.val.form, setup.config.data.crop
    return max(1, setup.batch_size * crop * crop // (form.height * form.width))


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep banners, tips and warnings of libraries away; geoseg says what a user needs."""
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
