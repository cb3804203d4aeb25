"""What the schedule `plateau` sees of a training."""

from __future__ import annotations

import logging

from lightning.pytorch import Callback, LightningModule, Trainer

from geoseg.nn.journal import Journal
from geoseg.nn.schedules import Schedule

logger = logging.getLogger(__name__)


class Plateau(Callback):
    """Shows the schedule the figure of each epoch; it stands between journal and keeper.

    Args:
        journal: Has the figures.
        monitor: `max` or `min`, and the name of one; epochs without it are passed over.
    """

    def __init__(self, journal: Journal, monitor: str) -> None:
        self._journal = journal
        self._mode, self._key = monitor.split()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the figure of the epoch that ends."""
        del pl_module
        row = self._journal.history[-1]
        schedule = trainer.lr_scheduler_configs[0].scheduler
        assert isinstance(schedule, Schedule)
        highest = self._mode == "max"
        if self._key in row and schedule.observe(row[self._key], highest=highest):
            rate = schedule.get_last_lr()[0]
            logger.info("%s gets no better: the rate falls to %.3g", self._key, rate)
