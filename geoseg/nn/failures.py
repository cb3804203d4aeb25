"""What to say of failures that torch only describes."""

from __future__ import annotations

import re

from geoseg.errors import ConfigError, WorkError, is_out_of_memory
from geoseg.nn.batch_size import out_of_memory
from geoseg.nn.setup import TrainSetup

_UNDETERMINED = re.compile(r"(\w+) does not have a deterministic implementation")


def told(error: RuntimeError | MemoryError, setup: TrainSetup) -> Exception:
    """Name the key that mends a failure of training.

    Args:
        error: What torch raised.
        setup: What was trained.

    Returns:
        An error that tells cause and cure; the same one, where it is of another kind.
    """
    text = str(error)
    if is_out_of_memory(error) and setup.device.type == "cuda":
        return out_of_memory(setup)
    if is_out_of_memory(error):
        return WorkError(
            "train.batch_size",
            f"batches of {setup.batch_size} samples do not fit the memory",
            "Set a smaller one, with train.accumulate for as many samples a step",
        )
    if "DataLoader worker" in text:
        reason = text.splitlines()[0]
        return WorkError("train.workers", f"a worker ended ({reason})", "Set fewer workers")
    if found := _UNDETERMINED.search(text):
        return ConfigError(
            "train.deterministic",
            f"{found.group(1)} gives other numbers each time on this device, and has no other way",
            "Set it to false, or take a network or loss without it",
        )
    return error
