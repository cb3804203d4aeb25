"""How fast samples go through training, and how much of the time it waits for them."""

from __future__ import annotations

import logging
import time

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from geoseg.nn.config import TrainConfig

logger = logging.getLogger(__name__)

_ADVISED_SHARE = 0.2
"""Share of the time in training that may go by waiting before it is told."""

_STEPS_TO_ADVISE = 10
"""Steps of an epoch below which nothing is said: workers have to start first."""


class Throughput(Callback):
    """Measures the time between steps, in which training waits for the loader, and in them.

    On a GPU, whose work goes on while the process waits, a wait counts only where the GPU was
    done when the batch came. That is asked of it without halting it, so work that ended early in
    the wait makes the share a little too large, never too small.

    Args:
        config: Names in the advice what to raise, and from what.
        cached: Whether all samples to learn from stay in memory, read by the process itself.
    """

    def __init__(self, config: TrainConfig, *, cached: bool) -> None:
        self._cached = cached
        self._advice = _advice(config, cached=cached)
        self._waited = self._stepped = self._first_wait = 0.0
        self._samples = self._steps = 0
        self._work: torch.cuda.Event | None = None
        self._mark = time.perf_counter()

    def row(self) -> dict[str, float]:
        """Figures of the epoch so far, those of all processes together from this one's.

        Returns:
            `time/data` and `time/step`, the shares (0 to 1) of the time in training that went by
            waiting and in steps, and `samples_per_second`; nothing before the first step.
        """
        seconds = self._waited + self._stepped
        if seconds <= 0:
            return {}
        share = self._waited / seconds
        return {
            "time/data": round(share, 4),
            "time/step": round(1 - share, 4),
            "samples_per_second": round(self._samples / seconds, 2),
        }

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        del trainer, pl_module
        self._begin()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int
    ) -> None:
        """Count the time since the last step as waiting, and the samples that came."""
        del pl_module, batch_idx
        now = time.perf_counter()
        # A GPU that is still at work has not waited: the time was that of its step.
        waited = now - self._mark if self._is_idle() else 0.0
        self._waited += waited
        self._stepped += now - self._mark - waited
        self._first_wait = waited if self._steps == 0 else self._first_wait
        self._mark = now
        if isinstance(batch, dict):
            self._samples += len(batch["image"]) * trainer.world_size

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Count the time of the step."""
        del trainer
        now = time.perf_counter()
        self._stepped += now - self._mark
        self._steps += 1
        self._mark = now
        if pl_module.device.type == "cuda":
            self._work = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._work.record()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the time of a validation out, of one in the middle of an epoch too."""
        del trainer, pl_module
        self._mark = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say once in a run what may be done about much waiting."""
        if self._cached and pl_module.device.type == "cpu":
            return  # the processor makes the samples itself, whatever is set
        # The first wait of an epoch is longer: workers start, and read ahead for nobody.
        waited, seconds = self._waited - self._first_wait, self._waited + self._stepped
        if self._steps < _STEPS_TO_ADVISE or waited <= _ADVISED_SHARE * seconds:
            return
        if self._advice and trainer.is_global_zero:
            share = 100 * waited / seconds
            logger.warning("%.0f %% of the time in training went by waiting for samples: %s",
                           share, self._advice)  # fmt: skip
            self._advice = ""

    def _begin(self) -> None:
        self._waited = self._stepped = self._first_wait = 0.0
        self._samples = self._steps = 0
        self._work, self._mark = None, time.perf_counter()

    def _is_idle(self) -> bool:
        return self._work is None or bool(self._work.query())  # type: ignore[no-untyped-call]


def _advice(config: TrainConfig, *, cached: bool) -> str:
    """What may be done about waiting."""
    if cached:
        return "set data.cache_mb = 0, so that train.workers prepare them beside the GPU"
    return (
        f"raise train.workers (it is {config.train.workers}) "
        f"or data.cache_mb (it is {config.data.cache_mb})"
    )
