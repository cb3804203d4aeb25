"""Algorithm: a class map of a scene, by a trained model."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterVectorDestination,
)

from geoseg_qgis.algorithm import GeosegAlgorithm
from geoseg_qgis.options import Choice, Number, Parameters, Text, definitions

BLENDS = ["mean", "hann", "gaussian", "crop"]
SYMMETRIES = ["none", "flip", "d4"]


class Predict(GeosegAlgorithm):
    """`geoseg predict`."""

    COMMAND = "predict"
    TITLE = "Predict classes"
    HELP = (
        "Makes a class map of a scene with a trained model. The map lies on the scene's own grid, "
        "with names and colours; where the scene has no data it has none. A scene of any size is "
        "read in strips."
    )
    OPTIONS = (
        Number("WINDOW", "--window", "Window side in pixels", least=1),
        Number("OVERLAP", "--overlap", "Overlap of windows", least=0.0, most=0.95),
        Choice("BLEND", "--blend", "Averaging of windows", BLENDS),
        Choice("TTA", "--tta", "Views of each window that are averaged", SYMMETRIES),
        Text("BANDS", "--bands", "Bands, such as 4,3,2"),
        Text("DEVICE", "--device", "Device", "auto"),
    )

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
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
        self.add_advanced(*definitions(self.OPTIONS))

    def processAlgorithm(
        self,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> dict[str, str]:
        """Run the command."""
        scene = self.input_raster(parameters, context)
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
            **self.own_options(parameters, context),
        }
        self.execute([scene], options, parameters, context, feedback)
        for target in outputs.values():
            self.style(target, context)
        return {name: target for name, target in outputs.items() if target}
