"""Checkpoints of a training run: whole or not at all, and never code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from geoseg.errors import BundleError, ConfigError, WorkError
from geoseg.geo.outputs import publish
from geoseg.nn.state_dicts import read_pickle


class AtomicCheckpointIO(CheckpointIO):
    """Writes beside the target, syncs and renames; reads tensors and plain values only."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None
    ) -> None:
        """Write a checkpoint; the file of that name is replaced when the new one is whole.

        Args:
            checkpoint: What Lightning gathered.
            path: File to write; its folder is made.
            storage_options: Not used.

        Raises:
            WorkError: If the disk is full or fails.
        """
        del storage_options
        write_checkpoint(checkpoint, path)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object = None,
        weights_only: bool | None = None,  # noqa: FBT001 - Lightning's signature
    ) -> dict[str, Any]:
        """Read a checkpoint into main memory.

        Raises:
            ConfigError: If the file is missing, cut short, or no checkpoint.
        """
        del map_location, weights_only
        return read_checkpoint(path)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint, if it is there."""
        Path(path).unlink(missing_ok=True)


def write_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """Write tensors and plain values; a file of that name is replaced when the new one is whole.

    Raises:
        WorkError: If the disk is full or fails.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with publish(path) as temporary:
        try:
            torch.save(dict(checkpoint), temporary)
        except RuntimeError as error:  # so torch tells that a write failed
            reason = str(error).splitlines()[0]
            raise WorkError(path, f"cannot be written ({reason})", "Check the disk") from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint into main memory; objects that would run code are refused.

    Raises:
        ConfigError: If the file is missing, cut short, or no checkpoint.
    """
    try:
        content = read_pickle(Path(path))
    except BundleError as error:
        problem = f"is no checkpoint that can be read: it {error.problem}"
        raise ConfigError(path, problem, "Train again without --resume") from error
    if not isinstance(content, Mapping) or "state_dict" not in content:
        raise ConfigError(path, "is no training checkpoint", "Train again without --resume")
    return dict(content)


def await_validation(loops: dict[str, Any], batches: int) -> None:
    """Change the state of Lightning's loops to one that goes on with the epoch's validation.

    Lightning goes on with the next batch, or after a validation; where an epoch's batches are
    done it would leave its validation out. A validation that seems to have been interrupted is
    done again, from its first batch on.

    Args:
        loops: What Lightning's fit loop keeps in a checkpoint.
        batches: Of an epoch.
    """
    done = {"ready": batches, "started": batches, "processed": batches, "completed": batches}
    none = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
    training = loops["epoch_loop.batch_progress"]
    training["current"] = done
    training["total"]["completed"] = training["total"]["processed"]
    training["is_last_batch"] = True
    loops["epoch_loop.val_loop.batch_progress"] = {
        "total": {**none, "ready": 1, "started": 1},
        "current": none,
        "is_last_batch": False,
    }
