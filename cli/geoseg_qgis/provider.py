"""The provider: its name, its files, its algorithms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from geoseg_qgis.evaluate import Evaluate
from geoseg_qgis.predict import Predict
from geoseg_qgis.tile import Tile
from geoseg_qgis.vectorize import Vectorize

ICON = Path(__file__).parent / "icon.svg"


class GeosegProvider(QgsProcessingProvider):
    """Offers geoseg's jobs as algorithms `geoseg:predict`, `geoseg:vectorize` and so on."""

    def id(self) -> str:
        """The first half of each algorithm's id."""
        return "geoseg"

    def name(self) -> str:
        """What the toolbox shows."""
        return "geoseg"

    def longName(self) -> str:
        """What the toolbox tells in addition."""
        return "geoseg (segmentation of remote-sensing imagery)"

    def icon(self) -> Any:
        """What the toolbox draws."""
        return QIcon(str(ICON))

    def loadAlgorithms(self) -> None:
        """Offer the algorithms."""
        for algorithm in (Predict, Vectorize, Tile, Evaluate):
            self.addAlgorithm(algorithm())

    def supportedOutputRasterLayerExtensions(self) -> list[str]:
        """Suffixes of rasters that can be written."""
        return ["tif"]

    def defaultRasterFileExtension(self) -> str:  # noqa: D102 - as its name says
        return "tif"

    def supportedOutputVectorLayerExtensions(self) -> list[str]:
        """Suffixes of polygons that can be written; not all builds of QGIS read the last."""
        return ["gpkg", "fgb", "geojson", "shp", "parquet"]

    def defaultVectorFileExtension(self, hasGeometry: bool = True) -> str:  # noqa: ARG002, D102, FBT001, FBT002, N803 - QGIS's
        return "gpkg"

    def supportsNonFileBasedOutput(self) -> bool:
        """Databases cannot be written."""
        return False
