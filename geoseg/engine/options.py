"""How scenes are predicted, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.engine.backends import BackendName
from geoseg.engine.layout import Blend
from geoseg.engine.symmetry import Augmentation
from geoseg.engine.timings import Report
from geoseg.engine.uncertainty import Measure
from geoseg.geo.raster import SceneOptions
from geoseg.nn.device import PrecisionName


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How scenes are predicted; None leaves the choice to the bundle or the machine."""

    window: int | None = None
    """Side of a window in pixels; the bundle's where None."""

    stride: int | None = None
    """Pixels between windows; the bundle's, or half of another window, where None."""

    overlap: float | None = None
    """Share of a window's side that the next one covers too, instead of `stride`."""

    blend: Blend = "mean"
    """How overlapping windows are averaged."""

    mode: Literal["stride", "resize"] | None = None
    """`resize` scales the whole scene to one window and the probabilities back; None does as all
    bundles were trained, and slides windows where that is asked for or they differ."""

    tta: Augmentation = "none"
    """Mirror images and turns of each window that are averaged."""

    scales: tuple[float, ...] = (1.0,)
    """Sizes at which the scene is seen; all are averaged."""

    model_resolution: bool = False
    """Whether each bundle sees the scene at the ground resolution that it was trained on."""

    combine: Literal["mean", "vote"] = "mean"
    """Whether several models' probabilities are averaged, or each has a vote."""

    scene: SceneOptions = field(default_factory=SceneOptions)
    """Bands, resolution and so on that scenes are read with."""

    scale: float | None = None
    """Multiplied to pixel values gives them the units that the bundle was trained in."""

    aoi: str | Path | None = None
    """Polygon file outside of which nothing is predicted."""

    exclude: tuple[str, ...] = ()
    """Classes, by name or value, that are never chosen."""

    probabilities: str | Path | None = None
    """Raster (or folder, for several scenes) of the probability of each class."""

    prob_dtype: Literal["uint8", "float32"] = "uint8"
    """Of the probability raster."""

    uncertainty: str | Path | None = None
    """Raster (or folder, for several scenes) of how sure the map is."""

    measures: tuple[Measure, ...] = ("entropy",)
    """Bands of the uncertainty raster."""

    polygons: str | Path | None = None
    """Polygon file (or folder) of the classes."""

    margin: bool = False
    """Whether the polygons tell how far their class is above the second."""

    mosaic: str | Path | None = None
    """VRT over the class rasters of all scenes; where they overlap, the later scene counts."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:<index>`."""

    backend: BackendName | Literal["auto"] = "auto"
    """Run-time of the network; `auto` takes the fastest that agrees with fp32 on the scene."""

    precision: PrecisionName = "auto"
    """Numbers of the forward pass."""

    batch_size: int | Literal["auto"] | None = None
    """Windows in one forward pass; `auto` measures which number is fastest."""

    max_memory: int | None = None
    """Bytes that the process may take; wider scenes are predicted by panels of columns."""

    resume: bool = False
    """Whether to go on where an earlier run with the same settings was stopped."""

    timings: bool = False
    """Whether to measure where the time goes; it is in the result."""

    creation_options: tuple[tuple[str, str], ...] = ()
    """Creation options of GDAL's COG driver, for the rasters."""

    overwrite: bool = False
    """Whether existing outputs may be replaced."""

    cluster: str | None = None
    """`local:N`, `tcp://host:port` or `slurm:...`: workers that predict; None predicts here."""


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """What came of one scene."""

    scene: str
    """The scene's path."""

    classes: Path
    """The class raster."""

    probabilities: Path | None
    """The probability raster, if asked for."""

    uncertainty: Path | None
    """The uncertainty raster, if asked for."""

    polygons: Path | None
    """The polygon file, if asked for."""

    pixels: dict[str, int]
    """Pixels of each class."""

    nodata_pixels: int
    """Pixels where nothing was predicted."""

    windows: int
    """Windows that went through the network."""

    skipped: int
    """Windows without any valid pixel."""

    runtime: str
    """Run-time, device, numbers, and how far they agree with fp32; of each model."""

    timings: Report | None = None
    """Where the time went, if asked for."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What predicting one scene will take."""

    scene: str
    """The scene's path."""

    classes: Path
    """Where the class raster will be."""

    windows: int
    """Forward passes of one window, with all models, scales and symmetries; those without data
    will be left out."""

    panels: int
    """Parts that the scene is cut into, side by side, to keep within the memory."""

    memory: int
    """Bytes that the process will take, about."""

    seconds: float
    """What it will take, about."""

    output_bytes: int
    """Of the rasters before compression."""

    runtime: str
    """Run-time, device, numbers, and how far they agree with fp32; of each model."""
