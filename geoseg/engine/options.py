"""How scenes are predicted, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geoseg.engine.backends import BackendName
from geoseg.engine.layout import Blend
from geoseg.geo.raster import SceneOptions
from geoseg.nn.device import PrecisionName


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """How scenes are predicted; None leaves the choice to the bundle or the machine."""

    window: int | None = None
    """Side of a window in pixels; the bundle's where None."""

    stride: int | None = None
    """Pixels between windows; the bundle's, or half of another window, where None."""

    blend: Blend = "mean"
    """How overlapping windows are averaged."""

    mode: Literal["stride", "resize"] = "stride"
    """`resize` scales the whole scene to one window and the probabilities back."""

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

    polygons: str | Path | None = None
    """Polygon file (or folder) of the classes."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:<index>`."""

    backend: BackendName | Literal["auto"] = "auto"
    """Run-time of the network; `auto` takes the fastest that agrees with fp32 on the scene."""

    precision: PrecisionName = "auto"
    """Numbers of the forward pass."""

    batch_size: int | None = None
    """Windows in one forward pass."""

    creation_options: tuple[tuple[str, str], ...] = ()
    """Creation options of GDAL's COG driver, for the rasters."""

    overwrite: bool = False
    """Whether existing outputs may be replaced."""


@dataclass(frozen=True, kw_only=True)
class PredictResult:
    """What came of one scene."""

    scene: str
    """The scene's path."""

    classes: Path
    """The class raster."""

    probabilities: Path | None
    """The probability raster, if asked for."""

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
    """Run-time, device, numbers, and how far they agree with fp32."""
