"""Algorithm: polygons of a class raster."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingException,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from geoseg_qgis.algorithm import GeosegAlgorithm, Parameters

NEIGHBOURS = ["4", "8"]
_SWITCHES = {
    "SMOOTH": ("--smooth", "Round corners"),
    "REGULARIZE": ("--regularize", "Give outlines right angles, as buildings have them"),
}
_LENGTHS = {
    "MIN_AREA": ("--min-area", "Give regions below this area to a neighbour (m²)"),
    "FILL_HOLES": ("--fill-holes", "Fill holes below this area (m²)"),
    "SIMPLIFY": ("--simplify", "Simplify borders by this tolerance (m)"),
}


class Vectorize(GeosegAlgorithm):
    """`geoseg vectorize`."""

    COMMAND = "vectorize"
    TITLE = "Polygons of classes"
    HELP = (
        "Turns a class map into polygons with class, true area, perimeter and mean probability. "
        "They share their borders without gaps or overlaps, generalised or not."
    )

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
        double = QgsProcessingParameterNumber.Type.Double
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", "Class map"),
            QgsProcessingParameterString(
                "CLASSES", "Classes by name or value, such as building,road", optional=True
            ),
            *(
                QgsProcessingParameterNumber(name, text, double, defaultValue=0, minValue=0)
                for name, (_, text) in _LENGTHS.items()
            ),
            *(
                QgsProcessingParameterBoolean(name, text, defaultValue=False)
                for name, (_, text) in _SWITCHES.items()
            ),
            QgsProcessingParameterRasterLayer("PROBABILITIES", "Probabilities", optional=True),
            QgsProcessingParameterVectorDestination("OUTPUT", "Polygons"),
        )
        self.add_advanced(
            QgsProcessingParameterEnum(
                "CONNECTIVITY", "Pixels that belong together", NEIGHBOURS, defaultValue=0
            )
        )

    def processAlgorithm(
        self,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> dict[str, str]:
        """Run the command."""
        classes = self.raster(parameters, "INPUT", context)
        if classes is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        target = self.parameterAsOutputLayer(parameters, "OUTPUT", context)
        options = {
            "--output": target,
            "--overwrite": True,  # QGIS has asked
            "--connectivity": NEIGHBOURS[self.parameterAsEnum(parameters, "CONNECTIVITY", context)],
            "--classes": self.parameterAsString(parameters, "CLASSES", context),
            "--probabilities": self.raster(parameters, "PROBABILITIES", context),
        }
        for name, (option, _) in _LENGTHS.items():
            options[option] = self.parameterAsDouble(parameters, name, context) or None
        for name, (option, _) in _SWITCHES.items():
            options[option] = self.parameterAsBool(parameters, name, context)
        self.execute([classes], options, parameters, context, feedback)
        self.style(target, context)
        return {"OUTPUT": target}
