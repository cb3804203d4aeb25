"""Means of the weights over a training, which validate and are kept in place of the last ones."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from geoseg.nn.dataset import SampleDataset
from geoseg.nn.freezing import BATCH_NORM, FreezePlan
from geoseg.nn.journal import as_task
from geoseg.nn.loop_config import LoopConfig
from geoseg.nn.sampling import SampleKey

logger = logging.getLogger(__name__)

_KEY = "averaging"
"""Of a checkpoint."""

_START = {"ema": 0.0, "swa": 0.75}
_NORM_BATCHES = 64
"""Batches that statistics are taken anew from, at most: they settle long before."""


class Averaging(Callback):
    """Keeps a mean of the network's weights, and puts it in their place to be validated.

    ``ema``
        after each step, mean = d mean + (1 - d) weights with d = min(average_decay,
        (1 + n) / (10 + n)), n the steps averaged before: the first weights are soon forgotten.
        Statistics of batch normalisations are averaged alike.
    ``swa``
        at the end of each epoch, the plain mean of the weights at these ends, arXiv 1803.05407.
        Statistics of batch normalisations are taken anew from training samples, since those of
        the single weights are not those of their mean.

    Both begin at `average_start`. The mean stays in the network from validation until training
    goes on, so that whatever looks at the network then sees it; a checkpoint written meanwhile
    holds both. Lightning's own callback puts the weights back before an epoch's end, swaps the
    counts of validation too, and renews no statistics.

    Args:
        config: Which mean.
        total_steps: Steps of the whole training, as far as is known at a step.
        plan: Which batch normalisations keep their statistics.
        images: Gives batches of training images (n, bands, height, width) in raw units, the same
            each time.
    """

    def __init__(
        self,
        config: LoopConfig,
        total_steps: Callable[[int], int],
        plan: FreezePlan,
        images: Callable[[], Iterable[Tensor]],
    ) -> None:
        self._kind = config.average
        self._decay = config.average_decay
        start = config.average_start
        self._start = _START[config.average] if start is None else start
        self._total_steps = total_steps
        self._plan = plan
        self._images = images
        self._mean: dict[str, Tensor] = {}  # while swapped, the weights of training
        self._count = 0
        self._step = 0
        self._swapped = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the weights of training."""
        del trainer
        self._put_back(pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *_: object
    ) -> None:
        """Go on with the weights of training, where validation came within an epoch."""
        del trainer
        self._put_back(pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """Average the step, if the batch ended one."""
        if self._kind == "ema":
            self._average(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the mean in place, with its own statistics."""
        if self._kind == "swa":
            self._average(trainer, pl_module)
        if not self._mean or self._swapped:
            return
        self._swap(pl_module)
        if self._kind == "swa":
            network = as_task(pl_module).network
            held = self._plan.held_norms(network, trainer.current_epoch + 1)
            images = (batch.to(pl_module.device) for batch in self._images())
            with trainer.precision_plugin.forward_context():
                renew_norms(network, held, images, pl_module.forward)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Average an epoch that was not validated."""
        if self._kind == "swa" and not self._swapped:
            self._average(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the weights of training where they are looked for, and the mean beside them."""
        del trainer
        mean: Mapping[str, Tensor] = self._mean
        if self._swapped:
            mean = _floats(as_task(pl_module).network)
            for name, weights in self._mean.items():
                checkpoint["state_dict"][f"network.{name}"] = weights
        checkpoint[_KEY] = {"count": self._count, "step": self._step, "mean": dict(mean)}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take the mean of a checkpoint."""
        del trainer, pl_module
        kept = checkpoint[_KEY]
        self._count, self._step = kept["count"], kept["step"]
        self._mean = {name: weights.clone() for name, weights in kept["mean"].items()}

    @torch.inference_mode(mode=False)  # what validation makes could not be changed later
    @torch.no_grad()
    def _average(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the weights into the mean, once a step."""
        step = trainer.global_step
        begins = self._start * self._total_steps(step)
        if step <= self._step or step < begins:
            return
        self._step = step
        weights = _floats(as_task(pl_module).network)
        if not self._mean:
            self._mean = {name: each.clone() for name, each in weights.items()}
            logger.info("step %d: the mean of the weights (%s) begins", step, self._kind)
        else:
            self._to(pl_module.device)
            mean = [self._mean[name] for name in weights]
            average = get_ema_multi_avg_fn(self._stays())  # type: ignore[no-untyped-call]
            average(mean, list(weights.values()), None)
        self._count += 1

    def _stays(self) -> float:
        """How much of the mean stays."""
        if self._kind == "swa":
            return self._count / (self._count + 1)
        return min(self._decay, (1 + self._count) / (10 + self._count))

    def _put_back(self, pl_module: LightningModule) -> None:
        if self._swapped:
            self._swap(pl_module)

    @torch.inference_mode(mode=False)
    @torch.no_grad()
    def _swap(self, pl_module: LightningModule) -> None:
        self._to(pl_module.device)
        for name, weights in _floats(as_task(pl_module).network).items():
            kept = weights.clone()
            weights.copy_(self._mean[name])
            self._mean[name].copy_(kept)
        self._swapped = not self._swapped

    def _to(self, device: torch.device) -> None:
        """After a checkpoint was read the mean is in main memory."""
        self._mean = {name: weights.to(device) for name, weights in self._mean.items()}


@torch.inference_mode(mode=False)
@torch.no_grad()
def renew_norms(
    network: nn.Module,
    held: Iterable[nn.Module],
    images: Iterable[Tensor],
    forward: Callable[[Tensor], object],
) -> None:
    """Take the statistics of batch normalisations anew, as plain means over batches.

    It is torch's `update_bn`, which knows none that keep theirs.

    Args:
        network: Left in evaluation mode.
        held: Normalisations that keep their statistics.
        images: Batches (n, bands, height, width).
        forward: Leads a batch through the network.
    """
    kept = set(held)
    norms = [m for m in network.modules() if _has_statistics(m) and m not in kept]
    if not norms:
        return
    before = [(norm, norm.momentum, _counter(norm).clone()) for norm in norms]
    network.train()
    for norm in kept:
        norm.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
    devices = {each.device for each in network.parameters() if each.is_cuda}
    with torch.random.fork_rng(devices):  # dropout's chance is not taken from training's
        for batch in images:
            forward(batch)
    for norm, momentum, counter in before:
        norm.momentum = momentum
        _counter(norm).copy_(counter)  # it counts the steps of training
    network.eval()


def _counter(norm: nn.BatchNorm2d) -> Tensor:
    assert norm.num_batches_tracked is not None
    return norm.num_batches_tracked


def _has_statistics(module: nn.Module) -> TypeGuard[nn.BatchNorm2d]:
    return isinstance(module, BATCH_NORM) and module.num_batches_tracked is not None


def sample_images(dataset: SampleDataset, samples: int, batch_size: int) -> Iterator[Tensor]:
    """Batches of training images, spread evenly over the samples of an epoch.

    Args:
        dataset: The samples.
        samples: Of an epoch.
        batch_size: Samples of a batch.

    Yields:
        (n, bands, height, width) float32 in raw units.

    Raises:
        GeosegError: If a sample cannot be read.
    """
    pairs = len(dataset)
    count = max(1, min(samples, _NORM_BATCHES * batch_size) // batch_size) * batch_size
    keys = [
        SampleKey(0, n, n * pairs // count if pairs > count else n % pairs) for n in range(count)
    ]
    for first in range(0, count, batch_size):
        batch = [dataset.sample(key)["image"] for key in keys[first : first + batch_size]]
        yield torch.stack(batch)


def _floats(network: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers that are no counters; they share their memory with the network."""
    state: Mapping[str, Tensor] = network.state_dict()
    return {name: each for name, each in state.items() if each.is_floating_point()}
