"""How long training goes on: steps or minutes, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from geoseg.nn.distributed import largest_of_all
from geoseg.nn.loop_config import LoopConfig
from geoseg.progress import Progress, Task

_COUNTLESS = 10**9
"""Steps that a training by time may have, as long as no time has gone by."""


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
        self._seconds_before = self._agreed = 0.0
        self._started = time.monotonic()
        self._task: Task | None = None
        self._counted = 0
        self._close: Callable[[], object] = lambda: None

    @property
    def seconds(self) -> float:
        """Time in training, resumed runs added up."""
        return self._seconds_before + time.monotonic() - self._started

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the progress task; a resumed run begins where it was."""
        del pl_module
        self._started = time.monotonic()
        is_whole = not trainer.fit_loop.restarted_mid_epoch  # else validation is still due
        if is_whole and self._all_have_spent(trainer):
            trainer.should_stop = True  # a resumed run may have had its share
        context = self._progress.task("train", self._total, "step")
        self._task = context.__enter__()
        self._close = lambda: context.__exit__(None, None, None)
        if trainer.global_step:
            self._task.advance(trainer.global_step)
        self._counted = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Count the step."""
        if self._task is not None and trainer.global_step > self._counted:
            self._task.advance(trainer.global_step - self._counted)
        self._counted = trainer.global_step

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ask for the end where the time went by in validation, or nothing else was left."""
        del pl_module
        validated = (trainer.current_epoch + 1) % (trainer.check_val_every_n_epoch or 1) == 0
        if self._all_have_spent(trainer) and validated:  # else another step, and then validation
            trainer.should_stop = True

    def is_spent(self, trainer: Trainer) -> bool:
        """Whether the steps or minutes are over."""
        if self._config.minutes is not None:
            return self.seconds >= self._config.minutes * 60
        return self._config.steps is not None and trainer.global_step >= self._config.steps

    def agree(self, milliseconds: int) -> None:
        """Take the time spent that all processes go by: their clocks differ, their rates must not.

        Args:
            milliseconds: Spent in training, resumed runs added up.
        """
        self._agreed = milliseconds / 1000

    def total_steps(self, step: int) -> int:
        """Steps of the whole training, as far as is known at a step."""
        if self._total is not None:
            return self._total
        share = self._agreed / (60 * (self._config.minutes or 1))
        return max(step + 1, round(step / share)) if share else _COUNTLESS

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
        self._seconds_before = self._agreed = float(state_dict["seconds"])

    def _all_have_spent(self, trainer: Trainer) -> bool:
        (spent,) = largest_of_all(self.is_spent(trainer))
        return bool(spent)

    def _end(self) -> None:
        self._close()
        self._close = lambda: None
