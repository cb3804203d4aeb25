"""Rasters as QGIS shows them when they are opened: names, colours, values."""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.engine.products import ClassProduct, ProbabilityProduct
from geoseg.geo.cog import RasterWriter
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.mosaic_vrt import write_mosaic
from geoseg.geo.style import raster_attribute_xml, raster_qml

FEW = Legend.from_dict(
    {
        "classes": [
            {"value": 0, "name": "background", "color": "#101010"},
            {"value": 3, "name": "é & <b>", "color": "#dc1e1e"},
        ]
    }
)
MANY = Legend.from_dict({"classes": [{"value": v, "name": f"kind {v}"} for v in range(300)]})


def grid(col=0):
    place = Affine(2, 0, 5e5, 0, -2, 5e6) @ Affine.translation(col, 0)
    return Grid(height=40, width=50, transform=place, crs=CRS.from_epsg(32632))


def write_classes(path, legend, value, col=0):
    profile = ClassProduct(legend).profile(grid(col), {}, {})
    values = np.full((1, 40, 50), value, profile.dtype)
    values[:, :20] = profile.nodata
    with RasterWriter(path, profile) as writer:
        writer.write(values, profile.grid.window)
        writer.sidecars[".aux.xml"] = raster_attribute_xml(legend)
        writer.sidecars[".qml"] = raster_qml(legend)
    return path


def entries(legend):
    colors = ["#{:02x}{:02x}{:02x}".format(*rgb) for rgb in legend.colors]
    return [list(each) for each in zip(legend.values, legend.names, colors, strict=True)]


@pytest.mark.parametrize("legend", [FEW, MANY], ids=["few", "many"])
def test_class_rasters_and_mosaics_come_with_names_and_colours(qgis, tmp_path, legend):
    value = legend.values[-1]
    single = write_classes(tmp_path / "single.tif", legend, value)
    other = write_classes(tmp_path / "other.tif", legend, value, col=50)
    mosaic = tmp_path / "all.vrt"
    write_mosaic(mosaic, [single, other], legend)
    found = qgis.script(open=[str(single), str(mosaic)])
    for path, width in ((single, 50), (mosaic, 100)):
        shown = found[str(path)]
        assert (shown["type"], shown["entries"]) == ("paletted", entries(legend))
        assert (shown["size"], shown["bands"]) == ([40, width], ["Band 1: class"])
        assert (shown["corner"], shown["hole"]) == (value, True)


def test_probabilities_are_shares(qgis, tmp_path):
    profile = ProbabilityProduct(FEW).profile(grid(), {}, {})
    values = np.full((2, 40, 50), 150, "uint8")
    values[:, :20] = 255
    with RasterWriter(tmp_path / "p.tif", profile) as writer:
        writer.write(values, profile.grid.window)
    shown = qgis.script(open=[str(tmp_path / "p.tif")])[str(tmp_path / "p.tif")]
    assert shown["corner"] == pytest.approx(0.75)
    assert shown["hole"]
    assert shown["bands"] == ["Band 1: background", "Band 2: é & <b>"]
