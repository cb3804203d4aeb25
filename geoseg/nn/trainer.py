"""Lightning's trainer, set up for one run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger

from geoseg.nn.checkpoints import AtomicCheckpointIO
from geoseg.nn.device import Precision
from geoseg.nn.distributed import PATIENCE, environment_of_one
from geoseg.nn.loop_config import LoopConfig
from geoseg.nn.setup import TrainSetup
from geoseg.nn.shared_strategy import SharedStrategy

_LIGHTNING_PRECISION: dict[Precision, Literal["32-true", "bf16-mixed", "16-mixed"]] = {
    "fp32": "32-true",
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
}


def make_trainer(
    setup: TrainSetup, run: Path, callbacks: list[pl.Callback], loggers: list[Logger]
) -> pl.Trainer:
    """Make the trainer of a run.

    Args:
        setup: What to train, on which devices.
        run: The run folder.
        callbacks: In the order in which they are called.
        loggers: Where Lightning tells figures.
    """
    config, is_cuda = setup.config.train, setup.device.type == "cuda"
    return pl.Trainer(
        accelerator="gpu" if is_cuda else "cpu",
        precision=_LIGHTNING_PRECISION[setup.precision],
        max_epochs=config.epochs or -1,
        accumulate_grad_batches=config.accumulate,
        sync_batchnorm=config.sync_norm,
        deterministic=config.deterministic or None,
        benchmark=is_cuda and not config.deterministic,
        callbacks=callbacks,
        logger=loggers,
        default_root_dir=run,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **_devices(setup),
    )


@contextmanager
def determined(config: LoopConfig) -> Iterator[None]:
    """Use only algorithms that give the same numbers each time, if they are asked for."""
    if not config.deterministic:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked for by cuBLAS
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def _devices(setup: TrainSetup) -> dict[str, Any]:
    """The arguments that tell on what, and with whom."""
    config, device = setup.config.train, setup.device
    if setup.environment is None:
        return {
            "devices": [device.index or 0] if device.type == "cuda" else 1,
            "plugins": [AtomicCheckpointIO(), environment_of_one()],
        }
    return {
        "devices": config.devices,
        "num_nodes": config.nodes,
        # Some networks have heads or stages that take no part in the loss, or not yet.
        "strategy": SharedStrategy(find_unused_parameters=True, timeout=PATIENCE),
        "plugins": [AtomicCheckpointIO(), setup.environment],
    }
