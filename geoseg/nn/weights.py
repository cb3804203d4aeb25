"""The weights a network begins with: none, ImageNet's, torchgeo's, those of a file or a bundle."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from geoseg.errors import ConfigError
from geoseg.geo.stats import BandStats
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.band_names import band_key, wavelengths
from geoseg.nn.bundle import METADATA_KEY, ModelBundle
from geoseg.nn.encoder_weights import Columns, EncoderWeights, load_encoder, warn_of_order
from geoseg.nn.models import ModelSpec, SegmentationModel, build_model
from geoseg.nn.scaling import Scaling
from geoseg.nn.state_dicts import WEIGHT_FILES, read_state_dict, safetensors_metadata
from geoseg.nn.torchgeo_weights import PREFIX, find_weights
from geoseg.nn.trunk_keys import dofa_to_timm, is_dofa, scale_mae_positions

logger = logging.getLogger(__name__)

_KEY = "model.weights"


@dataclass(frozen=True, kw_only=True)
class Start:
    """A network with its first weights."""

    network: SegmentationModel
    """In training mode, on the CPU."""

    columns: Columns = ()
    """How the bands were found among those of the weights."""

    weights: EncoderWeights | None = None
    """What the encoder began with, where that was more than ImageNet's or nothing."""

    bundle_scaling: Scaling | None = None
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
        warn_of_order(path, bundle.card.bands, bands)
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


def _in_order(
    values: tuple[float, ...], columns: Columns, spare: tuple[float, ...]
) -> tuple[float, ...]:
    """Numbers per band of the weights in the order of the data's bands."""
    if len(values) == 1:
        return values * len(columns)
    return tuple(
        spare[place] if column is None else values[column] for place, column in enumerate(columns)
    )
