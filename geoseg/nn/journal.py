"""One row of figures an epoch: metrics.csv, TensorBoard, the log."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from geoseg.geo.outputs import publish
from geoseg.nn.budget import Budget
from geoseg.nn.run_loggers import log_figures
from geoseg.nn.task import SegmentationTask
from geoseg.nn.throughput import Throughput
from geoseg.progress import Progress

logger = logging.getLogger(__name__)

Row = dict[str, float]


class Journal(Callback):
    """One row of figures an epoch: metrics.csv, TensorBoard, the log.

    Args:
        output: The CSV file, written anew each epoch, so that it is always whole.
        budget: Tells the time.
        fingerprint: Of the data; a checkpoint keeps it.
        progress: Gets an event an epoch.
        throughput: Tells how fast samples went; it stands before the journal.
    """

    def __init__(
        self,
        output: Path,
        budget: Budget,
        fingerprint: str,
        progress: Progress,
        throughput: Throughput,
    ) -> None:
        self.history: list[Row] = []
        self._throughput = throughput
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
            **self._throughput.row(),
            **as_task(pl_module).take_row(),
        }
        self.history.append(row)
        if trainer.is_global_zero:
            write_csv(self.history, self._output)
        figures = {key: value for key, value in row.items() if "/" in key or key == "lr"}
        log_figures(trainer.loggers, figures, trainer.global_step)
        self._progress.event("epoch", **row)
        logger.info("%s", describe_row(row))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: all rows, and the fingerprint of the data."""
        return {"history": self.history, "fingerprint": self._fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the rows of a checkpoint; rows after it are forgotten."""
        self.history = [dict(row) for row in state_dict["history"]]


def as_task(module: LightningModule) -> SegmentationTask:
    """The module that Lightning hands to callbacks, as what it is."""
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
    if "val/scene/mean_iou" in row:
        parts.append(f"of whole scenes {row['val/scene/mean_iou']:.4f}")
    return ", ".join(parts)
