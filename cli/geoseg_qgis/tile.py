"""Algorithm: training tiles of labelled scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterString,
)

from geoseg_qgis.algorithm import GeosegAlgorithm, Parameters, label_parameters

METHODS = ["stride", "random", "balanced"]


class Tile(GeosegAlgorithm):
    """`geoseg tile`."""

    COMMAND = "tile"
    TITLE = "Cut training tiles"
    HELP = (
        "Cuts labelled scenes into training tiles, so that no ground is in two splits. index.gpkg "
        "in the folder shows what was cut where."
    )
    GROUP = ("training", "Training and accuracy")

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
        number, integer = QgsProcessingParameterNumber, QgsProcessingParameterNumber.Type.Integer
        self.add(
            QgsProcessingParameterMultipleLayers(
                "INPUT", "Scenes", QgsProcessing.SourceType.TypeRaster
            ),
            *label_parameters(),
            QgsProcessingParameterEnum("METHOD", "Choice of windows", METHODS, defaultValue=0),
            number("SIZE", "Side of a tile in pixels", integer, defaultValue=512, minValue=1),
            number("COUNT", "Tiles a scene (random, balanced)", integer, 100, minValue=1),
            QgsProcessingParameterString(
                "SPLIT", "Shares of train, val and test", defaultValue="0.7,0.2,0.1"
            ),
            number("SEED", "Seed of all that is drawn", integer, defaultValue=0),
            QgsProcessingParameterFolderDestination("OUTPUT", "Tile set"),
        )
        self.add_advanced()
        self.addOutput(QgsProcessingOutputVectorLayer("INDEX", "Footprints of the tiles"))

    def processAlgorithm(
        self,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> dict[str, str]:
        """Run the command."""
        folder = self.parameterAsString(parameters, "OUTPUT", context)
        options = {
            **self.labels(parameters, context, feedback),
            "--output": folder,
            "--overwrite": True,  # QGIS has asked; only another tile set is replaced
            "--method": METHODS[self.parameterAsEnum(parameters, "METHOD", context)],
            "--size": self.parameterAsInt(parameters, "SIZE", context),
            "--count": self.parameterAsInt(parameters, "COUNT", context),
            "--split": self.parameterAsString(parameters, "SPLIT", context),
            "--seed": self.parameterAsInt(parameters, "SEED", context),
        }
        scenes = self.rasters(parameters, "INPUT", context)
        self.execute(scenes, options, parameters, context, feedback)
        return {"OUTPUT": folder, "INDEX": str(Path(folder) / "index.gpkg")}
