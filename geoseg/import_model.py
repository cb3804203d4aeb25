"""The job that makes a bundle of the weights of another tool."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.errors import ConfigError
from geoseg.geo.legend import Legend
from geoseg.geo.output_lock import writing
from geoseg.geo.outputs import check_output
from geoseg.nn.adopt import Adopted, ForeignWeights, adopt, look_at, two_classes_of_one
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.foreign import ForeignSource, open_foreign
from geoseg.nn.models import ModelSpec, check_spec
from geoseg.nn.scaling import Scaling

logger = logging.getLogger(__name__)

_WINDOW = 512
"""Side of a window where neither source nor user tell it."""


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What must be told of weights that tell little of themselves."""

    arch: str | None = None
    """Architecture; needed unless the source names it."""

    encoder: str | None = None
    """Encoder; needed where the architecture has one and the source does not name it."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Further options of the architecture."""

    bands: tuple[str, ...] | None = None
    """Names of the input bands in order; without names where they are not given."""

    legend: str | None = None
    """File of the classes in the order of the channels; numbered classes where not given."""

    window: int | None = None
    """Side in pixels of the images it was trained on; 512 where nothing tells."""

    resolution: float | None = None
    """Metres per pixel of the images it was trained on."""

    divisor: float = 1.0
    """What pixel values were divided by."""

    mean: tuple[float, ...] = ()
    """What was subtracted after the division, one for all bands or one per band."""

    std: tuple[float, ...] = ()
    """What was divided by after that, as many."""

    dtype: str | None = None
    """Data type of the scenes it was trained on; float32, for which nothing is checked, where
    nothing tells."""

    partial: bool = False
    """Whether weights that the source lacks may begin at random."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""


@dataclass(frozen=True, kw_only=True)
class ImportResult:
    """What an import made."""

    path: Path
    """The bundle."""

    spec: ModelSpec
    """Its network."""

    matched: int
    """Weights that were taken from the source."""

    missing: tuple[str, ...]
    """Weights at random, for the source lacks them; empty but after `partial`."""

    unexpected: tuple[str, ...]
    """Names in the source that were not used."""


def import_model(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: ImportOptions | None = None,
) -> ImportResult:
    """Make a bundle of the weights of another tool.

    Args:
        source: A file with a state dict (`.pth`, `.pt`, `.ckpt`, `.bin`, `.safetensors`), a
            folder that segmentation-models-pytorch saved, or `torchgeo:Unet_Weights.` and the
            name of one of torchgeo's trained networks.
        output: The bundle to write, `*.safetensors`.
        options: What the source does not tell.

    Returns:
        Where the bundle is, and how many weights fitted.

    Raises:
        ConfigError: If an option is wrong or missing, or torchgeo has no such weights.
        BundleError: If a file cannot be read, would need to run code, or its weights are not
            those of the network.
        LegendError: If the legend cannot be read.
        OutputError: If the output must not or cannot be written.
        WorkError: If the file system fails.
    """
    given = options or ImportOptions()
    target = check_output(os.fspath(output), overwrite=given.overwrite)
    with writing(target):
        opened = open_foreign(os.fspath(source))
        completed = _completed(given, opened)
        spec = _spec(completed, opened.name)
        found = look_at(opened.name, opened.state, spec)
        legend, foreign = _legend(given.legend, opened.classes, found)
        bands = _bands(completed.bands, foreign)
        scaling = _scaling(given, len(bands)) or opened.scaling or Scaling()
        spec = spec.model_copy(update={"in_channels": len(bands), "classes": legend.count})
        adopted = adopt(foreign, spec, partial=given.partial)
        card = ModelCard(
            spec=spec,
            legend=legend.to_dict(),
            bands=bands,
            dtype=completed.dtype or "float32",
            scaling=scaling,
            window=completed.window or _WINDOW,
            stride=max(1, (completed.window or _WINDOW) // 2),
            resolution=completed.resolution,
            provenance=_provenance(opened, adopted),
        )
        ModelBundle.of(adopted.network, card).save(target, overwrite=given.overwrite)
    _tell(found, card, given)
    return ImportResult(
        path=Path(target),
        spec=spec,
        matched=adopted.matched,
        missing=adopted.missing,
        unexpected=adopted.unexpected,
    )


def _completed(given: ImportOptions, source: ForeignSource) -> ImportOptions:
    """What the user says, and where that is nothing what the source tells."""
    return replace(
        given,
        arch=given.arch or source.arch,
        encoder=given.encoder or source.encoder,
        options={**source.options, **given.options},
        bands=given.bands or source.bands,
        window=given.window or source.window or _WINDOW,
        resolution=given.resolution or source.resolution,
        dtype=given.dtype or source.dtype or "float32",
    )


def _spec(options: ImportOptions, name: str) -> ModelSpec:
    """The network, with any bands and classes."""
    if options.arch is None:
        cure = f"Give one of: {', '.join(sorted(ARCHITECTURES))}"
        raise ConfigError("--arch", f"is needed: {name} does not tell it", cure)
    architecture = ARCHITECTURES.get(options.arch.lower())
    has_encoder = architecture is None or architecture.has_encoder
    if architecture is not None and has_encoder and options.encoder is None:
        cure = "Give the encoder it was trained with, such as resnet34"
        raise ConfigError("--encoder", f"is needed: {name} does not tell it", cure)
    spec = ModelSpec(
        arch=options.arch,
        encoder=(options.encoder or "none") if has_encoder else "none",
        in_channels=3,
        classes=2,
        options=dict(options.options),
    )
    check_spec(spec)
    return spec


def _legend(
    path: str | None, names: Mapping[int, str] | None, foreign: ForeignWeights
) -> tuple[Legend, ForeignWeights]:
    """The classes, one per channel; one channel for yes or no becomes two."""
    legend = Legend.open(path) if path is not None else None
    count = foreign.classes or (legend.count if legend else 2)
    if count == 1 and (legend is None or legend.count == 2):
        foreign, count = two_classes_of_one(foreign), 2
    if legend is None:
        legend = Legend.of_values(range(count), names)
    if legend.count != count:
        problem = f"{path} has {legend.count} classes, the weights have {count}"
        raise ConfigError("--legend", problem, "Give a legend with a class for each channel")
    return legend, foreign


def _bands(given: tuple[str, ...] | None, foreign: ForeignWeights) -> tuple[str, ...]:
    count = foreign.in_channels or len(given or ()) or 3
    if given is None:
        return ("",) * count
    if len(given) != count:
        problem = f"{len(given)} are given ({', '.join(given)}), the weights are for {count}"
        raise ConfigError("--bands", problem, "Name each band in the order of training")
    return given


def _scaling(options: ImportOptions, bands: int) -> Scaling | None:
    """`(x / divisor - mean) / std` as one formula in raw units; None where nothing is said."""
    divisor, mean, std = options.divisor, options.mean, options.std
    if not divisor > 0:
        raise ConfigError("--divisor", f"{divisor} is not above 0", "Give such as 255 or 10000")
    for option, values in (("--mean", mean), ("--std", std)):
        if len(values) not in (0, 1, bands):
            problem = f"{len(values)} numbers for {bands} bands"
            raise ConfigError(option, problem, "Give one, or one per band")
    if any(not value > 0 for value in std):
        raise ConfigError("--std", "has a number that is not above 0", "Give others")
    if mean or std:
        means, stds = (values * bands if len(values) == 1 else values for values in (mean, std))
        return Scaling(
            kind="standardize",
            mean=tuple(divisor * value for value in means or (0.0,) * bands),
            std=tuple(divisor * value for value in stds or (1.0,) * bands),
        )
    return Scaling(kind="divide", divisor=divisor) if divisor != 1 else None


def _tell(foreign: ForeignWeights, card: ModelCard, options: ImportOptions) -> None:
    """Log what was taken for granted."""
    names = ", ".join(Legend.from_dict(card.legend).names)
    if foreign.classes == 1:
        logger.info("its one channel becomes two: its sigmoid is the probability of the second")
    if options.legend is None:
        logger.info("classes: %s; --legend names others", names)
    if not any(card.bands):
        logger.info(
            "%d bands without names: scenes must have as many, in its order", len(card.bands)
        )
    if card.scaling.kind == "none":
        logger.warning(
            "values reach the network as they are; if it was trained on scaled ones, tell it by "
            "--divisor, --mean and --std"
        )


def _provenance(source: ForeignSource, adopted: Adopted) -> dict[str, Any]:
    return {
        **source.provenance,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "matched": adopted.matched,
        "random": list(adopted.missing),
        "versions": {"geoseg": __version__},
    }
