"""Draw docs/images/qgis.png: maps and polygons in QGIS, made by its plugin, with their styles.

Run by the Python of QGIS, on a machine without a screen too:

    QT_QPA_PLATFORM=offscreen GEOSEG_EXE=.venv/bin/geoseg python3 docs/draw_qgis.py
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "cli"), "/usr/share/qgis/python/plugins"]

from processing.core.Processing import Processing  # noqa: E402
from processing.gui.Postprocessing import handleAlgorithmResults  # noqa: E402
from qgis.core import (  # noqa: E402
    QgsApplication,
    QgsLayoutExporter,
    QgsLayoutItemLabel,
    QgsLayoutItemLegend,
    QgsLayoutItemMap,
    QgsLayoutPoint,
    QgsLayoutSize,
    QgsMapLayerLegendUtils,
    QgsPrintLayout,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
)

from geoseg_qgis import classFactory  # noqa: E402 - the path was set for it

SAMPLES = ROOT / "sample_data"
SIDE, BESIDE = 105.0, 40.0
"""Of a map, and of the room for its legend, in millimetres."""


def main() -> int:
    """Predict, vectorise, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "docs/images/qgis.png")
    chosen = parser.parse_args()
    QgsApplication.setPrefixPath("/usr", True)
    application = QgsApplication([], True)
    application.initQgis()
    Processing.initialize()
    plugin = classFactory(None)
    plugin.initProcessing()
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), chosen.output)
    print(chosen.output, flush=True)
    os._exit(0)  # QGIS may crash while its Python ends


def draw(folder: Path, output: Path) -> None:
    """Make the layers in a folder, and the picture."""
    scene = shutil.copy(SAMPLES / "east.tif", folder)
    ground = QgsRasterLayer(scene, "east.tif")
    QgsProject.instance().addMapLayer(ground)
    model = str(SAMPLES / "demo.safetensors")
    classes, target = folder / "classes.tif", folder / "segments.gpkg"
    run("predict", "OUTPUT", str(classes), INPUT=scene, MODEL=model)
    lengths = {"MIN_AREA": 10, "FILL_HOLES": 10, "SIMPLIFY": 0.7}
    run("vectorize", "OUTPUT", str(target), INPUT=str(classes), **lengths)
    raster, polygons = layer_of(classes), layer_of(target)
    whole = ground.extent()
    left, top = whole.xMinimum(), whole.yMaximum()
    part = QgsRectangle(left + 215, top - 290, left + 325, top - 180)
    layout = QgsPrintLayout(QgsProject.instance())
    layout.initializeDefaults()
    page = layout.pageCollection().page(0)
    page.setPageSize(QgsLayoutSize(2 * (SIDE + BESIDE) + 5, SIDE + 15))
    panels = (
        ("classes.tif and its .qml, over the scene", [raster, ground], whole, raster),
        ("segments.gpkg and its layer_styles, over classes.tif", [polygons, raster, ground], part,
         polygons),
    )  # fmt: skip
    for number, (title, layers, extent, named) in enumerate(panels):
        add_panel(layout, 5 + number * (SIDE + BESIDE), title, layers, extent, named)
    settings = QgsLayoutExporter.ImageExportSettings()
    settings.dpi = 110
    result = QgsLayoutExporter(layout).exportToImage(str(output), settings)
    assert result == QgsLayoutExporter.ExportResult.Success, result


def run(algorithm: str, name: str, target: str, **parameters: Any) -> None:
    """Run an algorithm of the plugin, and load its result as the dialog does."""
    project = QgsProject.instance()
    context = QgsProcessingContext()
    context.setProject(project)
    feedback = QgsProcessingFeedback()
    found = QgsApplication.processingRegistry().createAlgorithmById(f"geoseg:{algorithm}")
    parameters[name] = QgsProcessingOutputLayerDefinition(target, project)
    _, is_done = found.run(parameters, context, feedback, {}, False)
    assert is_done
    handleAlgorithmResults(found, context, feedback, False)
    keep.append((context, feedback))


keep: list[Any] = []
"""What QGIS still points at."""


def layer_of(path: Path) -> Any:
    """The layer of the project that shows a file."""
    layers = QgsProject.instance().mapLayers().values()
    return next(layer for layer in layers if layer.source().startswith(str(path)))


def add_panel(
    layout: Any, left: float, title: str, layers: list[Any], extent: Any, named: Any
) -> None:
    """A map with its title above, and the legend of one layer beside it."""
    label = QgsLayoutItemLabel(layout)
    label.setText(title)
    label.attemptMove(QgsLayoutPoint(left, 2))
    label.attemptResize(QgsLayoutSize(SIDE, 6))
    layout.addLayoutItem(label)
    shown = QgsLayoutItemMap(layout)
    shown.attemptMove(QgsLayoutPoint(left, 9))
    shown.attemptResize(QgsLayoutSize(SIDE, SIDE))
    shown.setCrs(named.crs())
    shown.setLayers(layers)
    shown.setFrameEnabled(True)
    layout.addLayoutItem(shown)
    shown.setExtent(extent)
    legend = QgsLayoutItemLegend(layout)
    legend.setAutoUpdateModel(False)
    root = legend.model().rootGroup()
    root.removeAllChildren()
    entry = root.addLayer(named)
    if isinstance(named, QgsRasterLayer):  # the first entry of a raster's legend names its band
        classes = range(1, 1 + len(named.renderer().classes()))
        QgsMapLayerLegendUtils.setLegendNodeOrder(entry, list(classes))
        legend.model().refreshLayerLegend(entry)
    legend.attemptMove(QgsLayoutPoint(left + SIDE + 1, 9))
    layout.addLayoutItem(legend)


if __name__ == "__main__":
    sys.exit(main())
