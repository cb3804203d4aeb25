"""What the algorithms share: they run the command, feed the dialog, and style what comes of it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFile,
    QgsProcessingParameterMapLayer,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterString,
    QgsProviderRegistry,
    QgsSettings,
)

from geoseg_qgis.command_lines import command_line
from geoseg_qgis.environment import SETTING, NotFoundError, clean_environment, find_geoseg
from geoseg_qgis.messages import Advance, Message, Note
from geoseg_qgis.options import Option, Parameters, Text, definitions, given
from geoseg_qgis.process import Outcome, run
from geoseg_qgis.styling import StyleLoader

EXTRA = "EXTRA"
_FIELD = Text("LABEL_FIELD", "--label-field", "Field that tells the class")


class GeosegAlgorithm(QgsProcessingAlgorithm):
    """Base of the algorithms; each says its command, and its words for given parameters."""

    COMMAND = ""
    TITLE = ""
    HELP = ""
    GROUP = ("maps", "Maps")
    OPTIONS: tuple[Option, ...] = ()
    """What the command gets as it is."""

    def name(self) -> str:
        """The second half of the id."""
        return self.COMMAND

    def displayName(self) -> str:
        """What the toolbox shows."""
        return self.TITLE

    def shortHelpString(self) -> str:
        """What stands beside the parameters."""
        return self.HELP

    def groupId(self) -> str:
        """Of the group in the toolbox."""
        return self.GROUP[0]

    def group(self) -> str:
        """What the toolbox shows of the group."""
        return self.GROUP[1]

    def createInstance(self) -> GeosegAlgorithm:
        """A fresh one, as QGIS wants for each run."""
        return type(self)()

    def add(self, *definitions: Any) -> None:
        """Take parameters."""
        for definition in definitions:
            self.addParameter(definition)

    def add_advanced(self, *definitions: Any) -> None:
        """Take parameters that are folded away, and last the field for further options."""
        extra = QgsProcessingParameterString(
            EXTRA, f"Further options of geoseg {self.COMMAND}", optional=True
        )
        for definition in (*definitions, extra):
            advanced = QgsProcessingParameterDefinition.Flag.FlagAdvanced
            definition.setFlags(definition.flags() | advanced)
            self.addParameter(definition)

    def execute(
        self,
        inputs: Sequence[str],
        options: Mapping[str, object],
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> str:
        """Run the command and tell the dialog how far it is.

        Returns:
            What it printed on stdout.

        Raises:
            QgsProcessingException: If it fails, or cannot be found.
        """
        extra = self.parameterAsString(parameters, EXTRA, context)
        try:
            geoseg = find_geoseg(str(QgsSettings().value(SETTING, "") or ""), os.environ)
            words = [geoseg, *command_line(self.COMMAND, inputs, options, extra=extra)]
            feedback.pushCommandInfo(shlex.join(words))
            outcome = run(words, clean_environment(os.environ), _Dialog(feedback))
        except NotFoundError as error:
            raise QgsProcessingException(str(error)) from error
        except ValueError as error:
            raise QgsProcessingException(f"Further options: {error}") from error
        return _answer(outcome)

    def own_options(self, parameters: Parameters, context: Any) -> dict[str, object]:
        """What the command gets of `OPTIONS`."""
        return given(self.OPTIONS, self, parameters, context)

    def input_raster(self, parameters: Parameters, context: Any) -> str:
        """The file of the one raster layer that the command is about.

        Raises:
            QgsProcessingException: If there is none.
        """
        path = self.raster(parameters, "INPUT", context)
        if path is None:
            raise QgsProcessingException(self.invalidRasterError(parameters, "INPUT"))
        return path

    def raster(self, parameters: Parameters, name: str, context: Any) -> str | None:
        """The file of a raster layer; None where none is given."""
        layer = self.parameterAsRasterLayer(parameters, name, context)
        return None if layer is None else raster_file(layer)

    def input_rasters(self, parameters: Parameters, context: Any) -> list[str]:
        """The files of the raster layers of `input_layers`."""
        layers = self.parameterAsLayerList(parameters, "INPUT", context)
        return [raster_file(each) for each in layers]

    def labels(
        self,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> dict[str, object]:
        """The options that tell the labels, of the parameters that `label_parameters` made."""
        legend = {"--legend": self.parameterAsString(parameters, "LEGEND", context)}
        definition = self.parameterDefinition("LABELS")
        optional = definition.flags() & QgsProcessingParameterDefinition.Flag.FlagOptional
        if optional and parameters.get("LABELS") is None:
            return legend
        layer = self.parameterAsLayer(parameters, "LABELS", context)
        if layer is None:
            raise QgsProcessingException(self.invalidSourceError(parameters, "LABELS"))
        path, table = self._labels_file(layer, parameters, context, feedback)
        return {
            "--labels": path,
            "--label-layer": table,
            **given([_FIELD], self, parameters, context),
            **legend,
        }

    def shapes_file(
        self,
        parameters: Parameters,
        name: str,
        context: Any,
        feedback: Any,
    ) -> str | None:
        """A file of one layer that holds shapes; None where none are given.

        What comes of a filter, a selection, a database or a file of several layers is written to
        a temporary file first.
        """
        if parameters.get(name) is None:
            return None
        formats = ["fgb", "shp", "geojson"]
        path = self.parameterAsCompatibleSourceLayerPath(
            parameters, name, context, formats, formats[0], feedback
        )
        return str(path)

    def style(self, target: str, context: Any) -> None:
        """Let a result be loaded with the style that lies in or beside it."""
        if target and context.willLoadLayerOnCompletion(target):
            details = context.layerToLoadOnCompletionDetails(target)
            details.setPostProcessor(StyleLoader.fresh())

    def _labels_file(
        self,
        layer: Any,
        parameters: Parameters,
        context: Any,
        feedback: Any,
    ) -> tuple[str, str]:
        """The file of labels, and the layer in it."""
        if layer.providerType() == "gdal":
            return raster_file(layer), ""
        formats = ["gpkg", "fgb", "geojson", "shp"]
        path, table = self.parameterAsCompatibleSourceLayerPathAndLayerName(
            parameters, "LABELS", context, formats, formats[0], feedback
        )
        return str(path), str(table) if Path(path).suffix.lower() == ".gpkg" else ""


def input_layers(title: str) -> Any:
    """The parameter of several rasters that a command is about."""
    return QgsProcessingParameterMultipleLayers("INPUT", title, QgsProcessing.SourceType.TypeRaster)


def label_parameters(*, optional: bool = False) -> list[Any]:
    """Parameters that tell the labels; `optional` lets them be left out."""
    return [
        QgsProcessingParameterMapLayer(
            "LABELS",
            "Labels (polygons, lines, points or a raster)",
            types=[
                QgsProcessing.SourceType.TypeVectorAnyGeometry,
                QgsProcessing.SourceType.TypeRaster,
            ],
            optional=optional,
        ),
        *definitions([_FIELD]),
        QgsProcessingParameterFile(
            "LEGEND",
            "Legend",
            optional=True,
            fileFilter="Legends (*.toml *.qml *.tif);;All files (*)",
        ),
    ]


def raster_file(layer: Any) -> str:
    """What GDAL opens for a raster layer.

    Raises:
        QgsProcessingException: If the layer comes of no file.
    """
    if layer.providerType() != "gdal":
        kind = layer.providerType()
        raise QgsProcessingException(f"{layer.name()} is no file ({kind}). Save it as GeoTIFF.")
    parts = QgsProviderRegistry.instance().decodeUri("gdal", layer.source())
    is_plain = not parts.get("layerName") and parts.get("path")
    return str(parts["path"]) if is_plain and not parts.get("vsiPrefix") else str(layer.source())


class _Dialog:
    """Tells the dialog of Processing what the command tells."""

    def __init__(self, feedback: Any) -> None:
        self._feedback = feedback
        self._task = ""

    def is_cancelled(self) -> bool:
        return bool(self._feedback.isCanceled())

    def tell(self, message: Message) -> None:
        if isinstance(message, Advance):
            if message.task != self._task:
                self._task = message.task
                self._feedback.setProgressText(message.task)
            self._feedback.setProgress(message.percent)
        elif isinstance(message, Note):
            is_bad = message.level in {"warning", "error", "critical"}
            push = self._feedback.pushWarning if is_bad else self._feedback.pushInfo
            push(message.text)


def _answer(outcome: Outcome) -> str:
    if outcome.was_cancelled:
        raise QgsProcessingException("geoseg was cancelled.")
    if outcome.exit_code != 0:
        code = outcome.exit_code
        raise QgsProcessingException(f"geoseg exited with {code}: {outcome.error}")
    return outcome.output
