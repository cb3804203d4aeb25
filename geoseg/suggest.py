"""Job: where to label next, so that a model learns most from it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas
import numpy as np
import numpy.typing as npt
from pyproj import CRS, Transformer
from rasterio.windows import Window

from geoseg.engine.area import hide_outside
from geoseg.engine.crew import Crew
from geoseg.engine.ensemble import Ensemble, SceneViews
from geoseg.engine.options import PredictOptions
from geoseg.engine.scene_run import SceneRun
from geoseg.engine.survey import FIRST_CLASS, Survey, metres
from geoseg.engine.uncertainty import Measure
from geoseg.errors import ConfigError, SceneError
from geoseg.geo.choosing import Candidates, Choice, choose
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.geo.output_lock import writing
from geoseg.geo.outputs import check_output
from geoseg.geo.paths import find_scenes
from geoseg.geo.polygon_drivers import polygon_driver
from geoseg.geo.polygon_files import write_polygons
from geoseg.nn.open_model import open_model
from geoseg.progress import Progress

__all__ = ["Place", "SuggestOptions", "suggest"]

logger = logging.getLogger(__name__)

_LAYER = "places"


@dataclass(frozen=True, kw_only=True)
class SuggestOptions:
    """How many places, of what size, and what makes one of them worth labelling."""

    count: int = 20
    """Places that are chosen, at most."""

    size: float | None = None
    """Side of a place in metres (pixels without a CRS), the same in all scenes; None for the ground
    under the model's window in the first one."""

    measure: Measure = "entropy"
    """What counts as doubt; `margin` as its absence."""

    labelled: str | Path | None = None
    """Polygons of ground that is labelled already, such as the `index.gpkg` of a tile set."""

    min_valid: float = 0.5
    """Least share of a place with data."""

    predict: PredictOptions = field(default_factory=PredictOptions)
    """How the scenes are looked at; outputs named there are not written."""

    overwrite: bool = False
    """Whether an existing output may be replaced."""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError("--count", f"{self.count} is below 1", "Give 1 or more")
        if self.size is not None and not 0 < self.size < math.inf:
            raise ConfigError("--size", f"{self.size} is not above 0", "Give metres above 0")
        if not 0 <= self.min_valid <= 1:
            problem = f"{self.min_valid} is not within 0 to 1"
            raise ConfigError("--min-valid", problem, "Give such as 0.5")


@dataclass(frozen=True, kw_only=True)
class Place:
    """One place to label."""

    rank: int
    """From 1, the best first."""

    scene: str
    """Path of its scene."""

    scene_number: int
    """Its place among the scenes, from 0."""

    window: tuple[int, int, int, int]
    """First row, first column, height, width in that scene, pixels."""

    choice: Choice
    """Why it was chosen."""

    class_name: str
    """The class that the map shows on most of it."""


def suggest(
    scenes: str | Path | Sequence[str | Path],
    bundles: str | Path | Sequence[str | Path],
    output: str | Path,
    options: SuggestOptions | None = None,
    *,
    progress: Progress | None = None,
) -> list[Place]:
    """Rank places to label next, and write them as squares for a GIS.

    Each scene is predicted once, in the memory of a strip, and nothing but sums over places is
    kept: their mean uncertainty, and means and deviations of their bands. See
    `choosing.choose` for how they are ranked. Places lie half their side apart; those chosen do not
    overlap.

    Args:
        scenes: Files, globs, folders, URLs or `@list.txt`.
        bundles: A model, or several of the same classes.
        output: Polygon file (`.gpkg` for QGIS): layer `places` with `rank`, `score`, `doubt`,
            `strangeness`, `class_name`, `scene`, `row`, `col`, in the CRS of the first scene.
        options: What is chosen.
        progress: Where to tell how far it is.

    Returns:
        The places, best first.

    Raises:
        SceneError: If a scene cannot be read, or none has a place left to choose.
        BundleError: If a model cannot be read, or does not fit.
        LabelError: If the polygons cannot be read.
        ConfigError: If an option makes no sense.
        OutputError: If the output must not or cannot be written.
        WorkError: If the work itself fails.
    """
    options, progress = options or SuggestOptions(), progress or Progress()
    how = replace(
        options.predict,
        uncertainty="uncertainty.tif",
        measures=(options.measure,),
        probabilities=None,
        polygons=None,
        resume=False,
        timings=False,
    )
    names = [bundles] if isinstance(bundles, str | Path) else list(bundles)
    paths = find_scenes(
        [scenes] if isinstance(scenes, str | Path) else scenes,
        allow_remote=how.scene.allow_remote,
    )
    inputs = [path for path in (*paths, *names, how.aoi, options.labelled) if path]
    target = check_output(output, overwrite=options.overwrite, inputs=inputs)
    polygon_driver(target)
    with writing(target):
        ensemble = Ensemble([open_model(str(name)) for name in names], how)
        views = [ensemble.look_at(path) for path in paths]
        side = options.size or _window_side(views[0])
        surveys = [Survey.of(each, ensemble.legend, side, options.labelled) for each in views]
        crew = Crew(ensemble, how)
        hides = hide_outside(how.aoi, [survey.own for survey in surveys])
        for survey, hide in zip(surveys, hides, strict=True):
            run = SceneRun(survey.job(hide), ensemble, crew, how)
            survey.look(run, ensemble.legend, options.measure, progress)
        places = _choose(surveys, ensemble.legend, side, options)
        frame = _frame(places, [survey.own.grid for survey in surveys])
        write_polygons(target, frame, overwrite=options.overwrite, layer=_LAYER)
    return places


