"""Keeps the last and the best state of a training on disk."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from geoseg.errors import ConfigError
from geoseg.nn.checkpoints import write_checkpoint
from geoseg.nn.journal import Journal, Row, as_task
from geoseg.nn.loop_config import LoopConfig

logger = logging.getLogger(__name__)


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
            matrix = as_task(pl_module).confusion.matrix.tolist()
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
