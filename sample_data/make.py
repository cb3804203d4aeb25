"""Make the sample data: two neighbouring made-up aerial scenes, their labels, a demo model.

Run from anywhere: `python sample_data/make.py` writes `west.tif`, `east.tif`, `labels.gpkg` and
`legend.toml` beside this file; `python sample_data/make.py --model` trains `demo.safetensors` on
the western scene with geoseg itself. The same seed gives the same pixels.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import numpy as np
import pyogrio
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import affinity
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

if TYPE_CHECKING:
    from geoseg.nn.bundle import ModelBundle

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from landscape.canvas import Canvas  # noqa: E402
from landscape.ground import paint_ground  # noqa: E402
from landscape.grow import crowns, grow  # noqa: E402
from landscape.light import Sun  # noqa: E402
from landscape.plan import HEIGHT, WIDTH, Plan, lay_roads, lay_water  # noqa: E402
from landscape.plants import paint_plants  # noqa: E402
from landscape.roofs import paint_buildings, paint_vehicles  # noqa: E402
from landscape.sensor import expose, illuminate, vignette  # noqa: E402
from landscape.settle import settle  # noqa: E402

SEED = 20240611
RESOLUTION = 0.5
"""Metres per pixel."""
SIDE = 1024
"""Pixels per side of a scene."""
CRS = "EPSG:32632"
CORNER = (683_200.0, 5_338_400.0)
"""Easting and northing of the land's north-west corner."""
SCENES = {"west": (0, 1.0), "east": (SIDE, 1.015)}
"""Name: first column in the land, gain of the exposure."""
WEDGE = Polygon([(WIDTH, 96), (WIDTH, HEIGHT), (WIDTH - 58, HEIGHT)])
"""What the flight strip misses at the eastern end of the land."""
LEGEND = """\
# The classes of the sample scenes; `from` lists the values of the labels' field `kind`.
ignore = 255

[[classes]]
value = 0
name = "background"
color = "#e9e4d4"

[[classes]]
value = 1
name = "building"
color = "#cf4a4a"
from = ["house", "apartments", "hall", "shed"]

[[classes]]
value = 2
name = "road"
color = "#6b6f7b"
from = ["road", "track"]

[[classes]]
value = 3
name = "trees"
color = "#3f8f4f"
from = ["tree", "hedge", "wood"]

[[classes]]
value = 4
name = "water"
color = "#3b7fc4"
from = ["river", "pond"]
"""

logger = logging.getLogger("sample_data")


def make_plan(seed: int = SEED) -> Plan:
    """Lay out the land."""
    rng = np.random.default_rng(seed)
    plan = Plan()
    lay_roads(plan)
    lay_water(plan, rng)
    settle(plan, rng)
    grow(plan, rng)
    return plan


def photograph(plan: Plan, seed: int = SEED) -> NDArray[np.float32]:
    """Paint the land and photograph it: digital numbers (4, height, width)."""
    rng = np.random.default_rng(seed + 1)
    canvas = Canvas(WIDTH, HEIGHT, rng)
    paint_ground(canvas, plan, rng)
    paint_buildings(canvas, plan, rng)
    paint_vehicles(canvas, plan)
    paint_plants(canvas, plan, rng)
    return expose(illuminate(canvas, Sun()), rng)


def write_scenes(land: NDArray[np.float32], folder: Path) -> None:
    """Cut the land in two scenes and write them as tiled GeoTIFF."""
    covered = rasterize([WEDGE], land.shape[1:], fill=1, default_value=0,
                        transform=Affine.scale(RESOLUTION), dtype="uint8")  # fmt: skip
    for name, (first, gain) in SCENES.items():
        window = slice(first, first + SIDE)
        pixels = land[:, :, window] * vignette((SIDE, SIDE), gain)
        data = np.clip(np.rint(pixels), 1, 4095).astype(np.uint16) * covered[:, window]
        _write(folder / f"{name}.tif", data, first)


