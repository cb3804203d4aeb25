"""What one step of training and validation does; the loop around it is Lightning's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from geoseg.errors import GeosegError
from geoseg.geo.legend import Legend
from geoseg.nn.augment import Augment
from geoseg.nn.compiling import Forward, compile_forward
from geoseg.nn.config import TrainConfig
from geoseg.nn.dataset import Batch
from geoseg.nn.distributed import copy_of_first
from geoseg.nn.epoch_losses import EpochLosses
from geoseg.nn.losses import build_loss
from geoseg.nn.models import SegmentationModel
from geoseg.nn.optim import build_optimizer
from geoseg.nn.pair_losses import PairLosses
from geoseg.nn.scaling import Scaling
from geoseg.nn.schedules import Schedule
from geoseg.nn.training_loss import TrainingLoss
from geoseg.nn.validation import Validation


class SegmentationTask(pl.LightningModule):
    """Trains a network on batches in raw units.

    Args:
        network: From scaled images to logits.
        config: Loss, optimizer, schedule, augmentation, seed.
        scaling: From raw units to what the network sees.
        legend: The classes.
        total_steps: Steps of the whole training, as far as is known at the step given.
        class_pixels: Labelled pixels of each class that is trained on, for class weights.
        name_of: Gives the name of a pair that is trained on by its number.
    """

    def __init__(
        self,
        network: SegmentationModel,
        config: TrainConfig,
        scaling: Scaling,
        legend: Legend,
        total_steps: Callable[[int], int],
        class_pixels: Sequence[int] | None = None,
        *,
        name_of: Callable[[int], str] | None = None,
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
        self.validation = Validation(legend)  # replaced by one that knows the scenes
        self.pair_losses: PairLosses | None = None  # given where hard pairs are drawn more often
        self._config = config
        self._scaling = scaling
        self._legend = legend
        self._total_steps = total_steps
        fill = scaling.fill(network.spec.in_channels)
        self._augment = Augment(
            config.augment, fill=fill, ignore=legend.ignore_index, seed=config.seed
        )
        self.losses = EpochLosses(name_of, config.train.accumulate)
        self._compiled: Forward | None = None
        self._interrupted: dict[str, Any] | None = None
        self._row: dict[str, float] = {}

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h, w) of images (n, bands, h, w) in raw units."""
        logits: Tensor = self._outputs(self._scaling.apply(image))
        return logits

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the losses of the running epoch."""
        checkpoint["running"] = {"epoch": self.current_epoch, **self.losses.state_dict()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the losses of the epoch that was interrupted, if one was."""
        self._interrupted = dict(checkpoint["running"])

    def on_train_start(self) -> None:
        """Compile; begin an interrupted epoch once more, as Lightning tells nobody that it does."""
        if self._config.train.compile:
            self._compile()
        if self._interrupted is None or not self.trainer.fit_loop.restarted_mid_epoch:
            return
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined] # no hints there
            callback.on_train_epoch_start(self.trainer, self)
        self.losses.load_state_dict(self._interrupted)

    def on_train_epoch_start(self) -> None:
        """Begin to gather losses."""
        self.losses.restart(self.global_step)
        self._row = {}

    def training_step(self, batch: Batch | GeosegError, index: int) -> Tensor:
        """Scale, augment, predict, and tell the loss.

        Raises:
            GeosegError: If a sample could not be read.
            WorkError: If the loss is no number.
        """
        batch = _opened(batch)
        self._seed(index)
        with torch.autocast(self.device.type, enabled=False):  # bf16 holds no places of pixels
            image = self._scaling.apply(batch["image"])
            image, target, _ = self._augment(image, batch["target"], batch["valid"])
        outputs = self._outputs(image)
        loss: Tensor = self.training_loss(outputs, target)
        self.losses.add(loss, batch.get("pair"))
        if self.pair_losses is not None:
            self.pair_losses.add(batch["pair"], outputs, target)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Begin counting anew, with the same statistics of normalisations in all processes."""
        copy_of_first(list(self.network.buffers()))
        self.validation.reset()

    def validation_step(self, batch: Batch | GeosegError, index: int) -> None:
        """Predict, and count pixels.

        Raises:
            GeosegError: If a sample could not be read.
        """
        del index
        batch = _opened(batch)
        logits = self(batch["image"])
        self.validation.update(logits, batch, self.loss(logits, batch["target"]))

    def on_validation_epoch_end(self) -> None:
        """Derive the figures of the epoch from what was counted."""
        self._row = {**self.validation.figures(), **self._row}  # those of callbacks come first

    def add_figures(self, figures: Mapping[str, float]) -> None:
        """Put further figures into the row of the epoch that ends."""
        self._row |= figures

    def take_row(self) -> dict[str, float]:
        """The figures of the epoch that ends.

        Raises:
            WorkError: If a loss is no number.
        """
        rate, loss = self.trainer.optimizers[0].param_groups[0]["lr"], self.losses.mean()
        self.losses.restart(self.global_step)  # no checkpoint keeps those of an epoch that is over
        return {"lr": float(rate), "train/loss": loss, **self._row}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The optimizer, with a schedule that goes on at each step."""
        optimizer = build_optimizer(self.network, self._config.optimizer)
        schedule = Schedule(optimizer, self._config.schedule, self._total_steps)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _outputs(self, image: Tensor) -> Any:  # noqa: ANN401 - a tuple in training, see forward
        image = image.contiguous(memory_format=torch.channels_last)
        if self.training and self._compiled is not None:
            return self._compiled(image)
        return self.network(image)

    def _compile(self) -> None:
        """Compile the network for the one shape that training has."""
        size, crop = self._config.train.batch_size, self._config.data.crop
        assert size != "auto", "found when the run begins"
        shape = (size, self.network.spec.in_channels, crop, crop)
        example = torch.zeros(shape, device=self.device)
        example = example.contiguous(memory_format=torch.channels_last)
        context = self.trainer.precision_plugin.train_step_context
        self._compiled = compile_forward(self.network, example, context)

    def _seed(self, index: int) -> None:
        """Begin a step's chance anew, so that it depends on nothing that came before."""
        place = (self._config.seed, self.current_epoch, index, self.global_rank)
        network_seed, augment_seed = map(int, np.random.SeedSequence(place).generate_state(2))
        torch.manual_seed(network_seed)
        if self._augment.generator is not None:
            self._augment.generator.manual_seed(augment_seed)


def _opened(batch: Batch | GeosegError) -> Batch:
    if isinstance(batch, GeosegError):
        raise batch
    return batch
