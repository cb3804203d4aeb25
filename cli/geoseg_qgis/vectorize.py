"""Algorithm: polygons of a class raster."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)

from geoseg_qgis.algorithm import GeosegAlgorithm
from geoseg_qgis.options import Choice, Number, Parameters, Switch, Text, definitions

NEIGHBOURS = ["4", "8"]
_SMALL = "Give regions below this area to a neighbour (m²)"
_RIGHT = "Give outlines right angles, as buildings have them"


class Vectorize(GeosegAlgorithm):
    """`geoseg vectorize`."""

    COMMAND = "vectorize"
    TITLE = "Polygons of classes"
    HELP = (
        "Turns a class map into polygons with class, true area, perimeter and mean probability. "
        "They share their borders without gaps or overlaps, generalised or not."
    )
    OPTIONS = (
        Text("CLASSES", "--classes", "Classes by name or value, such as building,road"),
        Number("MIN_AREA", "--min-area", _SMALL, 0.0, off=0),
        Number("FILL_HOLES", "--fill-holes", "Fill holes below this area (m²)", 0.0, off=0),
        Number("SIMPLIFY", "--simplify", "Simplify borders by this tolerance (m)", 0.0, off=0),
        Switch("SMOOTH", "--smooth", "Round corners"),
        Switch("REGULARIZE", "--regularize", _RIGHT),
        Choice("CONNECTIVITY", "--connectivity", "Pixels that belong together", NEIGHBOURS),
    )

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
        *shown, connectivity = definitions(self.OPTIONS)
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", "Class map"),
            *shown,
            QgsProcessingParameterRasterLayer("PROBABILITIES", "Probabilities", optional=True),
            QgsProcessingParameterVectorDestination("OUTPUT", "Polygons"),
        )
        self.add_advanced(connectivity)

    def processAlgorithm(
        self,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> dict[str, str]:
        """Run the command."""
        classes = self.input_raster(parameters, context)
        target = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        options = {
            "--output": target,
            "--overwrite": True,  # QGIS has asked
            "--probabilities": self.raster(parameters, "PROBABILITIES", context),
            **self.own_options(parameters, context),
        }
        self.execute([classes], options, parameters, context, feedback)
        self.style(target, context)
        return {"OUTPUT": target}
