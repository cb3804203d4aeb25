"""The last loss of each pair, by which hard ones are drawn more often."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.nn import functional

from geoseg.nn.distributed import gather_from_all
from geoseg.nn.sampling import EpochSampler


class PairLosses(Callback):
    """Gathers the cross-entropy of each sample, and tells the sampler when a state is complete.

    The losses stay on the device until the epoch ends or a checkpoint is written: fetching them
    would halt a GPU at each step. It stands before what writes checkpoints.

    Args:
        sampler: Draws by the losses.
        ignore: Target value that no loss sees.
    """

    def __init__(self, sampler: EpochSampler, ignore: int) -> None:
        self._sampler = sampler
        self._ignore = ignore
        self._recent: list[tuple[Tensor, Tensor]] = []

    def add(self, pairs: Tensor, outputs: Tensor | tuple[Tensor, ...], target: Tensor) -> None:
        """Note the losses of a batch.

        Args:
            pairs: Numbers of its pairs (n,).
            outputs: Logits (n, classes, h, w), or a tuple of them and of what else the network
                gives in training.
            target: (n, h, w) channel indices or the ignore index, as the network saw it.
        """
        logits = outputs if isinstance(outputs, Tensor) else outputs[0]
        self._recent.append((pairs, sample_losses(logits, target, self._ignore)))

    def flush(self) -> None:
        """Hand all losses over; several processes call it together and get those of all."""
        if self._recent:
            pairs, losses = (torch.cat(column).cpu() for column in zip(*self._recent, strict=True))
            self._sampler.record(gather_from_all(pairs), gather_from_all(losses))
        self._recent = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Hand over what the next epoch is to be drawn by."""
        del trainer, pl_module
        self.flush()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Hand over what the checkpoint is to keep."""
        del trainer, pl_module, checkpoint
        self.flush()


@torch.no_grad()
def sample_losses(logits: Tensor, target: Tensor, ignore: int) -> Tensor:
    """Mean cross-entropy of the labelled pixels of each sample, whatever the loss of training.

    Args:
        logits: (n, classes, h, w).
        target: (n, h, w) channel indices or the ignore index, of any integer type.
        ignore: The ignore index.

    Returns:
        Losses (n,) float32; NaN of a sample without a label.
    """
    pixels = functional.cross_entropy(
        logits.float(), target.long(), ignore_index=ignore, reduction="none"
    )
    return pixels.sum(dim=(1, 2)) / (target != ignore).sum(dim=(1, 2))
