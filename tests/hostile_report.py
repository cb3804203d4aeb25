"""A report of small maps whose classes, paths and tags are all that a page must not trust."""

import json

import numpy as np
import rasterio
from affine import Affine

from geoseg.evaluate import EvaluateOptions, evaluate
from geoseg.geo.legend import Legend, LegendClass

NAMES = (
    "background",
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "$\\frac$ & </title>",
)
LEGEND = Legend(
    classes=tuple(
        LegendClass(value=value, name=name, color=color)
        for (value, name), color in zip(
            enumerate(NAMES), ("#e8e4d4", "#d04a4a", "#409050", "#3a7ec4"), strict=True
        )
    )
)
FOLDER = "<b onclick=alert(3)>"
TAG = "</td><script src='https://example.com/x.js'></script>"
STEMS = ("a&b", "it's <i>", "c")
SHAPE = (90, 120)


def draw(seed, right):
    """Blocks of classes and a map that is right in such a share of its pixels."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice(np.uint8([0, 0, 1, 2, 3]), (SHAPE[0] // 10, SHAPE[1] // 10))
    reference = blocks.repeat(10, 0).repeat(10, 1)
    right = rng.random(SHAPE) < np.linspace(right, 1, SHAPE[1])
    prediction = np.where(right, reference, rng.choice(np.uint8([0, 1, 2]), SHAPE))
    prediction[:4] = 255
    reference[-3:] = 255
    return reference.astype(np.uint8), prediction.astype(np.uint8)


def write(path, data, **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = data if data.ndim == 3 else data[None]
    count, height, width = data.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=data.dtype,
        crs="EPSG:32632", transform=Affine(2, 0, 500000, 0, -2, 5400000),
        nodata=255 if data.dtype == "uint8" else None,
    ) as dataset:  # fmt: skip
        dataset.write(data)
        dataset.update_tags(**tags)


def make_report(root, *, images=True, stems=STEMS, **more):
    """Write maps, labels, images and probabilities below `root`, and the report of all.

    Returns:
        The folder of the report, what `report.json` holds, and (reference, prediction) of each.
    """
    root = root / FOLDER
    pairs = [draw(seed, 0.5 + 0.15 * seed) for seed in range(len(stems))]
    for place, (stem, (reference, prediction)) in enumerate(zip(stems, pairs, strict=True)):
        own = {"GEOSEG_SCENE": f"{stem}.tif", "GEOSEG_MODEL": TAG}
        write(root / "maps" / f"{stem}.tif", prediction, **own)
        write(root / "labels" / f"{stem}.tif", reference)
        rng = np.random.default_rng(place)
        image = rng.integers(0, 2000, (4, *SHAPE)).astype(np.uint16)
        write(root / "images" / f"{stem}.tif", image)
        shares = np.where(np.arange(4)[:, None, None] == prediction, 0.7, 0.1)
        shares[:, prediction == 255] = 0.25
        write(root / "probabilities" / f"{stem}.tif", shares.astype(np.float32))
    options = EvaluateOptions(
        legend=LEGEND,
        boundary=2,
        objects=True,
        area=True,
        probabilities=root / "probabilities",
        images=root / "images" if images else None,
        **more,
    )
    maps = [root / "maps" / f"{stem}.tif" for stem in stems]
    evaluate(maps, root / "labels", root / "report", options)
    return root / "report", json.loads((root / "report" / "report.json").read_text()), pairs
