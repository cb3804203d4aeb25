"""What happens around the steps of training: budget, signals, journal, checkpoints."""

from __future__ import annotations

import csv
import io
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from geoseg.errors import ConfigError
from geoseg.geo.outputs import publish
from geoseg.nn.checkpoints import write_checkpoint
from geoseg.nn.config_tables import LoopConfig
from geoseg.nn.task import SegmentationTask
from geoseg.progress import Progress, Task

logger = logging.getLogger(__name__)

Row = dict[str, float]


class TrainingStopped(Exception):  # noqa: N818 - no error: the user stopped the run
    """A signal asked for the end of training."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Budget(Callback):
    """Ends training after its steps or minutes, and tells how far it is.

    Args:
        config: Tells epochs, steps or minutes.
        epoch_steps: Steps of an epoch.
        progress: Where progress is reported.
    """

    def __init__(self, config: LoopConfig, epoch_steps: int, progress: Progress) -> None:
        self._config = config
        self._progress = progress
        self._total = config.steps or (config.epochs or 0) * epoch_steps or None
        self._seconds_before = 0.0
        self._started = time.monotonic()
        self._task: Task | None = None
        self._close: Callable[[], object] = lambda: None

    @property
    def seconds(self) -> float:
        """Time in training, resumed runs added up."""
        return self._seconds_before + time.monotonic() - self._started

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the progress task; a resumed run begins where it was."""
        del pl_module
        self._started = time.monotonic()
        self._end_if_spent(trainer)  # a resumed run may have had its share
        context = self._progress.task("train", self._total, "step")
        self._task = context.__enter__()
        self._close = lambda: context.__exit__(None, None, None)
        if trainer.global_step:
            self._task.advance(trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Count the step; ask for the end when the budget is spent."""
        if self._task is not None:
            self._task.advance()
        self._end_if_spent(trainer)

    def total_steps(self, step: int) -> int:
        """Steps of the whole training, as far as is known at a step."""
        if self._total is not None:
            return self._total
        share = self.seconds / (60 * (self._config.minutes or 1))
        return max(step + 1, round(step / share))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Close the progress task."""
        del trainer, pl_module, stage
        self._end()

    def on_exception(self, *_: object) -> None:
        """Close the progress task: Lightning calls no teardown after an exception."""
        self._end()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the time spent."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting from a checkpoint."""
        self._seconds_before = float(state_dict["seconds"])

    def _end(self) -> None:
        self._close()
        self._close = lambda: None

    def _end_if_spent(self, trainer: Trainer) -> None:
        spent = self._config.steps is not None and trainer.global_step >= self._config.steps
        if self._config.minutes is not None:
            spent = self.seconds >= self._config.minutes * 60
        if spent:
            trainer.should_stop = True


class Signals(Callback):
    """Ends training at a batch's end after Ctrl-C or SIGTERM; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, where signals can be listened to; Lightning has set its own handlers before."""
        del trainer, pl_module
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)

    def on_train_batch_end(self, *_: object) -> None:
        """Stop here if a signal came."""
        self._stop_if_asked()

    def on_validation_batch_end(self, *_: object) -> None:
        """Stop here if a signal came."""
        self._stop_if_asked()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back to who had them."""
        del trainer, pl_module, stage
        self._give_back()

    def on_exception(self, *_: object) -> None:
        """Give them back too: Lightning calls no teardown after an exception."""
        self._give_back()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._received is not None:
            raise TrainingStopped(number)
        self._received = number

    def _give_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _stop_if_asked(self) -> None:
        if self._received is not None:
            raise TrainingStopped(self._received)


class Journal(Callback):
    """One row of figures an epoch: metrics.csv, TensorBoard, the log.

    Args:
        output: The CSV file, written anew each epoch, so that it is always whole.
        budget: Tells the time.
        fingerprint: Of the data; a checkpoint keeps it.
        progress: Gets an event an epoch.
    """

    def __init__(self, output: Path, budget: Budget, fingerprint: str, progress: Progress) -> None:
        self.history: list[Row] = []
        self._fingerprint = fingerprint
        self._output = output
        self._budget = budget
        self._progress = progress

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the row of the epoch that ends."""
        row: Row = {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "seconds": round(self._budget.seconds, 2),
            **_task(pl_module).take_row(),
        }
        self.history.append(row)
        write_csv(self.history, self._output)
        figures = {key: value for key, value in row.items() if "/" in key or key == "lr"}
        for writer in trainer.loggers:
            writer.log_metrics(figures, step=trainer.global_step)
        self._progress.event("epoch", **row)
        logger.info("%s", describe_row(row))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: all rows, and the fingerprint of the data."""
        return {"history": self.history, "fingerprint": self._fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of a checkpoint; rows after it are forgotten."""
        self.history = [dict(row) for row in state_dict["history"]]


