"""What makes one prediction the same as another: settings, their mark, and the tags of rasters."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from geoseg import __version__
from geoseg.engine.ensemble import Ensemble, SceneViews
from geoseg.engine.options import PredictOptions
from geoseg.geo.remote import file_name

RUN_TAG = "GEOSEG_RUN"
"""Tag of a raster that holds the mark of the settings it was made with."""


def settings_of(views: SceneViews, ensemble: Ensemble, options: PredictOptions) -> dict[str, Any]:
    """All that decides the pixels of a prediction, but for the pixels of the scene.

    Returns:
        Values of JSON.
    """
    scene = views.scene
    settings = {
        "geoseg": __version__,
        "models": ensemble.sha256,
        "scene": file_name(scene.path),
        "shape": list(scene.grid.shape),
        "transform": list(scene.grid.transform)[:6],
        "crs": None if scene.grid.crs is None else scene.grid.crs.to_wkt(),
        "bands": list(scene.bands),
        "read": [scene.options.resolution, scene.options.resampling, scene.options.expand_palette],
        "windows": [[view.layout.window, view.layout.stride] for view in views.views],
        "zooms": [view.zoom for view in views.views],
        "blend": options.blend,
        "mode": options.mode,
        "tta": options.tta,
        "scales": list(options.scales),
        "combine": options.combine,
        "scale": options.scale,
        "aoi": None if options.aoi is None else _digest(str(options.aoi)),
        "exclude": sorted(options.exclude),
        "probabilities": None if options.probabilities is None else options.prob_dtype,
        "uncertainty": None if options.uncertainty is None else list(options.measures),
        "runtime": [options.backend, options.device, options.precision, options.batch_size],
        "creation_options": [list(pair) for pair in options.creation_options],
    }
    return settings | ({"margin": True} if options.margin else {})


def mark_of(settings: dict[str, Any]) -> str:
    """A short mark of settings: 16 hex digits, unlike for any others."""
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def tags_of(
    views: SceneViews, ensemble: Ensemble, options: PredictOptions, runtime: str, mark: str
) -> dict[str, str]:
    """Provenance in the default domain: a COG keeps no other."""
    layouts = [view.layout for view in views.views]
    resized = options.mode == "resize"
    tags = {
        "TIFFTAG_SOFTWARE": f"geoseg {__version__}",
        "GEOSEG_VERSION": __version__,
        "GEOSEG_MODEL": ensemble.name,
        "GEOSEG_MODEL_SHA256": ensemble.sha256,
        "GEOSEG_SCENE": file_name(views.scene.path),
        "GEOSEG_WINDOW": _listing([layout.window for layout in layouts]),
        "GEOSEG_STRIDE": "resize" if resized else _listing([layout.stride for layout in layouts]),
        "GEOSEG_BLEND": "none" if resized else options.blend,
        "GEOSEG_RUNTIME": runtime,
        RUN_TAG: mark,
    }
    if options.tta != "none":
        tags["GEOSEG_TTA"] = options.tta
    if options.scales != (1.0,):
        tags["GEOSEG_SCALES"] = ",".join(f"{scale:g}" for scale in options.scales)
    if options.model_resolution:
        tags["GEOSEG_ZOOM"] = ",".join(f"{view.zoom:g}" for view in views.views)
    if len(ensemble.bundles) > 1:
        tags["GEOSEG_COMBINE"] = options.combine
    return tags


def _listing(numbers: list[int]) -> str:
    """One number where all are the same."""
    return ",".join(map(str, numbers if len(set(numbers)) > 1 else numbers[:1]))


def _digest(path: str) -> str:
    """Of a file's content, and the layer behind a colon; of the text where it is no local file."""
    name, _, layer = path.rpartition(":")
    for file, rest in ((path, ""), (name, layer)):
        if Path(file).is_file():
            with Path(file).open("rb") as opened:
                return f"{hashlib.file_digest(opened, 'sha256').hexdigest()} {rest}"
    return path
