"""What losses and class weights do to a real pair: the roofs of Banepa, by what they are made of.

Usage: python tests/benchmarks/bench_losses.py [--steps 250] [--only NAME,.. | --all] [--json FILE]

GEOSEG_TEST_DATA names the folder of real scenes. The scene `vhr_banepa/train/banepa_core.tif` is
cut into tiles with the materials that OpenStreetMap tells of its roofs; some of the ground, in
blocks, validates. Ground is most of it and tiles of clay are rare. Roofs of unknown material are
`ignore`. U-Net with ResNet-18 learns from its first random weights, by `geoseg.train`: the same
seed, tiles, order, crops, augmentation and steps in each run. Prints a row a run as a Markdown
table. With --json each row is also appended to a file as it is ready, and runs that stand there
are not run again, so it can be made in pieces.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import geopandas
import shapely

from geoseg.geo.labels import LabelOptions
from geoseg.geo.raster import Scene
from geoseg.nn.config import TrainConfig, parse_config
from geoseg.tile import TileOptions, tile
from geoseg.train import train

PAIR = "vhr_banepa/train/banepa_core"
RESOLUTION = 0.5
SIDE, STRIDE = 128, 64
FIELD = "roof:material"
CLASSES = ("ground", "concrete", "tin", "clay")
LEGEND = """
[[classes]]
value = 0
name = "ground"
color = "#000000"
[[classes]]
value = 1
name = "concrete"
color = "#a0a0a0"
from = ["concrete", "concerte"]
[[classes]]
value = 2
name = "tin"
color = "#4080ff"
from = ["tin", "metal"]
[[classes]]
value = 3
name = "clay"
color = "#e06030"
from = ["clay_tiles"]
"""

Terms = list[dict[str, Any]]
_CROSS_ENTROPY: Terms = [{"name": "cross_entropy"}]
FIVE_LOSSES: dict[str, Terms] = {
    "cross_entropy": _CROSS_ENTROPY,
    "cross_entropy + dice": [{"name": "cross_entropy"}, {"name": "dice"}],
    "focal": [{"name": "focal"}],
    "lovasz": [{"name": "lovasz"}],
    "tversky": [{"name": "tversky"}],
}
OTHER_LOSSES: dict[str, Terms] = {
    "dice": [{"name": "dice"}],
    "generalised_dice": [{"name": "generalised_dice"}],
    "focal_tversky": [{"name": "focal_tversky"}],
    "jaccard": [{"name": "jaccard"}],
    "ohem": [{"name": "ohem"}],
    "boundary_cross_entropy": [{"name": "boundary_cross_entropy"}],
    "binary_cross_entropy": [{"name": "binary_cross_entropy"}],
    "smoothed cross_entropy": [{"name": "cross_entropy", "label_smoothing": 0.1}],
}
WEIGHTINGS = ("inverse", "inverse_sqrt", "inverse_log", "effective_number", "median_frequency")
RUNS: dict[str, tuple[Terms, str]] = {
    **{name: (terms, "none") for name, terms in FIVE_LOSSES.items()},
    **{method: (_CROSS_ENTROPY, method) for method in WEIGHTINGS},
    **{name: (terms, "none") for name, terms in OTHER_LOSSES.items()},
}
TEN = [*FIVE_LOSSES, *WEIGHTINGS]
"""Those that are run where none are named; weightings are of the cross-entropy."""


def make_tiles(data: Path, folder: Path) -> Path:
    """Cut the pair into tiles, with `ignore` where the material of a roof is unknown."""
    scene, labels = data / f"{PAIR}.tif", data / f"{PAIR}_buildings.geojson"
    opened = Scene.open(str(scene))
    roofs = geopandas.read_file(labels).to_crs(opened.grid.crs)
    ground = shapely.box(*opened.grid.bounds)
    known = ground.difference(roofs[roofs[FIELD].isna()].union_all().buffer(0))
    extent, named = folder / "extent.gpkg", folder / "roofs.gpkg"
    geopandas.GeoDataFrame(geometry=[known], crs=roofs.crs).explode().to_file(extent)
    roofs[roofs[FIELD].notna()].to_file(named)
    (folder / "legend.toml").write_text(LEGEND, encoding="utf-8")
    options = TileOptions(
        size=SIDE,
        stride=STRIDE,
        split=(0.75, 0.25, 0.0),
        seed=2,
        resolution=RESOLUTION,
        labels=LabelOptions(field=FIELD, extent=str(extent)),
        jobs=1,
    )
    tile([str(scene)], str(named), folder / "tiles", options, legend=folder / "legend.toml")
    return folder / "tiles"


def configure(tiles: Path, name: str, *, steps: int, precision: str) -> TrainConfig:
    """A run of one epoch, so that validation comes once, at the end."""
    terms, class_weights = RUNS[name]
    batch = 4
    return parse_config(
        {
            "seed": 1,
            "data": {"tiles": [str(tiles)], "crop": SIDE, "samples": steps * batch},
            "model": {"arch": "unet", "encoder": "resnet18"},
            "loss": {"terms": terms, "class_weights": class_weights},
            "train": {"steps": steps, "batch_size": batch, "workers": 0, "precision": precision},
        }
    )


def run(config: TrainConfig, name: str, folder: Path) -> dict[str, Any]:
    """Train once; the row of the table."""
    start = time.perf_counter()
    metrics = train(config, folder, overwrite=True).metrics
    return {
        "run": name,
        "steps": config.train.steps,
        "mean_iou": metrics["val/mean_iou"],
        **{name: metrics[f"val/iou/{name}"] for name in CLASSES},
        "pixel_accuracy": metrics["val/pixel_accuracy"],
        "seconds": round(time.perf_counter() - start),
    }


def as_markdown(rows: list[dict[str, Any]]) -> str:
    """The table, in percent."""
    figures = ("mean_iou", *CLASSES, "pixel_accuracy")
    heads = ("loss", "class weights", "mean IoU", *CLASSES, "pixel accuracy")
    lines = ["| " + " | ".join(heads) + " |", "|---|---|" + "---:|" * len(figures)]
    for row in rows:
        weights = RUNS[row["run"]][1]
        loss = row["run"] if weights == "none" else "cross_entropy"
        values = (f"{100 * row[key]:.1f}" for key in figures)
        lines.append(f"| {loss} | {weights} | " + " | ".join(values) + " |")
    return "\n".join(lines)


def read_rows(path: Path | None, steps: int) -> dict[str, dict[str, Any]]:
    """Rows of earlier runs of as many steps, by name."""
    if path is None or not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["run"]: row for row in rows if row["steps"] == steps}


def main() -> None:
    """Run what is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=250)
    parser.add_argument("--only", default=",".join(TEN), help="names with commas between")
    parser.add_argument("--all", action="store_true", help="all losses, not five")
    parser.add_argument("--json", type=Path, help="rows are kept here")
    parser.add_argument("--precision", default="fp32")
    arguments = parser.parse_args()
    logging.getLogger("geoseg").setLevel(logging.WARNING)
    names = [*RUNS] if arguments.all else arguments.only.split(",")
    unknown = [name for name in names if name not in RUNS]
    if unknown:
        parser.error(f"no runs are {', '.join(unknown)}; there are {', '.join(RUNS)}")
    rows = read_rows(arguments.json, arguments.steps)
    missing = [name for name in names if name not in rows]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if missing:
            tiles = make_tiles(Path(os.environ["GEOSEG_TEST_DATA"]), folder)
        for name in missing:
            config = configure(tiles, name, steps=arguments.steps, precision=arguments.precision)
            rows[name] = run(config, name, folder / "run")
            if arguments.json is not None:
                with arguments.json.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[name]) + "\n")
    print(as_markdown([rows[name] for name in names]))


if __name__ == "__main__":
    main()
