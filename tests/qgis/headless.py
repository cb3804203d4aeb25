"""Run by QGIS's own Python: an algorithm whose results are loaded, or one that is cancelled."""

import json
import os
import sys
import time

from processing.core.Processing import Processing
from processing.gui.Postprocessing import handleAlgorithmResults
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsSettings,
)
from qgis.PyQt.QtWidgets import QMenu

from geoseg_qgis import classFactory
from geoseg_qgis.algorithm import GeosegAlgorithm


class Feedback(QgsProcessingFeedback):
    """Notes what it is told; cancels as soon as something is done, if that is wanted."""

    def __init__(self, cancel):
        super().__init__(False)
        self.cancel_early, self.steps, self.warnings = cancel, [], []
        self.progressChanged.connect(self.note)

    def note(self, percent):
        self.steps.append(percent)
        if self.cancel_early and percent >= 100:
            self.cancel()

    def pushWarning(self, text):  # noqa: N802 - QGIS's
        self.warnings.append(text)


def look(layer):
    """How a layer is drawn."""
    renderer = layer.renderer()
    if renderer.type() == "paletted":
        entries = [(each.value, each.label, each.color.name()) for each in renderer.classes()]
    elif renderer.type() == "categorizedSymbol":
        entries = [
            (each.value(), each.label(), each.symbol().color().name())
            for each in renderer.categories()
        ]
    else:
        entries = []
    return {"type": renderer.type(), "entries": entries}


def run(algorithm, parameters, load=(), cancel=False, setting=None, styled=True):
    """Run an algorithm and load some of its outputs, as the dialog does."""
    if setting is not None:
        QgsSettings().setValue("geoseg/executable", setting)
    if not styled:
        GeosegAlgorithm.style = lambda *_: None
    project = QgsProject.instance()
    context = QgsProcessingContext()
    context.setProject(project)
    feedback = Feedback(cancel)
    for name in load:
        parameters[name] = QgsProcessingOutputLayerDefinition(parameters[name], project)
    found = QgsApplication.processingRegistry().createAlgorithmById(f"geoseg:{algorithm}")
    started = time.monotonic()
    try:
        results, _ = found.run(parameters, context, feedback, {}, False)
        error = None
    except Exception as raised:  # noqa: BLE001 - told
        results, error = {}, str(raised)
    seconds = time.monotonic() - started
    if error is None and load:
        handleAlgorithmResults(found, context, feedback, False)
    layers = {layer.source(): look(layer) for layer in project.mapLayers().values()}
    return {
        "results": results,
        "error": error,
        "layers": layers,
        "steps": feedback.steps,
        "warnings": feedback.warnings,
        "seconds": seconds,
    }


def open_all(paths):
    """How QGIS shows files that are dragged into it: their looks, and a value of each raster."""
    found = {}
    for path in paths:
        layer = QgsRasterLayer(path, "raster", "gdal")
        assert layer.isValid(), path
        block = layer.dataProvider().block(1, layer.extent(), layer.width(), layer.height())
        found[path] = look(layer) | {
            "size": [layer.height(), layer.width()],
            "bands": [layer.bandName(band + 1) for band in range(layer.bandCount())],
            "corner": block.value(layer.height() - 1, layer.width() - 1),
            "hole": bool(block.isNoData(0, 0)),
        }
    return found


class Window:
    """Stands for the window of QGIS."""

    def __init__(self):
        self.menu = QMenu()

    def pluginMenu(self):  # noqa: N802 - QGIS's
        return self.menu

    def mainWindow(self):  # noqa: N802 - QGIS's
        return None


def visit():
    """What the plugin adds to QGIS's window, and what is left of it when it is unloaded."""
    window = Window()
    guest = classFactory(window)
    texts = []
    for step in (guest.initGui, guest.unload):
        step()
        texts.append([action.text() for action in window.menu.actions()])
    return texts


if __name__ == "__main__":
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], True)
    application.initQgis()
    Processing.initialize()
    job = json.loads(sys.argv[1])
    if job.get("visit"):
        answer = visit()
    else:
        plugin = classFactory(None)
        plugin.initProcessing()
        answer = open_all(job["open"]) if "open" in job else run(**job)
    print("ANSWER", json.dumps(answer, default=str), flush=True)
    os._exit(0)  # QGIS may crash while its Python ends
