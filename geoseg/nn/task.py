"""What one step of training and validation does; the loop around it is Lightning's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from geoseg.errors import GeosegError, WorkError
from geoseg.geo.legend import Legend
from geoseg.nn.augment import Augment
from geoseg.nn.config import TrainConfig
from geoseg.nn.dataset import Batch
from geoseg.nn.losses import build_loss
from geoseg.nn.metrics import ConfusionMatrix
from geoseg.nn.models import SegmentationModel
from geoseg.nn.optim import build_optimizer
from geoseg.nn.scaling import Scaling
from geoseg.nn.schedules import Schedule
from geoseg.nn.training_loss import TrainingLoss

_STEPS_BETWEEN_CHECKS = 25
"""On a GPU, asking whether a loss is a number would halt the queue of work at every step."""


class SegmentationTask(pl.LightningModule):
    """Trains a network on batches in raw units.

    Args:
        network: From scaled images to logits.
        config: Loss, optimizer, schedule, augmentation, seed.
        scaling: From raw units to what the network sees.
        legend: The classes.
        total_steps: Steps of the whole training, as far as is known at the step given.
        class_pixels: Labelled pixels of each class that is trained on, for class weights.
    """

    def __init__(
        self,
        network: SegmentationModel,
        config: TrainConfig,
        scaling: Scaling,
        legend: Legend,
        total_steps: Callable[[int], int],
        class_pixels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.loss = build_loss(
            config.loss,
            classes=legend.count,
            ignore=legend.ignore_index,
            class_pixels=class_pixels,
        )
        self.training_loss = TrainingLoss(
            self.loss,
            network.auxiliary,
            ignore=legend.ignore_index,
            aux_weight=config.loss.aux_weight,
        )
        self.confusion = ConfusionMatrix(legend.count, legend.ignore_index)
        self._config = config
        self._scaling = scaling
        self._legend = legend
        self._total_steps = total_steps
        fill = scaling.fill(network.spec.in_channels)
        self._augment = Augment(
            config.augment, fill=fill, ignore=legend.ignore_index, seed=config.seed
        )
        self._losses: list[Tensor] = []
        self._checked = 0
        self._steps_before = 0
        self._val_losses: list[Tensor] = []
        self._row: dict[str, float] = {}

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h, w) of images (n, bands, h, w) in raw units."""
        logits: Tensor = self._outputs(self._scaling.apply(image))
        return logits

    def on_train_epoch_start(self) -> None:
        """Begin the epoch's chance anew, so that a resumed run has the same."""
        seed = np.random.SeedSequence((self._config.seed, self.current_epoch))
        network_seed, augment_seed = (int(s) for s in seed.generate_state(2))
        torch.manual_seed(network_seed)
        if self._augment.generator is not None:
            self._augment.generator.manual_seed(augment_seed)
        self._losses, self._checked = [], 0
        self._steps_before = self.global_step

    def training_step(self, batch: Batch | GeosegError, index: int) -> Tensor:
        """Scale, augment, predict, and tell the loss.

        Raises:
            GeosegError: If a sample could not be read.
            WorkError: If the loss is no number.
        """
        del index
        batch = _opened(batch)
        image = self._scaling.apply(batch["image"])
        image, target, _ = self._augment(image, batch["target"], batch["valid"])
        loss: Tensor = self.training_loss(self._outputs(image), target)
        self._losses.append(loss.detach())
        if loss.device.type == "cpu" or len(self._losses) - self._checked >= _STEPS_BETWEEN_CHECKS:
            self._check_losses()
        return loss

    def on_validation_epoch_start(self) -> None:
        """Begin counting anew."""
        self.confusion.reset()
        self._val_losses = []

    def validation_step(self, batch: Batch | GeosegError, index: int) -> None:
        """Predict, and count pixels.

        Raises:
            GeosegError: If a sample could not be read.
        """
        del index
        batch = _opened(batch)
        logits = self(batch["image"])
        labelled = (batch["target"] != self._legend.ignore_index).any()
        if labelled:
            self._val_losses.append(self.loss(logits, batch["target"]))
        self.confusion.update(logits, batch["target"])

    def on_validation_epoch_end(self) -> None:
        """Derive the figures of the epoch from its one confusion matrix."""
        scores = self.confusion.scores(self._legend.names)
        self._row = {
            "val/loss": _mean(self._val_losses),
            "val/mean_iou": scores["mean_iou"],
            "val/pixel_accuracy": scores["pixel_accuracy"],
            "val/mean_f1": scores["mean_f1"],
            **{f"val/iou/{entry['name']}": entry["iou"] for entry in scores["classes"]},
        }

    def take_row(self) -> dict[str, float]:
        """The figures of the epoch that ends.

        Raises:
            WorkError: If a loss is no number.
        """
        self._check_losses()
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        return {"lr": float(rate), "train/loss": _mean(self._losses), **self._row}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, with a schedule that goes on at each step."""
        optimizer = build_optimizer(self.network, self._config.optimizer)
        schedule = Schedule(optimizer, self._config.schedule, self._total_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _outputs(self, image: Tensor) -> Any:  # noqa: ANN401 - a tuple in training, see forward
        return self.network(image.contiguous(memory_format=torch.channels_last))

    def _check_losses(self) -> None:
        recent = self._losses[self._checked :]
        if recent and not torch.isfinite(torch.stack(recent)).all():
            bad = next(i for i, loss in enumerate(recent) if not torch.isfinite(loss))
            raise WorkError(
                f"step {self._steps_before + self._checked + bad + 1}",
                f"the loss is {float(recent[bad])}",
                "Lower optimizer.lr, or set train.precision to fp32",
            )
        self._checked = len(self._losses)


def _opened(batch: Batch | GeosegError) -> Batch:
    if isinstance(batch, GeosegError):
        raise batch
    return batch


def _mean(losses: list[Tensor]) -> float:
    return float(torch.stack(losses).mean()) if losses else float("nan")
