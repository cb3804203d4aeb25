"""Algorithm: training tiles of labelled scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingOutputVectorLayer,
    QgsProcessingParameterFolderDestination,
)

from geoseg_qgis.algorithm import GeosegAlgorithm, input_layers, label_parameters
from geoseg_qgis.options import Choice, Number, Parameters, Text, definitions

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
    OPTIONS = (
        Choice("METHOD", "--method", "Choice of windows", METHODS),
        Number("SIZE", "--size", "Side of a tile in pixels", 512, least=1),
        Number("COUNT", "--count", "Tiles a scene (random, balanced)", 100, least=1),
        Text("SPLIT", "--split", "Shares of train, val and test", "0.7,0.2,0.1", optional=False),
        Number("SEED", "--seed", "Seed of all that is drawn", 0),
    )

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
        self.add(
            input_layers("Scenes"),
            *label_parameters(),
            *definitions(self.OPTIONS),
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
            **self.own_options(parameters, context),
        }
        scenes = self.input_rasters(parameters, context)
        self.execute(scenes, options, parameters, context, feedback)
        return {"OUTPUT": folder, "INDEX": str(Path(folder) / "index.gpkg")}
