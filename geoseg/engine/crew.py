"""The devices that predict, each with the run-times of all bundles."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from geoseg.engine.backends import BackendName
from geoseg.engine.choose import Choice
from geoseg.engine.ensemble import Ensemble, SceneViews
from geoseg.engine.exported_chooser import Chooser
from geoseg.engine.options import PredictOptions
from geoseg.engine.pipeline import Group
from geoseg.engine.strips import Hide
from geoseg.engine.timings import current_memory, peak_memory
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
        self.base_memory = 0
        """Bytes that the process takes with its run-times, warm, but without any scene."""

    def choose(self, views: SceneViews, hide: Hide, *, measure: bool) -> list[Choice]:
        """The run-time of each bundle for a scene.

        Args:
            views: The scene.
            hide: What of it is to be predicted.
            measure: Whether the seconds of the bare forward pass are wanted.
        """
        with self._weighing():
            choices = self._ensemble.choose(self._choosers[0], views, hide)
            return self._measured(choices, views, hide) if measure else choices

    def restore(
        self, runtimes: object, views: SceneViews, hide: Hide, *, measure: bool
    ) -> list[Choice] | None:
        """The run-times of an earlier run, as `describe` told them; None if they are not to be had.

        Args:
            runtimes: What a journal holds; it is not trusted.
            views: The scene.
            hide: What of it is to be predicted.
            measure: Whether the seconds of the bare forward pass are wanted.
        """
        try:
            described = [_Described.model_validate(each) for each in _listed(runtimes)]
            with self._weighing():
                choices = _restored(self._choosers[0], described, views, hide)
                return self._measured(choices, views, hide) if measure else choices
        except (ConfigError, ValueError) as error:
            logger.warning("the run-time of the earlier run is not to be had (%s)", error)
            return None

    def teams(self, choices: Sequence[Choice], views: SceneViews, hide: Hide) -> list[list[Group]]:
        """The networks on each device, with their windows."""
        teams: list[list[Group]] = []
        with self._weighing():
            for place, choosers in enumerate(self._choosers):
                own = list(choices)
                if place > 0:
                    own = _restored(choosers, _described(choices), views, hide)
                teams.append(self._ensemble.groups(choosers, own, views, hide))
        return teams

    @contextmanager
    def _weighing(self) -> Iterator[None]:
        """Learn how much memory run-times take: at first all, later what comes to it."""
        before = current_memory()
        yield
        grown = max(current_memory() - before, 0)
        self.base_memory = self.base_memory + grown if self.base_memory else peak_memory()

    def _measured(self, choices: list[Choice], views: SceneViews, hide: Hide) -> list[Choice]:
        return [
            chooser.measure(choice, job)
            for chooser, choice, job in zip(
                self._choosers[0], choices, views.jobs(hide), strict=True
            )
        ]


_MOST_WINDOWS = 4096
"""In a batch; a journal that tells of more is nonsense."""


class _Described(BaseModel):
    """What the same run-time can be made of again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: BackendName
    precision: Precision
    batch_size: Annotated[int, Field(ge=1, le=_MOST_WINDOWS)]
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
    choosers: Sequence[Chooser],
    described: Sequence[_Described],
    views: SceneViews,
    hide: Hide,
) -> list[Choice]:
    return [
        replace(
            chooser.restore(each.name, each.precision, each.batch_size, job),
            agreement=each.agreement,
        )
        for chooser, each, job in zip(choosers, described, views.jobs(hide), strict=True)
    ]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _devices(options: PredictOptions) -> list[torch.device]:
    """All GPUs, unless one is named or none is there."""
    wants_processor = options.backend == "openvino" or options.precision == "int8"
    if options.device == "auto" and wants_processor:
        return [torch.device("cpu")]
    device = resolve_device(options.device)
    is_one = options.mode == "resize" or device.type != "cuda"
    if is_one or ":" in options.device:
        return [device]
    return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