def _write(path: Path, data: NDArray[np.uint16], first: int) -> None:
    transform = Affine(RESOLUTION, 0, CORNER[0] + first * RESOLUTION, 0, -RESOLUTION, CORNER[1])
    profile = {
        "driver": "GTiff", "width": SIDE, "height": SIDE, "count": 4, "dtype": "uint16",
        "crs": CRS, "transform": transform, "nodata": 0, "photometric": "minisblack",
        "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band",
        "compress": "deflate", "predictor": 2, "zlevel": 9,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as scene:
        scene.write(data)
        scene.descriptions = ("red", "green", "blue", "nir")
    logger.info("%s: %.1f MB", path.name, path.stat().st_size / 1e6)


def label_shapes(plan: Plan) -> dict[str, BaseGeometry]:
    """What the labels show, seen from above: crowns hide roads, roads hide water."""
    trees, hedges = crowns(plan, "tree"), crowns(plan, "hedge")
    wood = _closed(crowns(plan, "wood"))
    roofs = {
        kind: unary_union([b.shape for b in plan.buildings if b.kind == kind])
        for kind in ("hall", "apartments", "house", "shed")
    }
    tracks = unary_union([road.shape for road in plan.roads if road.rank == "track"])
    order = roofs | {"wood": wood, "tree": trees, "hedge": hedges, "road": plan.carriageway}
    order |= {"track": tracks}
    above = unary_union(plan.bridges)
    shapes: dict[str, BaseGeometry] = {}
    hidden: BaseGeometry = Polygon()
    for kind, shape in order.items():
        shapes[kind] = shape.difference(hidden)
        hidden = hidden.union(shape)
    hidden = hidden.union(above)
    shapes["river"] = plan.river.difference(hidden)
    shapes["pond"] = unary_union(plan.ponds).difference(hidden)
    return shapes


def _closed(shape: BaseGeometry) -> BaseGeometry:
    """The wood without the gaps between crowns that only show dark undergrowth."""
    grown = shape.buffer(1.2).buffer(-1.2)
    parts = [part for part in getattr(grown, "geoms", [grown]) if isinstance(part, Polygon)]
    return unary_union([
        Polygon(part.exterior, [hole for hole in part.interiors if Polygon(hole).area > 15])
        for part in parts
    ])  # fmt: skip


def write_labels(plan: Plan, folder: Path) -> None:
    """Write the outlines, in longitude and latitude, with the field `kind`."""
    left, top = CORNER
    kinds, polygons = [], []
    for kind, shape in label_shapes(plan).items():
        on_earth = affinity.affine_transform(shape.simplify(0.03), [1, 0, 0, -1, left, top])
        for part in getattr(on_earth, "geoms", [on_earth]):
            if isinstance(part, Polygon) and part.area > 0.2:
                kinds.append(kind)
                polygons.append(MultiPolygon([part]))
    frame = gpd.GeoDataFrame({"kind": kinds}, geometry=polygons, crs=CRS).to_crs("EPSG:4326")
    path = folder / "labels.gpkg"
    path.unlink(missing_ok=True)
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2024-06-11T10:00:00.000Z"})
    frame.to_file(path, layer="labels", driver="GPKG", engine="pyogrio")
    logger.info("%s: %d polygons, %.1f MB", path.name, len(frame), path.stat().st_size / 1e6)


def make_data(folder: Path) -> None:
    """Write the scenes, the labels and the legend."""
    plan = make_plan()
    write_scenes(photograph(plan), folder)
    write_labels(plan, folder)
    (folder / "legend.toml").write_text(LEGEND, encoding="utf-8")


def make_model(folder: Path) -> None:
    """Train `demo.safetensors` on the western scene, and tell how it does on the eastern."""
    from geoseg.evaluate import EvaluateOptions, evaluate
    from geoseg.geo.labels import LabelOptions
    from geoseg.nn.bundle import ModelBundle
    from geoseg.nn.config import load_config
    from geoseg.predict import PredictOptions, predict
    from geoseg.progress import Progress
    from geoseg.tile import TileOptions, tile
    from geoseg.train import train

    labels, legend = str(folder / "labels.gpkg"), folder / "legend.toml"
    kind, progress = LabelOptions(field="kind"), Progress("auto")
    bundle = folder / "demo.safetensors"
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        chosen = TileOptions(size=192, stride=64, block=256, split=(0.8, 0.2, 0.0), labels=kind)
        tile([str(folder / "west.tif")], labels, work / "tiles", chosen, legend=legend)
        tiles = json.dumps([str(work / "tiles")])
        config = load_config(HERE / "train.toml", [f"data.tiles={tiles}"])
        result = train(config, work / "run", progress=progress)
        trained = ModelBundle.open(result.bundle)
        _without_paths(trained).save(bundle, overwrite=True)
        predict(folder / "east.tif", bundle, work / "classes.tif", PredictOptions(blend="hann"))
        options = EvaluateOptions(labels=kind, legend=legend)
        report = evaluate([work / "classes.tif"], labels, options=options)
    logger.info("%s: %.1f MB\n%s", bundle.name, bundle.stat().st_size / 1e6, report.to_text())


def _without_paths(bundle: ModelBundle) -> ModelBundle:
    """The bundle without the folders of the machine it was trained on."""
    provenance = copy.deepcopy(bundle.card.provenance)
    provenance["config"]["data"]["tiles"] = ["tiles"]
    provenance["data"]["sources"] = ["west.tif"]
    provenance["licence"] = "MIT"
    card = bundle.card.model_copy(update={"provenance": provenance})
    return replace(bundle, card=card)


def main() -> None:
    """Read the command line and make what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="store_true", help="train demo.safetensors")
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder to write to")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.model:
        make_model(options.output)
    else:
        make_data(options.output)


if __name__ == "__main__":
    main()
