"""Whether a scene is what a network was trained for: bands, values, resolution."""

from __future__ import annotations

import logging
import math

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.errors import BundleError
from geoseg.geo.raster import Scene
from geoseg.geo.stats import BandStats

logger = logging.getLogger(__name__)

RESOLUTION_TOLERANCE = 0.25
"""Share by which pixels may be larger or smaller than the network's before it is told."""

_PROBE_SIDE = 128
_FAR = 8.0
"""Times the largest value of training that a scene's values may reach."""


def match_bands(
    scene: Scene, bands: tuple[str, ...], *, bands_given: bool = False
) -> tuple[int, ...]:
    """Find the bands of a scene that a network wants, in the network's order.

    By name where both sides name all of theirs (in any case and order, the scene may have
    more), else in the scene's order. Without a single common name the names are taken for two
    ways of naming the same: the scene's order holds, and a warning is logged.

    Args:
        scene: The scene.
        bands: Names of the network's bands; empty where it has none.
        bands_given: Whether the user chose the scene's bands: their order holds.

    Returns:
        Numbers of the bands in the file, from 1.

    Raises:
        BundleError: If the counts differ, or some of the network's bands are missing by name.
    """
    names = [name.strip().casefold() for name in scene.band_names]
    wanted = [name.strip().casefold() for name in bands]
    if not bands_given and _are_names(names) and _are_names(wanted) and set(names) & set(wanted):
        missing = [band for band, key in zip(bands, wanted, strict=True) if key not in names]
        if missing:
            raise BundleError(
                scene.path,
                f"has no band {', '.join(missing)}, which the model wants; "
                f"it has {', '.join(scene.band_names)}",
                "Choose its bands in the model's order with --bands",
            )
        return tuple(scene.bands[names.index(key)] for key in wanted)
    if scene.count != len(bands):
        raise BundleError(scene.path, _counts(scene, bands), _cure(scene, bands))
    if not bands_given and _are_names(names) and _are_names(wanted):
        logger.warning(
            "%s: its bands (%s) are taken for the model's (%s) in this order; "
            "choose others with --bands",
            scene.path,
            ", ".join(scene.band_names),
            ", ".join(bands),
        )
    return scene.bands


def check_values(
    scene: Scene, dtype: str, stats: BandStats | None, *, scale: float | None = None
) -> None:
    """Refuse a scene whose values cannot be of the kind that the network was trained on.

    Args:
        scene: The scene; a few small windows of it are read.
        dtype: Data type of the training scenes.
        stats: What the training pixels were like, in raw units; None goes by the type alone.
        scale: What the scene's values will be multiplied by, as the user said.

    Raises:
        BundleError: If values lie far outside of training's.
    """
    typical, largest = _typical(dtype, stats)
    sample = sample_values(scene) * (1.0 if scale is None else scale)
    sample = sample[np.isfinite(sample)]
    if not sample.size or typical <= 0:
        return
    reach = float(np.percentile(np.abs(sample), 98))
    problem = _mismatch(scene.dtype, dtype, reach, typical, largest)
    if not problem:
        return
    if scale is not None:
        logger.warning("%s: multiplied by %g, it %s", scene.path, scale, problem)
        return
    raise BundleError(
        scene.path, problem, "Multiply its values with --scale FACTOR (1 takes them as they are)"
    )


def check_resolution(
    scene: Scene, resolution: float | None, *, resolution_given: bool = False
) -> None:
    """Warn where the scene's pixels are much larger or smaller than the network's.

    Args:
        scene: The scene.
        resolution: Metres per pixel in training; None says nothing.
        resolution_given: Whether the user chose the resolution.
    """
    if resolution is None or resolution_given or not scene.grid.is_georeferenced:
        return
    found = scene.grid.ground_resolution()
    if not 1 / (1 + RESOLUTION_TOLERANCE) <= found / resolution <= 1 + RESOLUTION_TOLERANCE:
        logger.warning(
            "%s: its pixels are %.3g m, the model was trained on %.3g m; "
            "--resolution %.3g or --model-resolution shows it at the model's",
            scene.path,
            found,
            resolution,
            resolution,
        )


def sample_values(scene: Scene) -> npt.NDArray[np.float64]:
    """Read five small windows: the middle and the middles of the quarters.

    Returns:
        (bands, n) values of their valid pixels, in the order of the scene's bands; single values
        may be NaN or infinite.
    """
    parts = []
    for row, col in ((0.5, 0.5), (0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)):
        height, width = (min(_PROBE_SIDE, length) for length in scene.grid.shape)
        window = Window(
            int((scene.grid.width - width) * col),
            int((scene.grid.height - height) * row),
            width,
            height,
        )
        raster = scene.read(window)
        parts.append(raster.data[:, raster.valid].astype(np.float64))
    return np.concatenate(parts, axis=1)


def _are_names(names: list[str]) -> bool:
    return bool(names) and all(names) and len(set(names)) == len(names)


def _counts(scene: Scene, bands: tuple[str, ...]) -> str:
    listing = f" ({', '.join(bands)})" if all(bands) else ""
    own = "1 band" if scene.count == 1 else f"{scene.count} bands"
    return f"has {own}, the model wants {len(bands)}{listing}"


def _cure(scene: Scene, bands: tuple[str, ...]) -> str:
    if scene.is_paletted and len(bands) == 3:
        return "Read its colours with --expand-palette"
    if scene.count < len(bands):
        return "Give a scene with these bands, or repeat some with --bands"
    return f"Choose {len(bands)} of them with --bands"


def _mismatch(
    scene_dtype: str, model_dtype: str, reach: float, typical: float, largest: float
) -> str:
    """What is wrong with values that reach that far; empty where nothing is."""
    told = f"the model was trained on {model_dtype} values to about {typical:.4g}"
    integers = np.dtype(model_dtype).kind in "iu"
    limit = float(np.iinfo(model_dtype).max) if integers else math.inf
    if reach > min(limit, _FAR * largest):
        return f"has values to about {reach:.4g} ({scene_dtype}), {told}"
    kind = np.dtype(scene_dtype).kind
    if kind in "iu" and np.iinfo(scene_dtype).max * 4 < typical:
        return f"has {scene_dtype} values, {told}"
    if kind == "f" and integers and reach <= 1.5 and typical >= 16:
        return f"has values to about {reach:.4g} ({scene_dtype}), {told}"
    return ""


def _typical(dtype: str, stats: BandStats | None) -> tuple[float, float]:
    """What training values reached, typically and at most; by their type where that is all."""
    if stats is not None:
        return _largest(stats.p98), _largest(stats.max)
    kind = np.dtype(dtype)
    limit = float(np.iinfo(kind).max) if kind.kind in "iu" else 0.0
    return limit, limit


def _largest(values: tuple[float, ...]) -> float:
    return max((abs(value) for value in values if math.isfinite(value)), default=0.0)
