"""Keeps the last and the best state of a training on disk."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from geoseg.nn.checkpoints import await_validation, write_checkpoint
from geoseg.nn.distributed import largest_of_all
from geoseg.nn.journal import Journal, Row, as_task
from geoseg.nn.loop_config import LoopConfig
from geoseg.nn.sampling import EpochSampler
from geoseg.nn.validation import Counts

logger = logging.getLogger(__name__)


class Keeper(Callback):
    """Keeps the last and the best state of the network, and ends what gets no better.

    Checkpoints are written within and after epochs, but not so often that writing takes more
    than a twentieth of the time; the last epoch's always.

    Args:
        folder: Where `last.ckpt` and `best.ckpt` go.
        config: Tells what is monitored, and how long without a better figure is too long.
        journal: Has the figures.
        sampler: The order of the training samples, which is kept as well.
    """

    writing_share = 0.05
    """Most of the time that goes into writing checkpoints."""

    def __init__(
        self, folder: Path, config: LoopConfig, journal: Journal, sampler: EpochSampler
    ) -> None:
        self.last = folder / "last.ckpt"
        self.best = folder / "best.ckpt"
        self._mode, self._key = config.monitor.split()
        self._early_stop = config.early_stop
        self._journal = journal
        self._sampler = sampler
        self._state: dict[str, Any] = {"best": math.nan, "epoch": 0, "tiles": None, "whole": None}
        self._best_weights: dict[str, Tensor] | None = None
        self.seconds = 0.0
        """Spent in writing."""
        self._next_write = 0.0
        self._written_epoch = 0
        self._validation_is_due = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() >= self._next_write

    @property
    def best_epoch(self) -> int:
        """The epoch of the best figure, from 1."""
        return int(self._state["epoch"])

    @property
    def best_counts(self) -> Counts:
        """What the validation of that epoch counted."""
        counts: Counts = self._state["tiles"]
        return counts

    @property
    def best_whole(self) -> Counts | None:
        """The same of whole scenes, where it had them."""
        counts: Counts | None = self._state["whole"]
        return counts

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run that was ended early stays so when it is resumed."""
        del pl_module
        if self._journal.history:
            self._written_epoch = len(self._journal.history)
            trainer.should_stop |= self._is_stuck()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the state if it is the best so far; write it if it is time."""
        row = self._journal.history[-1]
        if self._tells(row) and self._is_better(row[self._key]):
            validation = as_task(pl_module).validation
            self._state = {
                "best": row[self._key],
                "epoch": row["epoch"],
                "tiles": validation.counts(),
                "whole": validation.whole,
            }
            if trainer.is_global_zero:
                state = pl_module.state_dict()
                self._best_weights = {k: v.detach().to("cpu", copy=True) for k, v in state.items()}
        if self._is_stuck():
            logger.info("no better %s in %d epochs: training ends", self._key, self._early_stop)
            trainer.should_stop = True
        (due,) = largest_of_all(self.is_due)
        if due:
            self.write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last state."""
        del pl_module
        if self._written_epoch < len(self._journal.history):
            self.write(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the samples' order too; tell a resumed run if validation or the end comes next."""
        del pl_module
        checkpoint["sampler"] = self._sampler.state_dict()
        checkpoint["ends"] = bool(trainer.should_stop)
        if self._validation_is_due:
            await_validation(checkpoint["loops"]["fit_loop"], int(trainer.num_training_batches))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the best figure, its epoch, and what was counted then."""
        return dict(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best figure of a checkpoint."""
        self._state = dict(state_dict)

    def write(self, trainer: Trainer, *, validation_is_due: bool = False) -> None:
        """Write the last state, and the best one if it is new; all processes call it.

        Args:
            trainer: Has the state.
            validation_is_due: Whether the epoch's batches are done, and not its validation.
        """
        began = time.monotonic()
        if self._best_weights is not None:
            # Before the last one, which says that it is there.
            write_checkpoint({"state_dict": self._best_weights}, self.best)
        self._best_weights = None
        self._validation_is_due = validation_is_due
        trainer.save_checkpoint(self.last)
        self._written_epoch = len(self._journal.history)
        now = time.monotonic()
        self.seconds += now - began
        self._next_write = now + (now - began) / self.writing_share

    def _is_stuck(self) -> bool:
        """Whether too many epochs that tell the figure have come since the best one."""
        since = [row for row in self._journal.history if row["epoch"] > self.best_epoch]
        return 0 < self._early_stop <= sum(map(self._tells, since))

    def _tells(self, row: Row) -> bool:
        """Whether an epoch can be the best: it was validated, and has the figure."""
        return "val/loss" in row and self._key in row

    def _is_better(self, figure: float) -> bool:
        best = float(self._state["best"])
        if self.best_epoch == 0 or math.isnan(best):
            return self.best_epoch == 0 or not math.isnan(figure)
        return figure > best if self._mode == "max" else figure < best
