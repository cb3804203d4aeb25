"""A trained network for other bands or other classes: what it knows of them goes along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geoseg.nn.band_names import match_bands
from geoseg.nn.encoder_weights import Columns
from geoseg.nn.models import ModelSpec, SegmentationModel, build_model
from geoseg.nn.spec_axes import SpecAxis, small_and_large, spec_axes


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where new bands and classes are among the old ones; None for those that were not there."""

    bands: Columns
    """One per new band."""

    old_bands: int
    """How many there were."""

    classes: Columns
    """One per new class."""

    old_classes: int
    """How many there were."""

    @property
    def same(self) -> bool:
        """Whether bands and classes are the old ones in their order."""
        return is_order(self.bands, self.old_bands) and is_order(self.classes, self.old_classes)


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A network with what it could take of an old one."""

    network: SegmentationModel
    """In training mode."""

    kept: tuple[str, ...]
    """Names of weights that are the old ones."""

    adapted: tuple[str, ...]
    """Names of those that took the old ones of the bands or classes that were there."""

    new: tuple[str, ...]
    """Names of those that begin at random."""


def is_order(places: Columns, count: int) -> bool:
    """Whether places are all of so many, one after the other."""
    return places == tuple(range(count))


def band_places(bands: Sequence[str], known: Sequence[str]) -> Columns:
    """Find bands by their names; where none is found and they are as many, in their order.

    Args:
        bands: Names of the new ones; empty strings where they have none.
        known: Names of the old ones.
    """
    return _in_order_at_worst(match_bands(bands, known), len(known))


def class_places(classes: Sequence[str], known: Sequence[str]) -> Columns:
    """Find classes by their names, whatever the case; else as `band_places` does.

    Args:
        classes: Names of the new ones.
        known: Names of the old ones.
    """
    keys = [name.strip().casefold() for name in known]
    wanted = [name.strip().casefold() for name in classes]
    found = tuple(keys.index(key) if key in keys else None for key in wanted)
    return _in_order_at_worst(found, len(known))


def carry_over(state: Mapping[str, Tensor], spec: ModelSpec, places: Places) -> Carried:
    """Build a network, and give it the weights of one of other bands or classes.

    A new band takes the mean of the kernels over the old bands; where all are new, that mean is
    multiplied by old bands / new bands, so that what follows sees values as large as before. A
    new class begins at random, by torch's random generator, in the classifier and in auxiliary
    heads.

    Args:
        state: Weights of the old network by name, of the same architecture.
        spec: The new network.
        places: Where its bands and classes were.
    """
    network = build_model(spec)
    axes = spec_axes(*small_and_large(spec))
    kept: list[str] = []
    adapted: list[str] = []
    new: list[str] = []
    own: dict[str, Tensor] = network.state_dict()
    for key, tensor in own.items():
        old = state.get(key)
        moved = None if old is None else _moved(old, tensor, axes.get(key, ()), places)
        if old is None or moved is None:
            new.append(key)
            continue
        (kept if moved is old else adapted).append(key)
        with torch.no_grad():
            tensor.copy_(moved)
    return Carried(network=network, kept=tuple(kept), adapted=tuple(adapted), new=tuple(new))


def _moved(old: Tensor, own: Tensor, axes: Sequence[SpecAxis], places: Places) -> Tensor | None:
    """An old weight for new bands and classes; itself where nothing changes, None at no use."""
    moved = old
    for axis in axes:
        if axis.counts == "bands" and not is_order(places.bands, places.old_bands):
            moved = _with_bands(moved, axis, places.bands)
    of_classes = [axis for axis in axes if axis.counts == "classes"]
    if of_classes and not is_order(places.classes, places.old_classes):
        if not any(place is not None for place in places.classes):
            return None
        moved = _with_classes(moved, own, of_classes, places.classes)
    return moved if moved.shape == own.shape else None


def _with_bands(kernels: Tensor, axis: SpecAxis, columns: Columns) -> Tensor:
    """Kernels with the axis of the bands as `columns` tells."""
    before, after = kernels.shape[: axis.axis], kernels.shape[axis.axis + 1 :]
    split = kernels.reshape(*before, -1, axis.block, *after)
    mean = split.mean(dim=axis.axis)
    if all(column is None for column in columns):
        mean = mean * (split.shape[axis.axis] / len(columns))
    chosen = [mean if c is None else split.select(axis.axis, c) for c in columns]
    return torch.stack(chosen, dim=axis.axis).flatten(axis.axis, axis.axis + 1)


def _with_classes(old: Tensor, own: Tensor, axes: Sequence[SpecAxis], rows: Columns) -> Tensor:
    """The new network's own weight, with the old one's where a class was there."""
    mine = [torch.arange(length) for length in own.shape]
    theirs = [torch.arange(length) for length in old.shape]
    for axis in axes:
        pairs = [(new, row) for new, row in enumerate(rows) if row is not None]
        mine[axis.axis] = _places([new for new, _ in pairs], axis.block)
        theirs[axis.axis] = _places([row for _, row in pairs], axis.block)
    moved = own.clone()
    moved[_grid(mine)] = old[_grid(theirs)]
    return moved


def _places(numbers: Sequence[int], block: int) -> Tensor:
    return (torch.tensor(numbers)[:, None] * block + torch.arange(block)).flatten()


def _grid(places: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Places along each axis, shaped so that together they mean all their crossings."""
    count = len(places)
    return tuple(
        each.reshape([-1 if axis == place else 1 for axis in range(count)])
        for place, each in enumerate(places)
    )


def _in_order_at_worst(found: Columns, known: int) -> Columns:
    if len(found) == known and all(place is None for place in found):
        return tuple(range(known))
    return found
