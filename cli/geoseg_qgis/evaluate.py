"""Algorithm: the accuracy of class maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingOutputFile,
    QgsProcessingOutputNumber,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterString,
)

from geoseg_qgis.algorithm import GeosegAlgorithm, Parameters, label_parameters

MODES = ["global", "per-image"]
FIGURES = {
    "PIXEL_ACCURACY": ("pixel_accuracy", "Share of right pixels"),
    "MEAN_IOU": ("mean_iou", "Mean intersection over union"),
}


class Evaluate(GeosegAlgorithm):
    """`geoseg evaluate`."""

    COMMAND = "evaluate"
    TITLE = "Accuracy of classes"
    HELP = "Compares class maps with labels. Pixels count where both sides have a class."
    GROUP = ("training", "Training and accuracy")

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
        self.add(
            QgsProcessingParameterMultipleLayers(
                "INPUT", "Class maps", QgsProcessing.SourceType.TypeRaster
            ),
            *label_parameters(),
            QgsProcessingParameterEnum("MODE", "Scenes are scored", MODES, defaultValue=0),
            QgsProcessingParameterString(
                "IGNORE", "Classes of the labels that do not count", optional=True
            ),
            QgsProcessingParameterFolderDestination("OUTPUT", "Report"),
        )
        self.add_advanced()
        self.addOutput(QgsProcessingOutputFile("REPORT", "report.json"))
        for name, (_, text) in FIGURES.items():
            self.addOutput(QgsProcessingOutputNumber(name, text))

    def processAlgorithm(
        self,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> dict[str, object]:
        """Run the command."""
        folder = self.parameterAsString(parameters, "OUTPUT", context)
        options = {
            **self.labels(parameters, context, feedback),
            "--output": folder,
            "--overwrite": True,  # QGIS has asked
            "--mode": MODES[self.parameterAsEnum(parameters, "MODE", context)],
            "--ignore": self.parameterAsString(parameters, "IGNORE", context),
            "--json": True,
        }
        maps = self.rasters(parameters, "INPUT", context)
        report = json.loads(self.execute(maps, options, parameters, context, feedback))
        for line in report_lines(report):
            feedback.pushInfo(line)
        figures = {name: report.get(key) for name, (key, _) in FIGURES.items()}
        return {"OUTPUT": folder, "REPORT": str(Path(folder) / "report.json"), **figures}


def report_lines(report: dict[str, Any]) -> list[str]:
    """The figures of a report, for people."""
    lines = [f"{text}: {_figure(report.get(key))}" for key, text in FIGURES.values()]
    return [
        *lines,
        *(f"  {entry.get('name')}: IoU {_figure(entry.get('iou'))}" for entry in _classes(report)),
    ]


def _classes(report: dict[str, Any]) -> list[dict[str, Any]]:
    classes = report.get("classes")
    return classes if isinstance(classes, list) else []


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "none"
