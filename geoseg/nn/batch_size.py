"""How many samples fit the memory of a GPU at once, and what to say when they do not."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import replace

import torch

from geoseg.errors import WorkError
from geoseg.nn.device import autocast
from geoseg.nn.distributed import largest_of_all
from geoseg.nn.no_memory import telling_no_memory
from geoseg.nn.optim import build_optimizer
from geoseg.nn.setup import TrainSetup
from geoseg.nn.task import SegmentationTask

logger = logging.getLogger(__name__)

_CPU_SIZE = 8
"""What `auto` takes on the processor: larger batches are no faster there."""

_SHARE = 0.85
"""Share of the GPU's memory that a trial may take: validation, the averaging of weights and
pieces between other pieces take some too."""

_GIB = 2**30


def settle_batches(setup: TrainSetup, fits: Callable[[int], bool] | None = None) -> TrainSetup:
    """Put numbers where the configuration says `auto`.

    On a GPU the largest batch that fits is looked for, up to the share of one device in
    `train.effective_batch`; on the processor it is 8. Batches then are accumulated until they
    are as many samples as that, as nearly as can be.

    Args:
        setup: What is to be trained.
        fits: Tells whether a step with so many samples fits; by default it is tried.

    Returns:
        The setup, its configuration with numbers.

    Raises:
        WorkError: If not even one sample fits.
    """
    config = setup.config.train
    if config.batch_size != "auto":
        return setup
    wanted = max(1, round(config.effective_batch / setup.process.world))
    most = min(wanted, len(setup.sampler))
    if setup.device.type == "cpu" and fits is None:
        largest = min(_CPU_SIZE, most)
    else:
        largest = -largest_of_all(-find_largest(fits or _Trial(setup), most))[0]
    if largest == 0:
        raise out_of_memory(setup, 1)
    size, accumulate = share_batch(wanted, largest)
    logger.info(
        "batches of %d samples, %d of them a step of the optimizer: %d samples over all devices",
        size, accumulate, size * accumulate * setup.process.world,
    )  # fmt: skip
    train = config.model_copy(update={"batch_size": size, "accumulate": accumulate})
    return replace(setup, config=setup.config.model_copy(update={"train": train}))


def find_largest(fits: Callable[[int], bool], most: int) -> int:
    """Find the largest of 1, 2, 3, 4, 6, 8, 12, 16 ... and `most` that fits; 0 if none does."""
    largest, size = 0, 1
    while size <= most and fits(size):
        largest = size
        if size == most:
            break
        # Powers of two, and what lies halfway between them.
        step = size + size // 2 if size & (size - 1) == 0 else size // 3 * 4
        size = min(max(step, size + 1), most)
    return largest


def share_batch(wanted: int, largest: int) -> tuple[int, int]:
    """Share the samples of a step out to batches.

    Args:
        wanted: Samples a step.
        largest: Samples a batch at most.

    Returns:
        Samples a batch and batches a step: as few batches as possible, and then as many samples
        as come nearest to what is wanted.
    """
    batches = -(-wanted // largest)
    return min(largest, max(1, round(wanted / batches))), batches


def out_of_memory(setup: TrainSetup, size: int | None = None) -> WorkError:
    """What to say when a GPU's memory was too small.

    Args:
        setup: What was trained.
        size: Samples a batch, where it is not that of the configuration.
    """
    free, total = torch.cuda.mem_get_info(setup.device)
    peak = torch.cuda.max_memory_reserved(setup.device)
    size, crop = size or setup.batch_size, setup.config.data.crop
    return WorkError(
        "train.batch_size",
        f"batches of {size} samples of {crop} x {crop} pixels do not fit the GPU's memory: it has "
        f"{total / _GIB:.1f} GiB, {free / _GIB:.1f} are free, training had taken "
        f"{peak / _GIB:.1f} at most",
        'Set it to "auto", or set a smaller data.crop or train.precision to bf16',
    )


class _Trial:
    """Tries steps of training, on a copy of the network.

    Args:
        setup: What is to be trained.
    """

    def __init__(self, setup: TrainSetup) -> None:
        self._setup = setup

    def __call__(self, size: int) -> bool:
        """Whether steps with so many samples fit, with room to spare."""
        device = self._setup.device
        try:
            torch.cuda.reset_peak_memory_stats(device)
            with telling_no_memory():
                self._step(size)
            torch.cuda.synchronize(device)
        except torch.OutOfMemoryError:
            return False
        else:
            total = torch.cuda.mem_get_info(device)[1]
            return torch.cuda.max_memory_reserved(device) <= _SHARE * total
        finally:
            torch.cuda.empty_cache()

    def _step(self, size: int) -> None:
        setup = self._setup
        config, device, legend = setup.config, setup.device, setup.data.legend
        task = SegmentationTask(
            copy.deepcopy(setup.network), config, setup.scaling, legend, lambda _: 1,
            setup.data.class_pixels,
        ).to(device)  # fmt: skip
        optimizer = build_optimizer(task.network, config.optimizer)
        crop, bands = config.data.crop, setup.spec.in_channels
        mask = torch.arange(crop * crop, device=device).reshape(crop, crop) % legend.count
        batch = {
            "image": torch.zeros(size, bands, crop, crop, device=device),
            "target": mask.expand(size, crop, crop),
            "valid": torch.ones(size, crop, crop, dtype=torch.bool, device=device),
        }
        for step in range(2):  # the optimizer takes its memory at its first step
            with autocast(setup.precision, device):
                loss = task.training_step(batch, step)
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