def _choose(
    surveys: Sequence[Survey], legend: Legend, side: float, options: SuggestOptions
) -> list[Place]:
    parts = [_candidates(number, survey, options) for number, survey in enumerate(surveys)]
    grids = [survey.own.grid for survey in surveys]
    candidates = Candidates(
        scene=np.concatenate([part.scene for part in parts]),
        corners=np.concatenate([part.corners for part in parts]),
        centres=np.concatenate(_plane(grids, [part.centres for part in parts])) / side,
        doubt=np.concatenate([part.doubt for part in parts]),
        looks=np.concatenate([part.looks for part in parts]),
        labelled=np.concatenate([part.labelled for part in parts]),
    )
    chosen = choose(candidates, options.count)
    if not chosen:
        raise SceneError(
            surveys[0].own.path,
            "has no place left to label",
            "Look at --labelled, --min-valid and --size",
        )
    if len(chosen) < options.count:
        logger.warning("only %d places are left that do not overlap", len(chosen))
    firsts = np.cumsum([0, *(len(part.scene) for part in parts)])
    places = []
    for rank, choice in enumerate(chosen, 1):
        number = int(candidates.scene[choice.index])
        survey = surveys[number]
        own = choice.index - int(firsts[number])
        places.append(
            Place(
                rank=rank,
                scene=survey.own.path,
                scene_number=number,
                window=survey.window(own),
                choice=choice,
                class_name=legend.names[survey.most(own)],
            )
        )
    return places


def _candidates(number: int, survey: Survey, options: SuggestOptions) -> Candidates:
    sums = survey.sums
    doubt, valid, labelled = (layer.ravel() for layer in sums.sums[:FIRST_CLASS])
    rows, cols = (axis.ravel() for axis in np.meshgrid(sums.rows, sums.cols, indexing="ij"))
    pixels = sums.height * sums.width
    enough = valid >= max(options.min_valid * pixels, 1)
    middles = np.stack([cols + sums.width / 2, rows + sums.height / 2], axis=1)
    return Candidates(
        scene=np.full(len(rows), number),
        corners=np.stack([rows / sums.height, cols / sums.width], axis=1),
        centres=middles,
        doubt=np.where(enough, doubt / pixels, 0),
        looks=survey.looks(),
        labelled=labelled / pixels,
    )


def _plane(
    grids: Sequence[Grid], positions: Sequence[npt.NDArray[np.float64]]
) -> list[npt.NDArray[np.float64]]:
    """Positions (n, 2) as column and row of each grid, in metres on one plane.

    Scenes without a CRS are taken to lie far from each other.
    """
    placed, middle = [], None
    for number, (grid, pixels) in enumerate(zip(grids, positions, strict=True)):
        if grid.crs is None:
            placed.append(pixels + np.array([number * _APART, 0]))
            continue
        t = grid.transform
        x = t.a * pixels[:, 0] + t.b * pixels[:, 1] + t.c
        y = t.d * pixels[:, 0] + t.e * pixels[:, 1] + t.f
        own = CRS.from_wkt(grid.crs.to_wkt())
        to_degrees = Transformer.from_crs(own, "EPSG:4326", always_xy=True)
        lon, lat = to_degrees.transform(x, y)
        middle = middle or (float(np.mean(lon)), float(np.mean(lat)))
        plane = CRS.from_dict({"proj": "aeqd", "lon_0": middle[0], "lat_0": middle[1]})
        found = Transformer.from_crs("EPSG:4326", plane, always_xy=True).transform(lon, lat)
        placed.append(np.stack(found, axis=1))
    return placed


_APART = 1e9
"""Pixels between scenes of which nobody knows where they lie."""


def _window_side(views: SceneViews) -> float:
    """Metres (pixels without a CRS) of ground under a window of the first model."""
    view = views.views[0]
    return view.layout.window * metres(views.scene.grid) / view.zoom


def _wkt(grid: Grid) -> str | None:
    return None if grid.crs is None else grid.crs.to_wkt()


def _frame(places: Sequence[Place], grids: Sequence[Grid]) -> geopandas.GeoDataFrame:
    """The squares in the CRS of the first grid."""
    shapes, crs = [], _wkt(grids[0])
    for place in places:
        grid = grids[place.scene_number]
        row, col, height, width = place.window
        footprint = grid.crop(Window(col, row, width, height)).footprint()
        shape = geopandas.GeoSeries([footprint], crs=_wkt(grid))
        shapes.append((shape if _wkt(grid) == crs else shape.to_crs(crs)).iloc[0])
    return geopandas.GeoDataFrame(
        {
            "rank": [place.rank for place in places],
            "score": [place.choice.score for place in places],
            "doubt": [place.choice.doubt for place in places],
            "strangeness": [place.choice.strangeness for place in places],
            "class_name": [place.class_name for place in places],
            "scene": [place.scene for place in places],
            "row": [place.window[0] for place in places],
            "col": [place.window[1] for place in places],
        },
        geometry=shapes,
        crs=crs,
    )
