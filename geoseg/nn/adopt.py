"""Whole networks that other tools have trained: their weights in a network of geoseg."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from geoseg.errors import BundleError
from geoseg.nn.key_match import KeyMatch, match_keys
from geoseg.nn.models import ModelSpec, SegmentationModel, build_model
from geoseg.nn.spec_axes import small_and_large, spec_axes, template
from geoseg.nn.trunk_keys import to_timm

logger = logging.getLogger(__name__)

_COUNTER = "num_batches_tracked"
"""Ending of the one thing that may be missing without harm."""

_SEED = 0
"""Of the weights that a file lacks, where that is allowed."""


@dataclass(frozen=True, kw_only=True)
class ForeignWeights:
    """Weights of another tool, seen as those of an architecture with an encoder."""

    name: str
    """Where they come from, for messages."""

    state: Mapping[str, Tensor]
    """Tensors by the names of the other tool."""

    in_channels: int | None
    """Bands that they are for; None where they do not tell."""

    classes: int | None
    """Channels of logits that they are for; None where they do not tell."""

    last: tuple[str, ...]
    """Names of the weight and bias that alone make the logits; empty where there are more."""


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A network with the weights of another tool."""

    network: SegmentationModel
    """In evaluation mode."""

    matched: int
    """Weights that were taken."""

    missing: tuple[str, ...]
    """Weights that are at random, because the file lacks them."""

    unexpected: tuple[str, ...]
    """Names in the file that were not used."""


def look_at(name: str, state: Mapping[str, Tensor], spec: ModelSpec) -> ForeignWeights:
    """Find out for how many bands and classes weights are.

    Args:
        name: Where they come from.
        state: Tensors by name.
        spec: The network they belong to; its bands and classes do not count.

    Raises:
        BundleError: If none of them is of this network, or they contradict one another.
        ConfigError: If there is no such network.
    """
    state = to_timm(state)
    small, large = small_and_large(spec)
    axes = spec_axes(small, large)
    match = match_keys(small, state)
    if not any(state[theirs].ndim == small[ours].ndim for ours, theirs in match.pairs.items()):
        raise BundleError(
            name,
            f"none of its {len(state)} weights is of {_named(spec)}, which has {len(small)}",
            "Give the --arch and --encoder it was trained with",
        )
    bands: set[int] = set()
    classes: set[int] = set()
    counting: dict[str, list[int]] = {}
    for ours, theirs in match.pairs.items():
        found = state[theirs].shape
        for each in axes.get(ours, ()):
            if each.block > 1 or each.axis >= len(found):
                continue
            if each.counts == "bands":
                bands.add(found[each.axis])
            else:
                classes.add(found[each.axis])
                counting.setdefault(theirs, []).append(each.axis)
    if len(bands) > 1 or len(classes) > 1:
        problem = f"contradicts itself: bands {sorted(bands)}, classes {sorted(classes)}"
        raise BundleError(name, problem, "Give the --arch and --encoder it was trained with")
    alone = len(counting) <= 2 and all(axes == [0] for axes in counting.values())
    return ForeignWeights(
        name=name,
        state=state,
        in_channels=next(iter(bands), None),
        classes=next(iter(classes), None),
        last=tuple(counting) if alone else (),
    )


def two_classes_of_one(weights: ForeignWeights) -> ForeignWeights:
    """Make of one logit for yes or no two logits of which the first is always 0.

    Their softmax is the sigmoid of the one: the same probabilities, and a class for the rest.

    Raises:
        BundleError: If the one logit is not made by a single layer.
    """
    if not weights.last:
        raise BundleError(weights.name, "has one channel, made by several layers", "")
    widened = {
        key: torch.cat([torch.zeros_like(value[:1]), value]) if key in weights.last else value
        for key, value in weights.state.items()
    }
    return ForeignWeights(
        name=weights.name,
        state=widened,
        in_channels=weights.in_channels,
        classes=2,
        last=weights.last,
    )


def adopt(weights: ForeignWeights, spec: ModelSpec, *, partial: bool = False) -> Adopted:
    """Build a network with the weights of another tool, and log how many fitted.

    Args:
        weights: As `look_at` gave them.
        spec: The network.
        partial: Whether it may keep random weights where the file has none that fit.

    Raises:
        BundleError: If weights are missing or of another shape and `partial` does not allow it.
    """
    own = template(spec)
    match = match_keys(own, weights.state)
    fitting = {
        ours: theirs
        for ours, theirs in match.pairs.items()
        if weights.state[theirs].shape == own[ours].shape
    }
    missing = tuple(key for key in own if key not in fitting and not key.endswith(_COUNTER))
    _check(weights, spec, match, fitting, missing, partial=partial)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = build_model(spec)
    state = network.state_dict()
    with torch.no_grad():
        for ours, theirs in fitting.items():
            state[ours].copy_(weights.state[theirs])
    used = set(fitting.values())
    unexpected = tuple(key for key in weights.state if key not in used)
    logger.info(
        "%s: %d of %d weights of %s taken, %d missing, %d not used%s",
        weights.name, len(fitting), len(own), _named(spec), len(missing), len(unexpected),
        f" (such as {unexpected[0]})" if unexpected else "",
    )  # fmt: skip
    return Adopted(
        network=network.eval(), matched=len(fitting), missing=missing, unexpected=unexpected
    )


def _check(
    weights: ForeignWeights,
    spec: ModelSpec,
    match: KeyMatch,
    fitting: Mapping[str, str],
    missing: tuple[str, ...],
    *,
    partial: bool,
) -> None:
    """Refuse what would leave random weights in a network that is said to be trained."""
    if not missing:
        return
    reshaped = [key for key in missing if key in match.pairs]
    problem = f"fits {len(fitting)} of the weights of {_named(spec)}; {len(missing)} are missing"
    if reshaped:
        problem += f" or of another shape ({len(reshaped)}, such as {match.pairs[reshaped[0]]})"
    else:
        problem += f", such as {missing[0]}"
    if partial and fitting:
        logger.warning("%s: %s; they are at random: train before use", weights.name, problem)
        return
    raise BundleError(
        weights.name,
        problem,
        "Give the --arch, --encoder and --option it was trained with; --partial begins the "
        "missing ones at random",
    )


def _named(spec: ModelSpec) -> str:
    return spec.arch if spec.encoder == "none" else f"{spec.arch} with {spec.encoder}"
