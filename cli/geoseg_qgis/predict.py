"""Algorithm: a class map of a scene, by a trained model."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
)

from geoseg_qgis.algorithm import GeosegAlgorithm, Parameters

BLENDS = ["mean", "hann", "gaussian", "crop"]
SYMMETRIES = ["none", "flip", "d4"]
_INTEGER = QgsProcessingParameterNumber.Type.Integer
_DOUBLE = QgsProcessingParameterNumber.Type.Double


class Predict(GeosegAlgorithm):
    """`geoseg predict`."""

    COMMAND = "predict"
    TITLE = "Predict classes"
    HELP = (
        "Makes a class map of a scene with a trained model. The map lies on the scene's own grid, "
        "with names and colours; where the scene has no data it has none. A scene of any size is "
        "read in strips."
    )

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
        number, enum = QgsProcessingParameterNumber, QgsProcessingParameterEnum
        self.add(
            QgsProcessingParameterRasterLayer("INPUT", "Scene"),
            QgsProcessingParameterFile(
                "MODEL", "Model", fileFilter="Models (*.safetensors *.onnx *.xml);;All files (*)"
            ),
            QgsProcessingParameterFeatureSource(
                "AOI",
                "Predict inside these polygons only",
                [QgsProcessing.SourceType.TypeVectorPolygon],
                optional=True,
            ),
            QgsProcessingParameterRasterDestination("OUTPUT", "Classes"),
            QgsProcessingParameterVectorDestination(
                "POLYGONS", "Polygons", optional=True, createByDefault=False
            ),
            QgsProcessingParameterRasterDestination(
                "PROBABILITIES", "Probabilities", optional=True, createByDefault=False
            ),
            QgsProcessingParameterRasterDestination(
                "UNCERTAINTY", "Uncertainty", optional=True, createByDefault=False
            ),
        )
        self.add_advanced(
            number("WINDOW", "Window side in pixels", _INTEGER, optional=True, minValue=1),
            number(
                "OVERLAP", "Overlap of windows", _DOUBLE, optional=True, minValue=0, maxValue=0.95
            ),
            enum("BLEND", "Averaging of windows", BLENDS, defaultValue=0),
            enum("TTA", "Views of each window that are averaged", SYMMETRIES, defaultValue=0),
            QgsProcessingParameterString("BANDS", "Bands, such as 4,3,2", optional=True),
            QgsProcessingParameterString("DEVICE", "Device", defaultValue="auto", optional=True),
        )

    def processAlgorithm(
        self,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> dict[str, str]:
        """Run the command."""
        scene = self.raster(parameters, "INPUT", context)
        if scene is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        outputs = {
            name: self.parameterAsOutputLayer(parameters, name, context)
            for name in ("OUTPUT", "POLYGONS", "PROBABILITIES", "UNCERTAINTY")
        }
        options = {
            "--model": self.parameterAsFile(parameters, "MODEL", context),
            "--output": outputs["OUTPUT"],
            "--polygons": outputs["POLYGONS"],
            "--probabilities": outputs["PROBABILITIES"],
            "--uncertainty": outputs["UNCERTAINTY"],
            "--aoi": self.shapes_file(parameters, "AOI", context, feedback),
            "--overwrite": True,  # QGIS has asked
            **self._windows(parameters, context),
        }
        self.execute([scene], options, parameters, context, feedback)
        for target in outputs.values():
            self.style(target, context)
        return {name: target for name, target in outputs.items() if target}

    def _windows(self, parameters: Parameters, context: Any) -> dict[str, object]:
        """Options whose default is left to the command and the model."""
        window = overlap = None
        if parameters.get("WINDOW") is not None:
            window = self.parameterAsInt(parameters, "WINDOW", context)
        if parameters.get("OVERLAP") is not None:
            overlap = self.parameterAsDouble(parameters, "OVERLAP", context)
        return {
            "--window": window,
            "--overlap": overlap,
            "--blend": BLENDS[self.parameterAsEnum(parameters, "BLEND", context)],
            "--tta": SYMMETRIES[self.parameterAsEnum(parameters, "TTA", context)],
            "--bands": self.parameterAsString(parameters, "BANDS", context),
            "--device": self.parameterAsString(parameters, "DEVICE", context),
        }
