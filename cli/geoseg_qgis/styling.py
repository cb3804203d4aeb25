"""Gives results the style that geoseg wrote: Processing does not load it by itself."""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from qgis.core import QgsProcessingLayerPostProcessorInterface


class StyleLoader(QgsProcessingLayerPostProcessorInterface):
    """Loads a layer's default style: a raster's `.qml`, the `layer_styles` of a GeoPackage."""

    _alive: ClassVar[deque[StyleLoader]] = deque(maxlen=64)

    @classmethod
    def fresh(cls) -> StyleLoader:
        """One for one layer: the context deletes it in the end.

        Until then Python must not: QGIS would leave the layer as it is (its issue 47533).
        """
        made = cls()
        cls._alive.append(made)
        return made

    def postProcessLayer(self, layer: Any, context: Any, feedback: Any) -> None:  # noqa: ARG002 - QGIS's
        """Style a layer, in QGIS's main thread."""
        layer.loadDefaultStyle()
        layer.triggerRepaint()
