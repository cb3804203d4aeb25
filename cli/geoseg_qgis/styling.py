"""Gives results the style that geoseg wrote: Processing does not load it by itself."""

from __future__ import annotations

from typing import Any, ClassVar

from qgis.core import QgsProcessingLayerPostProcessorInterface


class StyleLoader(QgsProcessingLayerPostProcessorInterface):
    """Loads a layer's default style: a raster's `.qml`, the `layer_styles` of a GeoPackage."""

    _only: ClassVar[StyleLoader | None] = None

    @classmethod
    def shared(cls) -> StyleLoader:
        """The only one. QGIS does not own it: it must live until the layers are loaded."""
        if cls._only is None:
            cls._only = cls()
        return cls._only

    def postProcessLayer(self, layer: Any, context: Any, feedback: Any) -> None:  # noqa: ARG002 - QGIS's
        """Style a layer, in QGIS's main thread."""
        layer.loadDefaultStyle()
        layer.triggerRepaint()
