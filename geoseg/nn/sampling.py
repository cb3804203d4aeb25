"""The order in which samples come: keys of an epoch, for one process or for each of several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Sampler

from geoseg.nn.drawing import ANYWHERE, Drawing


class SampleKey(NamedTuple):
    """Which sample is wanted, and in which epoch: all that its chance depends on."""

    epoch: int
    """Epoch, from 0."""

    position: int
    """Place within the epoch of all processes together, from 0."""

    pair: int
    """Number of the pair in its source."""

    focus: int = ANYWHERE
    """Class, in legend order, around one of whose pixels the sample lies; or `ANYWHERE`."""


class EpochSampler(Sampler[SampleKey]):
    """Keys of an epoch, in an order that seed, epoch and what was recorded before it decide.

    Each of several processes takes every `world`-th key, from its own rank on: together they see
    the keys that a single process sees, none of them twice. What is left over is cut off, so that
    all have equally many.

    Args:
        drawing: How pairs are drawn; a number of pairs draws all of them equally often.
        samples: Number of keys of an epoch; where pairs are fewer they come again.
        seed: Start of the chance.
        rank: Number of this process, from 0.
        world: Number of processes.
    """

    def __init__(
        self, drawing: Drawing | int, samples: int, seed: int, *, rank: int = 0, world: int = 1
    ) -> None:
        if not 0 <= rank < world:
            raise ValueError(f"rank {rank} is none of {world} processes")
        self._drawing = Drawing.uniform(drawing) if isinstance(drawing, int) else drawing
        self._samples = samples
        self._seed = seed
        self._rank, self._world = rank, world
        self._epoch, self._start = 0, 0
        # What an epoch records decides the next one's order only, so that an epoch which is
        # resumed in its middle goes on in the order in which it began.
        self._losses = np.full(self._drawing.pairs, np.nan, np.float32)
        self._recorded = self._losses.copy()

    def set_epoch(self, epoch: int, start: int | None = None) -> None:
        """Choose the epoch, from 0.

        Args:
            epoch: The epoch.
            start: Keys of this process that are left out, because a run that is resumed has had
                them. None keeps the start where the epoch stays the same, as Lightning names it
                once more when it begins, and else is 0.
        """
        if epoch != self._epoch:
            self._losses, self._start = self._recorded.copy(), 0
        self._epoch = epoch
        if start is not None:
            self._start = start

    def record(self, pairs: npt.ArrayLike, losses: npt.ArrayLike) -> None:
        """Keep the last loss of pairs, by which the next epochs may draw.

        Args:
            pairs: Numbers of the pairs (n,).
            losses: Their losses (n,); those that are no number are left out.
        """
        numbers, values = np.asarray(pairs, np.int64), np.asarray(losses, np.float32)
        known = np.isfinite(values)
        self._recorded[numbers[known]] = values[known]

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the epoch, and the losses before it and of now."""
        return {
            "epoch": self._epoch,
            "losses": torch.from_numpy(self._losses.copy()),
            "recorded": torch.from_numpy(self._recorded.copy()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: If it is of other data.
        """
        if len(state["losses"]) != self._drawing.pairs:
            raise ValueError(f"losses of {len(state['losses'])} pairs, not {self._drawing.pairs}")
        self._epoch, self._start = int(state["epoch"]), 0
        self._losses = state["losses"].numpy().copy()
        self._recorded = state["recorded"].numpy().copy()

    def __len__(self) -> int:
        """Keys of this process in a whole epoch, also where it starts in the middle."""
        return self._samples // self._world

    def __iter__(self) -> Iterator[SampleKey]:
        rng = np.random.default_rng((self._seed, self._epoch))
        pairs, focus = self._drawing.draw(self._samples, rng, self._losses)
        keys = [
            SampleKey(self._epoch, position, int(pairs[position]), int(focus[position]))
            for position in range(self._rank, len(self) * self._world, self._world)
        ]
        return iter(keys[self._start :])
