"""Weights of an encoder that others have trained: each where it belongs, band by band."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geoseg.errors import ConfigError
from geoseg.nn.band_names import Sensor, match_bands
from geoseg.nn.key_match import KeyMatch, match_keys
from geoseg.nn.models import ModelSpec, SegmentationModel
from geoseg.nn.trunk_keys import resample_patches, resample_positions, to_timm

logger = logging.getLogger(__name__)

Columns = tuple[int | None, ...]
"""For each band of the data the weights' band that it is; None for one they do not know."""

_HARMLESS = ("num_batches_tracked", "norm.weight", "norm.bias")
"""Endings of what may be missing: a counter, and a last normalisation that begins neutral."""

_KEY = "model.weights"


@dataclass(frozen=True, kw_only=True)
class EncoderWeights:
    """Weights of an encoder, with what is known of the images they were made from."""

    name: str
    """As the user wrote it."""

    state: Mapping[str, Tensor]
    """Tensors by name."""

    bands: tuple[str, ...] = ()
    """Names of the bands in order; empty where they are not known."""

    sensor: Sensor = ""
    """What the numbers of `bands` mean."""

    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and standard deviation in raw units, one for all bands or one per band."""

    encoder: str = ""
    """The encoder they are for; empty where it is not known."""


def load_encoder(
    network: SegmentationModel, source: EncoderWeights, bands: tuple[str, ...]
) -> Columns:
    """Put weights into the encoder of a network, and log how many and what became of bands.

    A band of the data that the weights know by name takes their kernels of that band; any other
    takes the mean of their kernels over all bands. Nothing is rescaled.

    Args:
        network: Its encoder is changed in place.
        source: The weights.
        bands: Names of the data's bands, one per input channel.

    Returns:
        For each band its place among the weights'; None for one that took the mean.

    Raises:
        ConfigError: If the weights are not those of this encoder; nothing is changed then.
    """
    encoder = network.encoder
    if encoder is None:
        raise ConfigError(_KEY, f"{network.spec.arch} has no encoder for {source.name}")
    state = to_timm(source.state)
    own: dict[str, Tensor] = encoder.state_dict()
    match = match_keys(own, state)
    first = _input_layer(encoder, len(bands), match)
    columns = _columns(source, bands, state.get(match.pairs.get(first, "")))
    found: dict[str, Tensor] = {}
    for key, name in match.pairs.items():
        tensor = state[name]
        if key == first and tensor.ndim == own[key].ndim:
            tensor = select_bands(tensor, columns)
        fitted = _fitted(key, tensor, own[key].shape)
        if fitted is not None:
            found[key] = fitted
    _check(network.spec, source, match, found)
    with torch.no_grad():
        for key, tensor in found.items():
            own[key].copy_(tensor)
    _tell(network.spec, source, match, found)
    _tell_bands(source, bands, columns)
    return columns


def select_bands(kernels: Tensor, columns: Columns) -> Tensor:
    """Take the kernels of bands; the mean over all where there is none.

    Args:
        kernels: (channels, bands of the weights, height, width).
        columns: One place per band of the data.

    Returns:
        (channels, bands of the data, height, width).
    """
    mean = kernels.mean(dim=1)
    chosen = [mean if column is None else kernels[:, column] for column in columns]
    return torch.stack(chosen, dim=1)


def _columns(source: EncoderWeights, bands: tuple[str, ...], kernels: Tensor | None) -> Columns:
    """Find the data's bands among the weights': by name, else in order where they are as many."""
    count = kernels.shape[1] if kernels is not None and kernels.ndim > 1 else 0
    known = source.bands if len(source.bands) == count else ("",) * count
    columns = match_bands(bands, known, source.sensor)
    if any(column is not None for column in columns):
        return columns
    if count == len(bands):
        if source.bands and source.bands != bands:
            warn_of_order(source.name, source.bands, bands)
        return tuple(range(count))
    return columns


def _input_layer(encoder: nn.Module, channels: int, match: KeyMatch) -> str:
    """Name of the weight that meets the image: that of the first convolution over all bands."""
    names = (
        f"{name}.weight"
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels == channels
    )
    return next((name for name in names if name in match.pairs), "")


def _fitted(key: str, tensor: Tensor, shape: torch.Size) -> Tensor | None:
    """A weight in the shape that is wanted; None where it cannot be had.

    A transformer for another size of image has another table of positions, and one for another
    size of patches other kernels; both are resampled, as timm does with its own weights.
    """
    if tensor.shape == shape:
        return tensor
    if key.endswith("pos_embed"):
        return resample_positions(tensor.float(), shape)
    if key.endswith("patch_embed.proj.weight"):
        return resample_patches(tensor.float(), shape)
    return None


def _check(
    spec: ModelSpec, source: EncoderWeights, match: KeyMatch, found: Mapping[str, Tensor]
) -> None:
    """Refuse weights that leave a part of the encoder at random."""
    missing = [key for key in match.missing if not key.endswith(_HARMLESS)]
    reshaped = [key for key in match.pairs if key not in found]
    total = len(match.pairs) + len(match.missing)
    if found and not missing and not reshaped:
        return
    parts = [f"{len(found)} of {total} weights fit"]
    parts += [f"{len(missing)} are missing, such as {missing[0]}"] if missing and found else []
    if reshaped and found:
        key = reshaped[0]
        parts.append(f"{len(reshaped)} are of another shape, such as {key}")
    known = source.encoder and source.encoder != spec.encoder.removeprefix("tu-")
    problem = f"is for encoder {source.encoder}, not" if known else "does not fit encoder"
    raise ConfigError(
        _KEY,
        f"{source.name} {problem} {spec.encoder}: {', '.join(parts)}",
        f'Set encoder = "{source.encoder}"' if known else "Set the encoder they were made with",
    )


def _tell(
    spec: ModelSpec, source: EncoderWeights, match: KeyMatch, found: Mapping[str, Tensor]
) -> None:
    logger.info(
        "%s: %d of %d weights of encoder %s taken",
        source.name, len(found), len(match.pairs) + len(match.missing), spec.encoder,
    )  # fmt: skip
    if match.missing:
        logger.info("not in %s, begun anew: %s", source.name, _listed(match.missing))
    if match.outside:
        logger.info("%d further weights of the encoder begin at random", len(match.outside))
    if match.unexpected:
        logger.info("not used of %s: %s", source.name, _listed(match.unexpected))


def _tell_bands(source: EncoderWeights, bands: tuple[str, ...], columns: Columns) -> None:
    """Say what the first layer took for each band."""
    theirs = source.bands
    told = []
    for number, (band, column) in enumerate(zip(bands, columns, strict=True), start=1):
        name = band or f"band {number}"
        if column is None:
            told.append(f"{name} <- mean of all")
        else:
            told.append(f"{name} <- {theirs[column] if theirs else f'band {column + 1}'}")
    by_mean = sum(column is None for column in columns)
    level = logging.WARNING if by_mean == len(columns) else logging.INFO
    logger.log(
        level,
        "first layer: %d of %d bands known to the weights, %d take the mean of their kernels (%s)",
        len(columns) - by_mean, len(columns), by_mean, ", ".join(told),
    )  # fmt: skip


def _listed(names: tuple[str, ...], most: int = 3) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def warn_of_order(name: str, theirs: tuple[str, ...], bands: tuple[str, ...]) -> None:
    """Say that bands are taken in order, though their names differ.

    Args:
        name: Of the weights.
        theirs: Names of their bands.
        bands: Names of the data's.
    """
    logger.warning(
        "%s: its bands (%s) are taken for the data's (%s) in this order",
        name, ", ".join(theirs), ", ".join(band or "?" for band in bands),
    )  # fmt: skip
