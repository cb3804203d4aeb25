"""Algorithm: the accuracy of class maps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputHtml,
    QgsProcessingOutputNumber,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterRasterLayer,
)

from geoseg_qgis.algorithm import GeosegAlgorithm, input_layers, label_parameters
from geoseg_qgis.options import Choice, Number, Parameters, Switch, Text, definitions

MODES = ["global", "per-image"]
FIGURES = {
    "PIXEL_ACCURACY": (("pixel_accuracy",), "Share of right pixels"),
    "MEAN_IOU": (("mean_iou",), "Mean intersection over union"),
    "BOUNDARY_IOU": (("boundary", "mean_iou"), "Mean boundary IoU"),
    "OBJECT_F1": (("objects", "f1"), "F1 of objects"),
    "CALIBRATION_ERROR": (
        ("calibration", "expected_calibration_error"),
        "Expected calibration error",
    ),
}


class Evaluate(GeosegAlgorithm):
    """`geoseg evaluate`."""

    COMMAND = "evaluate"
    TITLE = "Accuracy of classes"
    HELP = (
        "Compares class maps with labels, or with interpreted sample points, and writes "
        "report.html. Pixels count where both sides have a class."
    )
    GROUP = ("training", "Training and accuracy")
    OPTIONS = (
        Number("BOUNDARY", "--boundary", "Score borders within (m; 0 for not)", 0.0, off=0),
        Switch("OBJECTS", "--objects", "Match objects"),
        Switch("AREA", "--area", "Tell areas"),
        Choice("MODE", "--mode", "Scenes are scored", MODES),
        Text("IGNORE", "--ignore", "Classes of the labels that do not count"),
    )

    def initAlgorithm(self, config: Any = None) -> None:  # noqa: ARG002 - QGIS's
        """Tell the parameters."""
        self.add(
            input_layers("Class maps"),
            *label_parameters(optional=True),
            QgsProcessingParameterFeatureSource(
                "SAMPLE",
                "Interpreted points of geoseg sample, for areas with their errors",
                [QgsProcessing.SourceType.TypeVectorPoint],
                optional=True,
            ),
            *definitions(self.OPTIONS),
            QgsProcessingParameterRasterLayer(
                "PROBABILITIES", "Probabilities of a single map", optional=True
            ),
            QgsProcessingParameterFolderDestination("OUTPUT", "Report"),
        )
        self.add_advanced()
        self.addOutput(QgsProcessingOutputFile("REPORT", "report.json"))
        self.addOutput(QgsProcessingOutputHtml("HTML", "report.html"))
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
        if parameters.get("LABELS") is None and parameters.get("SAMPLE") is None:
            raise QgsProcessingException("Give labels, or interpreted sample points.")
        options = {
            **self.labels(parameters, context, feedback),
            "--sample": self.shapes_file(parameters, "SAMPLE", context, feedback),
            "--probabilities": self.raster(parameters, "PROBABILITIES", context),
            "--output": folder,
            "--overwrite": True,  # QGIS has asked
            **self.own_options(parameters, context),
            "--json": True,
        }
        maps = self.input_rasters(parameters, context)
        report = json.loads(self.execute(maps, options, parameters, context, feedback))
        for line in report_lines(report):
            feedback.pushInfo(line)
        page = Path(folder) / "report.html"
        figures = {name: _value(report, keys) for name, (keys, _) in FIGURES.items()}
        return {
            "OUTPUT": folder,
            "REPORT": str(Path(folder) / "report.json"),
            **({"HTML": str(page)} if page.exists() else {}),
            **{name: value for name, value in figures.items() if value is not None},
        }


def report_lines(report: dict[str, Any]) -> list[str]:
    """The figures of a report, for people."""
    found = [(text, _value(report, keys)) for keys, text in FIGURES.values()]
    return [
        *(f"{text}: {_figure(value)}" for text, value in found if value is not None),
        *(f"  {entry.get('name')}: IoU {_figure(entry.get('iou'))}" for entry in _classes(report)),
    ]


def _value(report: dict[str, Any], keys: tuple[str, ...]) -> object:
    """A figure; None where it was not asked for, or is not defined."""
    value: Any = report
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _classes(report: dict[str, Any]) -> list[dict[str, Any]]:
    classes = report.get("classes")
    return classes if isinstance(classes, list) else []


def _figure(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, (int, float)) else "none"
