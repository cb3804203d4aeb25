"""The weights a network begins with: none, ImageNet's, torchgeo's, those of a file or a bundle."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geoseg.errors import ConfigError
from geoseg.geo.stats import BandStats
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.band_names import band_key, wavelengths
from geoseg.nn.bundle import METADATA_KEY, ModelBundle
from geoseg.nn.encoder_weights import Columns, EncoderWeights, load_encoder
from geoseg.nn.fine_tuning import (
    Carried,
    Places,
    band_places,
    carry_over,
    class_places,
    is_order,
)
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
    """That of the bundle it goes on from, for its bands; `columns` tells which these are."""

    def scaling(self, stats: BandStats) -> Scaling | None:
        """The scaling that the weights were made with; None where they tell none.

        Args:
            stats: Of the training pixels; bands unknown to the weights are standardised by it.
        """
        if self.bundle_scaling is not None:
            return _by_columns(self.bundle_scaling, self.columns, stats)
        if self.weights is None or self.weights.normalization is None:
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
    classes: tuple[str, ...] = (),
    resolution: float | None = None,
) -> Start:
    """Build a network and give it its first weights.

    Args:
        spec: The network.
        weights: `none`; `imagenet` (or `pretrained`), the encoder's own; `torchgeo:` and a
            name; the path of a bundle of the same architecture, encoder and options, or of a
            file with an encoder's weights.
        bands: Names of the data's bands; nothing is known of them where it is empty.
        classes: Names of the classes; nothing is known of them where it is empty.
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
        return _from_bundle(spec, weights, bands, classes)
    network = build_model(spec)
    names = bands or ("",) * spec.in_channels
    columns = load_encoder(network, source, names)
    return Start(network=network, columns=columns, weights=source)


def _is_state_dict(path: str) -> bool:
    """Whether a file holds bare weights, by its suffix and by what it tells of itself."""
    if Path(path).suffix.lower() not in WEIGHT_FILES or not Path(path).exists():
        return False
    return METADATA_KEY not in safetensors_metadata(path)


def _from_bundle(
    spec: ModelSpec, path: str, bands: tuple[str, ...], classes: tuple[str, ...]
) -> Start:
    """All that a bundle knows of the same network, for the bands and classes of the data."""
    bundle = ModelBundle.open(path)
    there = bundle.card.spec
    different = [
        f"{key} {getattr(there, key)!r} there, {getattr(spec, key)!r} here"
        for key in ("arch", "encoder", "options")
        if getattr(there, key) != getattr(spec, key)
    ]
    if different:
        problem = f"{path} holds another network: {', '.join(different)}"
        raise ConfigError(_KEY, problem, "Set [model] as there")
    names, known = bands or ("",) * spec.in_channels, bundle.card.bands
    own_classes, old_classes = classes or ("",) * spec.classes, bundle.legend.names
    places = Places(
        bands=band_places(names, known),
        old_bands=there.in_channels,
        classes=class_places(own_classes, old_classes),
        old_classes=there.classes,
    )
    carried = carry_over(bundle.state, spec, places)
    if not carried.kept and not carried.adapted:
        problem = f"none of the {len(bundle.state)} weights of {path} serves these data"
        raise ConfigError(_KEY, problem, "Begin with other weights")
    _tell_carried(path, carried)
    _tell_places("bands", names, known, places.bands, "the mean of all")
    _tell_places("classes", own_classes, old_classes, places.classes, "at random")
    return Start(network=carried.network, columns=places.bands, bundle_scaling=bundle.card.scaling)


def _tell_carried(path: str, carried: Carried) -> None:
    """Say what became of each weight."""
    if not carried.adapted and not carried.new:
        logger.info("starts from all %d weights of %s", len(carried.kept), path)
        return
    logger.info(
        "starts from %s: %d weights kept, %d adapted%s, %d new%s",
        path, len(carried.kept), len(carried.adapted), _listed(carried.adapted),
        len(carried.new), _listed(carried.new),
    )  # fmt: skip


def _tell_places(
    what: str, names: Sequence[str], known: Sequence[str], places: Columns, otherwise: str
) -> None:
    """Say where each band or class comes from, and doubt what goes by order alone."""
    if is_order(places, len(known)):
        same = [_same_name(*pair) for pair in zip(names, known, strict=True)]
        if not any(same) and any(names) and any(known):
            logger.warning(
                "%s: those of the weights (%s) are taken for the data's (%s) in this order",
                what, ", ".join(known), ", ".join(names),
            )  # fmt: skip
        return
    found = [
        f"{name or number} <- {otherwise if place is None else known[place]}"
        for number, (name, place) in enumerate(zip(names, places, strict=True), start=1)
    ]
    unknown = all(place is None for place in places)
    logger.log(logging.WARNING if unknown else logging.INFO, "%s: %s", what, ", ".join(found))


def _same_name(name: str, known: str) -> bool:
    return band_key(name) == band_key(known) or name.strip().casefold() == known.strip().casefold()


def _listed(names: Sequence[str], most: int = 6) -> str:
    if not names:
        return ""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f" ({', '.join(names[:most])}{rest})"


def _by_columns(scaling: Scaling, columns: Columns, stats: BandStats) -> Scaling | None:
    """A scaling for the data's bands: that of each band, by statistics where it was not there.

    None where all bands are others.
    """
    if all(column is None for column in columns):
        return None
    spare = Scaling.from_stats(scaling.kind, stats, divisor=scaling.divisor)
    moved = {
        key: tuple(
            getattr(spare, key)[band] if column is None else values[column]
            for band, column in enumerate(columns)
        )
        for key in ("mean", "std", "low", "high")
        if (values := getattr(scaling, key))
    }
    return Scaling(**{**scaling.model_dump(), **moved})


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
