"""Which axes of a network's weights count its bands, and which its classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from geoseg.nn.models import ModelSpec, build_model

_BANDS, _CLASSES = (3, 5), (2, 7)
"""Two networks that differ in these show it; no quotient of one is one of the other."""


@dataclass(frozen=True, kw_only=True)
class SpecAxis:
    """An axis whose length goes with the bands or the classes."""

    axis: int
    """Which one."""

    counts: Literal["bands", "classes"]
    """What it counts."""

    block: int
    """How many places each band or class has there, side by side."""


def template(spec: ModelSpec) -> dict[str, Tensor]:
    """Names and shapes of a network's weights, as far as possible without memory."""
    try:
        with torch.device("meta"):
            return dict(build_model(spec).state_dict())
    except Exception:  # noqa: BLE001 - some networks compute while they are built
        with torch.random.fork_rng(devices=[]):
            return dict(build_model(spec).state_dict())


def small_and_large(spec: ModelSpec) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Templates of two networks that differ in bands and classes alone."""
    small, large = (
        template(spec.model_copy(update={"in_channels": bands, "classes": classes}))
        for bands, classes in zip(_BANDS, _CLASSES, strict=True)
    )
    return small, large


def spec_axes(
    small: Mapping[str, Tensor], large: Mapping[str, Tensor]
) -> dict[str, tuple[SpecAxis, ...]]:
    """The axes of each weight that go with the bands or the classes.

    Args:
        small: The first template of `small_and_large`.
        large: The second.

    Returns:
        By the names of weights; what has none such is left out, and so is what goes with them
        in another way than by a whole number for each.
    """
    found = {}
    for key, tensor in small.items():
        lengths = enumerate(zip(tensor.shape, large[key].shape, strict=True))
        axes = [_axis(axis, *pair) for axis, pair in lengths if pair[0] != pair[1]]
        known = tuple(axis for axis in axes if axis is not None)
        if axes and len(known) == len(axes):
            found[key] = known
    return found


def _axis(axis: int, small: int, large: int) -> SpecAxis | None:
    counts: Literal["bands", "classes"]
    for counts, pair in (("bands", _BANDS), ("classes", _CLASSES)):
        block, rest = divmod(small, pair[0])
        if rest == 0 and block * pair[1] == large:
            return SpecAxis(axis=axis, counts=counts, block=block)
    return None
