"""The network of the sample data in every exported format, and a scene for it."""

import rasterio
from exact_networks import SAMPLES
from rasterio.windows import Window

from geoseg.export import ExportOptions, export

DEMO = SAMPLES / "demo.safetensors"
_NAMES = {"onnx": "demo.onnx", "openvino": "demo.xml", "torch": "demo.pt2"}


def export_demo(folder, *kinds):
    """What `export` tells of each format; each has a folder of its own."""
    made = {}
    for kind in kinds:
        (folder / kind).mkdir()
        made[kind] = export(DEMO, folder / kind / _NAMES[kind], ExportOptions(stac=True))
    return made


def write_part(path):
    """A part of a sample scene with ground without data, also in one band alone."""
    window = Window(600, 0, 424, 300)
    with rasterio.open(SAMPLES / "east.tif") as source:
        data = source.read(window=window)
        place = {"crs": source.crs, "transform": source.window_transform(window), "nodata": 0}
        named = source.descriptions
    data[1, 50:60, 40:90] = 0
    shape = {"count": 4, "height": 300, "width": 424, "dtype": "uint16"}
    with rasterio.open(path, "w", driver="GTiff", **shape, **place) as target:
        target.write(data)
        target.descriptions = named
    return path
