"""The devices that predict, each with the run-times of all bundles."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, PositiveInt

from geoseg.engine.backends import BackendName
from geoseg.engine.choose import BackendChooser, Choice
from geoseg.engine.ensemble import Ensemble, SceneViews
from geoseg.engine.options import PredictOptions
from geoseg.engine.pipeline import Group
from geoseg.engine.strips import Hide
from geoseg.errors import ConfigError
from geoseg.nn.device import Precision, resolve_device

logger = logging.getLogger(__name__)


class Crew:
    """Makes run-times for scenes; what was made for one scene serves the next.

    Args:
        ensemble: The bundles.
        options: How scenes are predicted.

    Raises:
        ConfigError: If the device, the precision or the run-time is not to be had.
    """

    def __init__(self, ensemble: Ensemble, options: PredictOptions) -> None:
        self._ensemble = ensemble
        self.devices = _devices(options)
        self._choosers = [ensemble.choosers(device) for device in self.devices]

    def choose(self, views: SceneViews, hide: Hide, *, measure: bool) -> list[Choice]:
        """The run-time of each bundle for a scene.

        Args:
            views: The scene.
            hide: What of it is to be predicted.
            measure: Whether the seconds of the bare forward pass are wanted.
        """
        choices = self._ensemble.choose(self._choosers[0], views, hide)
        return self._measured(choices, views, hide) if measure else choices

    def restore(self, runtimes: object, views: SceneViews, hide: Hide) -> list[Choice] | None:
        """The run-times of an earlier run, as `describe` told them; None if they are not to be had.

        Args:
            runtimes: What a journal holds; it is not trusted.
            views: The scene.
            hide: What of it is to be predicted.
        """
        try:
            described = [_Described.model_validate(each) for each in _listed(runtimes)]
            return _restored(self._choosers[0], described, views, hide)
        except (ConfigError, ValueError) as error:
            logger.warning("the run-time of the earlier run is not to be had (%s)", error)
            return None

    def teams(self, choices: Sequence[Choice], views: SceneViews, hide: Hide) -> list[list[Group]]:
        """The networks on each device, with their windows."""
        teams: list[list[Group]] = []
        for place, choosers in enumerate(self._choosers):
            own = list(choices)
            if place > 0:
                own = _restored(choosers, _described(choices), views, hide)
            teams.append(self._ensemble.groups(choosers, own, views, hide))
        return teams

    def _measured(self, choices: list[Choice], views: SceneViews, hide: Hide) -> list[Choice]:
        return [
            chooser.measure(choice, view.scene, view.layout, hide)
            for chooser, choice, view in zip(self._choosers[0], choices, views.views, strict=True)
        ]


class _Described(BaseModel):
    """What the same run-time can be made of again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: BackendName
    precision: Precision
    batch_size: PositiveInt
    agreement: float | None


def describe(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    """What `Crew.restore` makes the same run-times of, as JSON."""
    return [each.model_dump() for each in _described(choices)]


def _described(choices: Sequence[Choice]) -> list[_Described]:
    return [
        _Described(
            name=choice.name,
            precision=choice.precision,
            batch_size=choice.batch_size,
            agreement=choice.agreement,
        )
        for choice in choices
    ]


def _restored(
    choosers: Sequence[BackendChooser],
    described: Sequence[_Described],
    views: SceneViews,
    hide: Hide,
) -> list[Choice]:
    return [
        replace(
            chooser.restore(
                each.name,
                each.precision,
                each.batch_size,
                view.scene,
                views.units,
                view.layout,
                hide=hide,
            ),
            agreement=each.agreement,
        )
        for chooser, each, view in zip(choosers, described, views.views, strict=True)
    ]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _devices(options: PredictOptions) -> list[torch.device]:
    """All GPUs, unless one is named or none is there."""
    device = resolve_device(options.device)
    is_one = options.mode == "resize" or device.type != "cuda"
    if is_one or ":" in options.device:
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
