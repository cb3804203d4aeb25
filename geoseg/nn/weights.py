"""The weights a network begins with: none, ImageNet's, torchgeo's, those of a file or a bundle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from geoseg.errors import ConfigError
from geoseg.geo.stats import BandStats
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.band_names import Sensor, band_key, match_bands, wavelengths
from geoseg.nn.bundle import METADATA_KEY, ModelBundle
from geoseg.nn.key_match import KeyMatch, match_keys
from geoseg.nn.models import ModelSpec, SegmentationModel, build_model
from geoseg.nn.scaling import Scaling
from geoseg.nn.state_dicts import WEIGHT_FILES, read_state_dict, safetensors_metadata
from geoseg.nn.torchgeo_weights import PREFIX, find_weights
from geoseg.nn.trunk_keys import (
    dofa_to_timm,
    is_dofa,
    resample_patches,
    resample_positions,
    scale_mae_positions,
    to_timm,
)

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


@dataclass(frozen=True, kw_only=True)
class Start:
    """A network with its first weights."""

    network: SegmentationModel
    """In training mode, on the CPU."""

    columns: Columns = ()
    """How the bands were found among those of the weights."""

    weights: EncoderWeights | None = None
    """What the encoder began with, where that was more than ImageNet's or nothing."""

    bundle_scaling: Scaling | None = field(default=None)
    """That of the bundle it goes on from."""

    def scaling(self, stats: BandStats) -> Scaling | None:
        """The scaling that the weights were made with; None where they tell none.

        Args:
            stats: Of the training pixels; bands unknown to the weights are standardised by it.
        """
        if self.bundle_scaling is not None or self.weights is None:
            return self.bundle_scaling
        if self.weights.normalization is None:
            return None
        own = Scaling.from_stats("standardize", stats)
        mean, std = (
            _in_order(values, self.columns, spare)
            for values, spare in zip(self.weights.normalization, (own.mean, own.std), strict=True)
        )
        if len(set(std)) == 1 and not any(mean):
            return Scaling(kind="divide", divisor=std[0], mean=own.mean)
        return Scaling(kind="standardize", mean=mean, std=std)


def start_network(
    spec: ModelSpec,
    weights: str,
    *,
    bands: tuple[str, ...] = (),
    resolution: float | None = None,
) -> Start:
    """Build a network and give it its first weights.

    Args:
        spec: The network.
        weights: `none`; `imagenet` (or `pretrained`), the encoder's own; `torchgeo:` and a
            name; the path of a bundle of the same network, or of a file with an encoder's
            weights.
        bands: Names of the data's bands; nothing is known of them where it is empty.
        resolution: Metres per pixel of the data, for Scale-MAE.

    Raises:
        ConfigError: If the network or the weights do not exist, or do not belong together.
        BundleError: If a file cannot be used.
    """
    if weights == "none":
        return Start(network=build_model(spec))
    if weights in ("imagenet", "pretrained"):
        return Start(network=build_model(spec, weights="imagenet"))
    has_encoder = ARCHITECTURES[spec.arch].has_encoder
    if weights.startswith(PREFIX):
        if not has_encoder:
            raise ConfigError(_KEY, f"{spec.arch} has no encoder for {weights}", 'Set "none"')
        source = _from_torchgeo(weights, bands, resolution)
    elif has_encoder and _is_state_dict(weights):
        source = _with_bands(EncoderWeights(name=weights, state=read_state_dict(weights)), bands)
    else:
        return _from_bundle(spec, weights, bands)
    network = build_model(spec)
    names = bands or ("",) * spec.in_channels
    columns = load_encoder(network, source, names)
    return Start(network=network, columns=columns, weights=source)


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


def _is_state_dict(path: str) -> bool:
    """Whether a file holds bare weights, by its suffix and by what it tells of itself."""
    if Path(path).suffix.lower() not in WEIGHT_FILES or not Path(path).exists():
        return False
    return METADATA_KEY not in safetensors_metadata(path)


def _from_bundle(spec: ModelSpec, path: str, bands: tuple[str, ...]) -> Start:
    bundle = ModelBundle.open(path)
    different = [
        f"{key} {getattr(bundle.card.spec, key)!r} there, {getattr(spec, key)!r} here"
        for key in ModelSpec.model_fields
        if getattr(bundle.card.spec, key) != getattr(spec, key)
    ]
    if different:
        raise ConfigError(
            _KEY,
            f"{path} holds another network: {', '.join(different)}",
            "Set [model] as there, or train on the same bands and classes",
        )
    logger.info("starts from all %d weights of %s", len(bundle.state), path)
    keys = [[band_key(name) for name in names] for names in (bundle.card.bands, bands)]
    if keys[0] != keys[1] and all(map(all, keys)):
        _warn_of_order(path, bundle.card.bands, bands)
    return Start(network=bundle.build().train(), bundle_scaling=bundle.card.scaling)


def _from_torchgeo(name: str, bands: tuple[str, ...], resolution: float | None) -> EncoderWeights:
    entry = find_weights(name)
    state = entry.state_dict()
    if entry.kind.startswith("ScaleMAE"):
        logger.info("%s: positions for pixels of %.3g m", name, resolution or 1.0)
        state = scale_mae_positions(state, resolution)
    source = EncoderWeights(
        name=name,
        state=state,
        bands=entry.bands,
        sensor=entry.sensor,
        normalization=entry.scaling,
        encoder=entry.encoder,
    )
    return _with_bands(source, bands)


def _with_bands(source: EncoderWeights, bands: tuple[str, ...]) -> EncoderWeights:
    """Where weights make their first layer by wavelength (DOFA), let them make it."""
    if not is_dofa(source.state):
        return source
    found = wavelengths(bands)
    known = [wavelength for wavelength in found if wavelength is not None]
    if len(known) < len(found) or not found:
        unknown = ", ".join(b or "?" for b, w in zip(bands, found, strict=True) if w is None)
        raise ConfigError(
            _KEY,
            f"{source.name} goes by wavelengths, and those of the bands {unknown} are not known",
            "Name the bands red, green, blue, nir, ... or as Sentinel-2 does",
        )
    told = ", ".join(f"{b} {w:g}" for b, w in zip(bands, known, strict=True))
    logger.info("%s: first layer made for wavelengths in micrometres: %s", source.name, told)
    return replace(source, state=dofa_to_timm(source.state, known), bands=bands, sensor="")


def _columns(source: EncoderWeights, bands: tuple[str, ...], kernels: Tensor | None) -> Columns:
    """Find the data's bands among the weights': by name, else in order where they are as many."""
    count = kernels.shape[1] if kernels is not None and kernels.ndim > 1 else 0
    known = source.bands if len(source.bands) == count else ("",) * count
    columns = match_bands(bands, known, source.sensor)
    if any(column is not None for column in columns):
        return columns
    if count == len(bands):
        if source.bands and source.bands != bands:
            _warn_of_order(source.name, source.bands, bands)
        return tuple(range(count))
    return columns


def _warn_of_order(name: str, theirs: tuple[str, ...], bands: tuple[str, ...]) -> None:
    logger.warning(
        "%s: its bands (%s) are taken for the data's (%s) in this order",
        name, ", ".join(theirs), ", ".join(band or "?" for band in bands),
    )  # fmt: skip


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


def _in_order(
    values: tuple[float, ...], columns: Columns, spare: tuple[float, ...]
) -> tuple[float, ...]:
    """Numbers per band of the weights in the order of the data's bands."""
    if len(values) == 1:
        return values * len(columns)
    return tuple(
        spare[place] if column is None else values[column] for place, column in enumerate(columns)
    )
