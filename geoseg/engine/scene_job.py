"""A scene with all that was decided about it before the work begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.engine.ensemble import SceneViews
from geoseg.engine.strips import Hide
from geoseg.engine.targets import Targets
from geoseg.geo.raster import Scene


@dataclass(frozen=True, kw_only=True)
class SceneJob:
    """A scene that is to be predicted."""

    views: SceneViews
    """As the bundles see it."""

    own: Scene
    """On the file's own grid, which is that of the outputs."""

    hide: Hide
    """Tells the pixels that are to be predicted."""

    targets: Targets
    """What is to be written."""

    settings: dict[str, Any]
    """What decides the pixels, as JSON."""

    replaceable: frozenset[Path]
    """Outputs that may be replaced where they exist."""
