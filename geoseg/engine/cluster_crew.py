"""The devices of a cluster's workers, as the process that gives the orders knows them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from geoseg.engine.backends import Backend
from geoseg.engine.choose import Choice
from geoseg.engine.cluster_worker import Settled
from geoseg.engine.crew import Crew
from geoseg.engine.ensemble import Ensemble, SceneViews
from geoseg.engine.exported_chooser import Chooser
from geoseg.engine.pipeline import Group
from geoseg.engine.runtimes import Job
from geoseg.engine.strips import Hide

Settle = Callable[[object, bool], Settled]
"""Has a worker settle a scene by run-times of an earlier run, or None; and measure them, or not."""


@dataclass(frozen=True)
class RemoteBackend:
    """A network that runs elsewhere: what it takes is known, it cannot be run here."""

    classes: int
    """Channels of the scores."""

    device: torch.device
    """Of the workers; this machine may have none like it."""

    def scores(self, pixels: Tensor, valid: Tensor | None) -> Tensor:
        """Not to be had here.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError


class RemoteCrew(Crew):
    """Has workers choose run-times.

    Args:
        ensemble: The bundles.
        settle: Asks a worker.
    """

    def __init__(self, ensemble: Ensemble, settle: Settle) -> None:
        # Not that of `Crew`: it looks for devices in this process, which are not asked for.
        self._ensemble, self._settle = ensemble, settle
        self.base_memory = 0

    def choose(self, views: SceneViews, hide: Hide, *, measure: bool) -> list[Choice]:
        """The run-time of each bundle for a scene, as a worker finds it."""
        del hide
        return self._chosen(self._settle(None, measure), views)

    def restore(
        self, runtimes: object, views: SceneViews, hide: Hide, *, measure: bool
    ) -> list[Choice] | None:
        """The run-times of an earlier run, or others where no worker has them."""
        del hide
        return self._chosen(self._settle(runtimes, measure), views)

    def teams(self, choices: Sequence[Choice], views: SceneViews, hide: Hide) -> list[list[Group]]:
        """The networks with their windows, as each worker has them."""
        choosers = cast("list[Chooser]", [_AnySide() for _ in choices])
        return [self._ensemble.groups(choosers, choices, views, hide)]

    def _chosen(self, settled: Settled, views: SceneViews) -> list[Choice]:
        self.base_memory = settled.base_memory
        device = torch.device(settled.device)
        return [
            Choice(
                backend=RemoteBackend(classes, device),
                window=view.layout.window,
                window_seconds=seconds,
                **runtime,
            )
            for runtime, classes, seconds, view in zip(
                settled.runtimes, settled.classes, settled.seconds, views.views, strict=True
            )
        ]


class _AnySide:
    """Stands for what makes run-times: elsewhere they are made for windows of any side."""

    def at_side(self, choice: Choice, side: int, job: Job) -> Backend:
        """The same."""
        del side, job
        return choice.backend
