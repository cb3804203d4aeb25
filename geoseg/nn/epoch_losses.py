"""The losses of the running epoch: kept on the device, looked at now and then."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import WorkError
from geoseg.nn.distributed import gather_from_all, own_share, sum_over_processes

_BATCHES_BETWEEN_LOOKS = 25
"""On a GPU, asking for the value of a loss halts the queue of work: not at every batch."""

_NAMED = 4


class EpochLosses:
    """Gathers the loss of each batch, and stops at one that is no number.

    Args:
        name_of: Gives the name of a pair of the training data by its number.
        accumulate: Batches a step.
    """

    def __init__(self, name_of: Callable[[int], str] | None = None, accumulate: int = 1) -> None:
        self._name_of = name_of
        self._accumulate = accumulate
        self._known: list[float] = []
        self._recent: list[tuple[Tensor, Tensor | None]] = []
        self._steps_before = 0

    def restart(self, steps_before: int = 0) -> None:
        """Begin an epoch, before which there were so many steps."""
        self._known, self._recent, self._steps_before = [], [], steps_before

    def add(self, loss: Tensor, pairs: Tensor | None = None) -> None:
        """Note the loss of a batch, and look at it if it is time.

        Args:
            loss: A scalar, of any device.
            pairs: (n,) numbers of the pairs in the batch.

        Raises:
            WorkError: If a loss since the last look is no number.
        """
        self._recent.append((loss.detach(), pairs))
        if loss.device.type == "cpu" or len(self._recent) >= _BATCHES_BETWEEN_LOOKS:
            self.look()

    def look(self) -> None:
        """Look at the losses since the last time.

        Raises:
            WorkError: If one of them is no number; it names the step and the pairs.
        """
        if not self._recent:
            return
        values = torch.stack([loss for loss, _ in self._recent]).tolist()
        for value, (_, pairs) in zip(values, self._recent, strict=True):
            if not math.isfinite(value):
                raise WorkError(
                    f"step {self._steps_before + len(self._known) // self._accumulate + 1}",
                    f"the loss is {value}{self._tell(pairs)}",
                    "Lower optimizer.lr, or set train.precision to fp32",
                )
            self._known.append(value)
        self._recent = []

    def mean(self) -> float:
        """Over all batches of all processes; NaN without any.

        Raises:
            WorkError: If one of them is no number.
        """
        self.look()
        own = torch.tensor([math.fsum(self._known), len(self._known)], dtype=torch.float64)
        total, count = sum_over_processes(own).tolist()
        return float(total / count) if count else math.nan

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of the epoch so far; all processes call it.

        Raises:
            WorkError: If a loss is no number.
        """
        self.look()
        known = torch.tensor(self._known, dtype=torch.float64)
        losses = gather_from_all(known).tolist()
        return {"losses": losses, "steps_before": self._steps_before}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the epoch of a checkpoint."""
        self.restart(int(state["steps_before"]))
        self._known = own_share(state["losses"])

    def _tell(self, pairs: Tensor | None) -> str:
        if pairs is None or self._name_of is None:
            return ""
        names = list(dict.fromkeys(self._name_of(index) for index in pairs.tolist()))
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return f" for {', '.join(names[:_NAMED])}{more}"
