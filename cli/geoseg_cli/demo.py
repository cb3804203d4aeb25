"""`geoseg demo`: the whole path on the sample data."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geoseg.errors import InputError
from geoseg.progress import Progress
from geoseg_cli import options

if TYPE_CHECKING:
    from geoseg.reports.accuracy import Report

_NEEDED = ("west.tif", "east.tif", "labels.gpkg", "legend.toml", "train.toml")
_FIELD = "kind"
"""Attribute of the labels that tells the class."""


@click.command("demo")
@options.output("Folder to make.  [default: demo]", required=False)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The sample data.  [default: sample_data here or beside the source]",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=400,
    show_default=True,
    help="Steps of training.",
)
@options.messages
def command(
    output: Path | None, overwrite: bool, data: Path | None, steps: int, progress: Progress
) -> None:
    """Run the whole path on the sample data.

    Cuts the western scene into tiles, trains a small network on them, predicts the eastern
    scene, draws its polygons, compares it with the labels and ends with a picture. Takes one
    to three minutes on two processors.
    """
    from geoseg.geo.outputs import check_output_folder

    logger = logging.getLogger("geoseg")
    if logger.level == logging.INFO:
        logger.setLevel(logging.WARNING)  # each step tells its own line
    output = output or Path("demo")
    demo = _Demo(data=_find_data(data), output=output, progress=progress)
    check_output_folder(output, overwrite=overwrite, inputs=[demo.data])
    output.mkdir(parents=True, exist_ok=True)
    demo.tile()
    demo.train(steps)
    demo.predict()
    demo.vectorize()
    report = demo.evaluate()
    demo.draw(report)
    _tell_files(output)


@dataclass(frozen=True, kw_only=True)
class _Demo:
    """The steps, each one call of the library and a line on stdout."""

    data: Path
    """The sample data."""

    output: Path
    """The folder that is made."""

    progress: Progress
    """Where the jobs report."""

    begun: float = field(default_factory=time.monotonic)
    """When the demo began, seconds."""

    def tile(self) -> None:
        """Cut the western scene."""
        from geoseg.geo.labels import LabelOptions
        from geoseg.tile import TileOptions, tile

        chosen = TileOptions(
            size=192,
            stride=64,
            block=256,
            split=(0.8, 0.2, 0.0),
            labels=LabelOptions(field=_FIELD),
            overwrite=True,
        )
        with _step("tile") as tell:
            tiles = tile(
                [str(self.data / "west.tif")],
                str(self.data / "labels.gpkg"),
                self.output / "tiles",
                chosen,
                legend=self.data / "legend.toml",
                progress=self.progress,
            )
            shares = {split: len(tiles.split(split)) for split in ("train", "val")}
            tell(f"west.tif -> {shares['train']} tiles to learn from, {shares['val']} to validate")

    def train(self, steps: int) -> None:
        """Train on the tiles as `train.toml` says."""
        from geoseg.nn.config import load_config
        from geoseg.train import train

        with _step("train") as tell:
            tiles = json.dumps([str(self.output.absolute() / "tiles")], ensure_ascii=False)
            overrides = [f"data.tiles={tiles}", f"train.steps={steps}"]
            config = load_config(self.data / "train.toml", overrides)
            run = self.output / "run"
            result = train(config, run, overwrite=True, progress=self.progress)
            iou = result.metrics["val/mean_iou"]
            tell(f"{config.model.arch} in {steps} steps, mean IoU {iou:.3f} in validation")

    def predict(self) -> None:
        """Predict the eastern scene, which the network has never seen."""
        from geoseg.predict import PredictOptions, predict

        with _step("predict") as tell:
            (result,) = predict(
                self.data / "east.tif",
                self.output / "run" / "model.safetensors",
                self.output / "classes.tif",
                PredictOptions(
                    blend="hann",
                    probabilities=self.output / "probabilities.tif",
                    overwrite=True,
                ),
                progress=self.progress,
            )
            tell(f"east.tif -> classes.tif from {result.windows} windows")

    def vectorize(self) -> None:
        """Draw the polygons of all classes but the background."""
        from geoseg.geo.legend import Legend
        from geoseg.vectorize import VectorizeOptions, vectorize

        legend = Legend.open(self.data / "legend.toml")
        with _step("vectorize") as tell:
            result = vectorize(
                self.output / "classes.tif",
                self.output / "segments.gpkg",
                VectorizeOptions(
                    classes=tuple(entry.name for entry in legend.foreground),
                    min_area=6.0,
                    fill_holes=6.0,
                    simplify=0.5,
                    scene="east.tif",
                    overwrite=True,
                ),
                probabilities=self.output / "probabilities.tif",
                progress=self.progress,
            )
            each = ", ".join(f"{count} {name}" for name, count in result.counts.items())
            tell(f"classes.tif -> {result.polygons} polygons: {each}")

    def evaluate(self) -> Report:
        """Compare the class map with the labels."""
        from geoseg.evaluate import EvaluateOptions, evaluate
        from geoseg.geo.labels import LabelOptions

        with _step("evaluate") as tell:
            report = evaluate(
                [self.output / "classes.tif"],
                self.data / "labels.gpkg",
                self.output / "report",
                EvaluateOptions(
                    legend=self.data / "legend.toml",
                    labels=LabelOptions(field=_FIELD),
                    boundary=1.0,
                    objects=True,
                    probabilities=self.output / "probabilities.tif",
                    images=self.data / "east.tif",
                    overwrite=True,
                ),
                progress=self.progress,
            )
            trivial = report.trivial
            iou = ", ".join(f"{row['name']} {row['iou']:.2f}" for row in report.scores["classes"])
            tell(
                f"mean IoU {report.scores['mean_iou']:.3f} ({iou}); "
                f"{trivial['class']} everywhere: {trivial['mean_iou']:.3f}"
            )
        return report

    def draw(self, report: Report) -> None:
        """Draw scene, classes and polygons."""
        from geoseg.reports.preview import PreviewOptions, preview

        iou, seconds = report.scores["mean_iou"], time.monotonic() - self.begun
        with _step("preview") as tell:
            preview(
                [self.data / "east.tif", self.output / "classes.tif"],
                self.output / "preview.png",
                polygons=self.output / "segments.gpkg",
                options=PreviewOptions(title=f"geoseg demo: mean IoU {iou:.2f}"),
                overwrite=True,
            )
            tell(f"scene, classes and polygons in one picture; {seconds:.0f} s in all")


@contextmanager
def _step(name: str) -> Iterator[Callable[[str], None]]:
    """Time a step; gives the function that tells its result in one line."""
    begun = time.monotonic()

    def tell(text: str) -> None:
        click.echo(f"{name:<10}{time.monotonic() - begun:6.1f} s   {text}")

    yield tell


def _find_data(data: Path | None) -> Path:
    """The folder of the sample data.

    Raises:
        InputError: If it is not there, or not whole.
    """
    source = Path(__file__).resolve().parents[2] / "sample_data"
    places = [data] if data is not None else [Path("sample_data"), source]
    for place in places:
        if all((place / name).is_file() for name in _NEEDED):
            return place
    missing = next(name for name in _NEEDED if not (places[0] / name).is_file())
    raise InputError(
        places[0] / missing,
        "the sample data are not here",
        "Run in a source checkout of geoseg, or name its folder sample_data with --data",
    )


def _tell_files(output: Path) -> None:
    """Name the files to open."""
    files = {
        "classes.tif": "class map with names and colours (QGIS)",
        "segments.gpkg": "polygons with class, area and confidence (QGIS)",
        "report/report.html": "accuracy against the labels, where the map is wrong",
        "preview.png": "the picture",
        "run/model.safetensors": "the trained model, for geoseg predict -m",
    }
    click.echo("\nOpen:")
    for name, text in files.items():
        click.echo(f"  {output / name!s:<34} {text}")