class Keeper(Callback):
    """Keeps the last and the best state of the network, and ends what gets no better.

    Checkpoints are written after an epoch, but not so often that writing takes more than a
    twentieth of the time; the last epoch's always.

    Args:
        folder: Where `last.ckpt` and `best.ckpt` go.
        config: Tells what is monitored, and how long without a better figure is too long.
        journal: Has the figures.
    """

    writing_share = 0.05
    """Most of the time that goes into writing checkpoints."""

    def __init__(self, folder: Path, config: LoopConfig, journal: Journal) -> None:
        self.last = folder / "last.ckpt"
        self.best = folder / "best.ckpt"
        self._mode, self._key = config.monitor.split()
        self._early_stop = config.early_stop
        self._journal = journal
        self._state: dict[str, Any] = {"best": math.nan, "epoch": 0, "confusion": []}
        self._best_weights: dict[str, Tensor] | None = None
        self._next_write = 0.0
        self._written_epoch = 0

    @property
    def best_epoch(self) -> int:
        """The epoch of the best figure, from 1."""
        return int(self._state["epoch"])

    @property
    def best_confusion(self) -> list[list[int]]:
        """The confusion matrix of that epoch's validation; rows are the reference."""
        return list(self._state["confusion"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run that was ended early stays so when it is resumed."""
        del pl_module
        if self._journal.history:
            self._written_epoch = len(self._journal.history)
            trainer.should_stop |= self._is_stuck(self._journal.history[-1])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the state if it is the best so far; write it if it is time."""
        row = self._journal.history[-1]
        figure = self._figure(row)
        if self._is_better(figure):
            matrix = _task(pl_module).confusion.matrix.tolist()
            self._state = {"best": figure, "epoch": row["epoch"], "confusion": matrix}
            state = pl_module.state_dict()
            self._best_weights = {k: v.detach().to("cpu", copy=True) for k, v in state.items()}
        if self._is_stuck(row):
            logger.info("no better %s in %d epochs: training ends", self._key, self._early_stop)
            trainer.should_stop = True
        if time.monotonic() >= self._next_write:
            self._write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last state."""
        del pl_module
        if self._written_epoch < len(self._journal.history):
            self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the best figure, its epoch and confusion matrix."""
        return dict(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best figure of a checkpoint."""
        self._state = dict(state_dict)

    def _write(self, trainer: Trainer) -> None:
        began = time.monotonic()
        if self._best_weights is not None:
            # Before the last one, which says that it is there.
            write_checkpoint({"state_dict": self._best_weights}, self.best)
            self._best_weights = None
        trainer.save_checkpoint(self.last)
        self._written_epoch = len(self._journal.history)
        now = time.monotonic()
        self._next_write = now + (now - began) / self.writing_share

    def _figure(self, row: Mapping[str, float]) -> float:
        if self._key not in row:
            known = ", ".join(key for key in row if "/" in key)
            raise ConfigError("train.monitor", f"{self._key} is no figure", f"Known are {known}")
        return row[self._key]

    def _is_stuck(self, row: Row) -> bool:
        return 0 < self._early_stop <= row["epoch"] - self.best_epoch

    def _is_better(self, figure: float) -> bool:
        best = float(self._state["best"])
        if self.best_epoch == 0 or math.isnan(best):
            return self.best_epoch == 0 or not math.isnan(figure)
        return figure > best if self._mode == "max" else figure < best


def _task(module: LightningModule) -> SegmentationTask:
    assert isinstance(module, SegmentationTask)
    return module


def write_csv(history: list[Row], output: Path) -> None:
    """Write rows as CSV; columns are those of all rows in order of their coming.

    Raises:
        WorkError: If the disk is full or fails.
    """
    columns = list(dict.fromkeys(key for row in history for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    with publish(output) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")


def describe_row(row: Mapping[str, float]) -> str:
    """One line for people: epoch, losses, mean IoU."""
    parts = [f"epoch {row['epoch']:g}: loss {row['train/loss']:.4f}"]
    if "val/loss" in row:
        parts.append(f"val loss {row['val/loss']:.4f}")
        parts.append(f"val mean IoU {row['val/mean_iou']:.4f}")
    return ", ".join(parts)
