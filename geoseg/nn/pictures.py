"""Pictures of a training while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from geoseg.geo.outputs import publish
from geoseg.geo.sample_view import SampleView
from geoseg.nn.journal import Journal, Row, as_task
from geoseg.nn.keeper import Keeper
from geoseg.nn.run_loggers import log_picture
from geoseg.nn.sample_views import SampleViews
from geoseg.nn.stopwatch import Stopwatch

CURVES, CONFUSION, SAMPLES = PICTURES = ("curves.png", "confusion.png", "samples.png")
"""Names in the run folder."""

Draw = Callable[[Path, Sequence[Row], npt.NDArray[Any], Sequence[SampleView]], None]
"""Draws the three pictures into a folder: of the history, a confusion matrix and samples."""


class Pictures(Callback):
    """Draws after validations; it stands behind journal and keeper.

    Those in the run folder show the best epoch, those that loggers get the one that ends. Drawing
    takes no more than a twentieth of the time.

    Args:
        run: The run folder.
        draw: Draws.
        views: The samples that are shown.
        journal: Has the figures.
        keeper: Knows the best epoch.
        stopwatch: Knows the time.
    """

    drawing_share = 0.05
    """Most of the time that goes into drawing."""

    def __init__(
        self,
        run: Path,
        draw: Draw,
        views: SampleViews,
        journal: Journal,
        keeper: Keeper,
        stopwatch: Stopwatch,
    ) -> None:
        self._run = run
        self._draw = draw
        self._views = views
        self._journal = journal
        self._keeper = keeper
        self._stopwatch = stopwatch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, if the epoch was validated and there is time."""
        row = self._journal.history[-1]
        is_wanted = trainer.is_global_zero and "val/loss" in row
        if is_wanted and self._stopwatch.allows("pictures", self.drawing_share):
            with self._stopwatch.measure("pictures"), TemporaryDirectory() as folder:
                self._make(trainer, pl_module, Path(folder))

    def _make(self, trainer: Trainer, pl_module: LightningModule, folder: Path) -> None:
        task = as_task(pl_module)
        matrix = task.validation.confusion.matrix.cpu().numpy()
        self._draw(folder, self._journal.history, matrix, self._views.of(task.network))
        is_best = self._keeper.best_epoch == self._journal.history[-1]["epoch"]
        for name in PICTURES if is_best else (CURVES,):
            with publish(self._run / name) as temporary:
                temporary.write_bytes((folder / name).read_bytes())
        for name in (CONFUSION, SAMPLES):  # curves are theirs already
            pixels = read_picture(folder / name)
            log_picture(trainer.loggers, Path(name).stem, pixels, trainer.global_step)


def read_picture(path: Path) -> npt.NDArray[np.uint8]:
    """Pixels (height, width, 3) of a picture."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
