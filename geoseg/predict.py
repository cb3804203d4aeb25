"""Predict scenes with a model bundle: class raster, probabilities, polygons."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geoseg import __version__
from geoseg.engine.area import hide_outside
from geoseg.engine.choose import BackendChooser, Choice
from geoseg.engine.layout import Layout
from geoseg.engine.options import PredictOptions, PredictResult
from geoseg.engine.pipeline import (
    Counts,
    Hide,
    ScoreRows,
    predict_resized,
    predict_windows,
    resample_rows,
    visible,
)
from geoseg.engine.products import ClassProduct, ProbabilityProduct, Product, Sink
from geoseg.engine.window_network import Units
from geoseg.errors import ConfigError, OutputError, SceneError
from geoseg.geo.cog import RasterWriter
from geoseg.geo.cog_options import check_options
from geoseg.geo.gdal import limit_block_cache
from geoseg.geo.outputs import check_output, check_output_folder, make_folders
from geoseg.geo.paths import find_scenes
from geoseg.geo.polygon_files import polygon_driver
from geoseg.geo.raster import Scene
from geoseg.geo.style import raster_attribute_xml, raster_qml
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.device import resolve_device, resolve_precision
from geoseg.progress import Progress
from geoseg.vectorize import VectorizeOptions, vectorize

__all__ = ["PredictOptions", "PredictResult", "predict"]

logger = logging.getLogger(__name__)

BLOCK_CACHE = 64 << 20
"""Bytes of GDAL's cache of decoded blocks: strips are read in order, each block once."""


def predict(
    scenes: str | Path | Sequence[str | Path],
    bundle: str | Path,
    output: str | Path,
    options: PredictOptions | None = None,
    *,
    progress: Progress | None = None,
) -> list[PredictResult]:
    """Predict scenes, each on its own grid.

    All inputs and outputs are checked before any work begins.

    Args:
        scenes: Files, globs, folders, URLs or `@list.txt`.
        bundle: A model bundle.
        output: The class raster; or a folder, as it must be for several scenes, which gets
            `<scene>.tif`. A name without suffix is taken for a folder.
        options: How to predict.
        progress: Where to report.

    Returns:
        One result a scene, in order.

    Raises:
        SceneError: If a scene cannot be read.
        BundleError: If the bundle cannot be read, or does not fit a scene.
        ConfigError: If an option makes no sense.
        OutputError: If an output must not or cannot be written.
        WorkError: If the work itself fails.
    """
    options, progress = options or PredictOptions(), progress or Progress()
    limit_block_cache(BLOCK_CACHE)
    model = ModelBundle.open(str(bundle))
    paths = find_scenes([scenes] if isinstance(scenes, str | Path) else scenes)
    jobs = _plan(paths, model, output, options)
    chooser = BackendChooser(
        model,
        backend=options.backend,
        device=options.device,
        precision=options.precision,
        batch_size=options.batch_size,
    )
    with make_folders(path for job in jobs for path in job.files):
        return [
            _predict_scene(job, model, _choose(chooser, job, options), options, progress)
            for job in jobs
        ]


@dataclass(frozen=True, kw_only=True)
class _Job:
    scene: Scene
    """As the network sees it."""
    own: Scene
    """On the file's own grid, which is that of the outputs."""
    units: Units
    """What its values mean."""
    layout: Layout
    hide: Hide = visible
    """Tells the pixels that are to be predicted."""
    classes: Path
    probabilities: Path | None
    polygons: Path | None

    @property
    def files(self) -> list[Path]:
        """All that will be written."""
        return [path for path in (self.classes, self.probabilities, self.polygons) if path]


def _plan(
    paths: Sequence[str], model: ModelBundle, output: str | Path, options: PredictOptions
) -> list[_Job]:
    """Look at every scene and every output before the first is predicted."""
    window, stride = _window_and_stride(model, options)
    if options.batch_size is not None and options.batch_size < 1:
        raise ConfigError("--batch-size", f"{options.batch_size} is below 1", "Give 1 or more")
    if options.scale is not None and not 0 < options.scale < math.inf:
        raise ConfigError("--scale", f"{options.scale} is not above 0", "Give such as 0.0001")
    resolve_precision(options.precision, resolve_device(options.device))
    check_options(dict(options.creation_options), holds_classes=True)
    excluded = {model.legend.class_of(name).value for name in options.exclude}
    if len(excluded) == model.legend.count:
        raise ConfigError("--exclude", "names all classes of the model", "Leave one out")
    many = len(paths) > 1
    jobs = []
    for path in paths:
        scene = _open_scene(path, model, options)
        files = [
            _output_path(target, path, suffix, many=many)
            for target, suffix in (
                (output, ".tif"),
                (options.probabilities, ".tif"),
                (options.polygons, ".gpkg"),
            )
        ]
        own = Scene.open(path, replace(scene.options, resolution=None))
        layout = Layout.of(scene.grid.shape, window, stride, options.blend)
        jobs.append(
            _Job(
                scene=scene,
                own=own,
                units=_units(scene, options),
                layout=layout,
                classes=files[0] or Path(output),
                probabilities=files[1],
                polygons=files[2],
            )
        )
    inputs = [*paths, model.path, options.aoi]
    _check_outputs(jobs, [path for path in inputs if path], options)
    hides = hide_outside(options.aoi, [job.own for job in jobs])
    return [replace(job, hide=hide) for job, hide in zip(jobs, hides, strict=True)]


def _window_and_stride(model: ModelBundle, options: PredictOptions) -> tuple[int, int]:
    window = options.window if options.window is not None else model.card.window
    if options.stride is not None:
        return window, options.stride
    return window, model.card.stride if options.window is None else max(window // 2, 1)


def _open_scene(path: str, model: ModelBundle, options: PredictOptions) -> Scene:
    """Open a scene with the bundle's bands in the bundle's order."""
    chosen = options.scene.bands is not None
    scene = Scene.open(path, options.scene)
    if scene.is_paletted and model.card.spec.in_channels > 1:
        raise SceneError(
            path, "is paletted, the model wants bands", "Give --expand-palette to read its colours"
        )
    model.check(
        scene,
        bands_given=chosen,
        resolution_given=options.scene.resolution is not None,
        scale=options.scale,
    )
    bands = model.match_bands(scene, bands_given=chosen)
    if bands != scene.bands:
        scene = Scene.open(path, replace(options.scene, bands=bands))
    return scene


def _units(scene: Scene, options: PredictOptions) -> Units:
    return Units(
        nodata=scene.nodata,
        factor=1.0 if options.scale is None else options.scale,
        is_float=np.dtype(scene.dtype).kind == "f",
    )


def _choose(chooser: BackendChooser, job: _Job, options: PredictOptions) -> Choice:
    if options.mode == "resize":
        return chooser.eager(job.scene, job.units, job.layout)
    return chooser.choose(job.scene, job.units, job.layout, job.hide)


def _output_path(target: str | Path | None, scene: str, suffix: str, *, many: bool) -> Path | None:
    """The file of one scene: `target` itself, or in it where that is a folder or has no suffix."""
    if target is None:
        return None
    path = Path(target).expanduser()
    is_folder = os.path.isdir(path)
    if many or is_folder or not path.suffix:
        if path.suffix and not is_folder:
            raise OutputError(path, "is one file, several scenes are given", "Name a folder")
        if not is_folder:
            check_output_folder(path)
        return path / f"{Path(scene).stem}{suffix}"
    if not path.parent.is_dir():
        check_output(path)
    return path


def _check_outputs(
    jobs: Sequence[_Job], inputs: Sequence[str | Path], options: PredictOptions
) -> None:
    seen: dict[Path, str] = {}
    for job in jobs:
        if job.polygons is not None:
            polygon_driver(job.polygons)
        for path in filter(None, (job.classes, job.probabilities)):
            if path.suffix.lower() not in {".tif", ".tiff"}:
                problem = f'rasters cannot be written as "{path.suffix}"'
                raise OutputError(path, problem, "Name it .tif")
        for path in job.files:
            if path.parent.is_dir():
                check_output(path, overwrite=options.overwrite, inputs=inputs)
            if path.absolute() in seen:
                raise OutputError(
                    path,
                    f"would be written twice, for {seen[path.absolute()]} and {job.scene.path}",
                    "Name the outputs apart, or give scenes of unlike names",
                )
            seen[path.absolute()] = job.scene.path


def _predict_scene(
    job: _Job,
    model: ModelBundle,
    choice: Choice,
    options: PredictOptions,
    progress: Progress,
) -> PredictResult:
    legend, grid = model.legend, job.own.grid
    excluded = [legend.classes.index(legend.class_of(name)) for name in options.exclude]
    outputs: list[tuple[Path, Product]] = [(job.classes, ClassProduct(legend, excluded))]
    if job.probabilities is not None:
        outputs.append((job.probabilities, ProbabilityProduct(legend, options.prob_dtype)))
    products = [product for _, product in outputs]
    counts, pixels = Counts(), np.zeros(65536, dtype=np.int64)
    tags, creation_options = _tags(job, model, choice, options), dict(options.creation_options)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                RasterWriter(
                    path,
                    product.profile(grid, tags, creation_options),
                    overwrite=options.overwrite,
                )
            )
            for path, product in outputs
        ]
        sink = stack.enter_context(Sink(writers, [product.nodata for product in products]))
        task = stack.enter_context(progress.task(Path(job.scene.path).name, grid.height, "rows"))
        for _, scores, valid in _score_rows(job, choice, options, counts):
            arrays = [product.encode(scores) for product in products]
            pixels += np.bincount(arrays[0][0][valid], minlength=len(pixels))
            sink.put(arrays, valid)
            task.advance(valid.shape[0])
        found = {entry.value: int(pixels[entry.value]) for entry in legend.classes}
        writers[0].sidecars[".aux.xml"] = raster_attribute_xml(legend, found)
        writers[0].sidecars[".qml"] = raster_qml(legend)
    if job.polygons is not None:
        vectorize(
            job.classes,
            job.polygons,
            VectorizeOptions(scene=Path(job.scene.path).name, overwrite=options.overwrite),
            probabilities=job.probabilities,
            progress=progress,
        )
    return PredictResult(
        scene=job.scene.path,
        classes=job.classes,
        probabilities=job.probabilities,
        polygons=job.polygons,
        pixels={entry.name: found[entry.value] for entry in legend.classes},
        nodata_pixels=grid.height * grid.width - sum(found.values()),
        windows=counts.windows,
        skipped=counts.skipped,
        runtime=str(choice),
    )


def _score_rows(
    job: _Job, choice: Choice, options: PredictOptions, counts: Counts
) -> Iterator[ScoreRows]:
    """Finished rows of scores on the scene's own grid."""
    if options.mode == "resize":
        counts.windows = 1
        return predict_resized(job.own, choice.backend, job.layout.window, hide=job.hide)
    rows = predict_windows(
        job.scene,
        choice.backend,
        job.layout,
        batch_size=choice.batch_size,
        hide=job.hide,
        counts=counts,
    )
    if job.scene.grid.matches(job.own.grid):
        return rows
    bare = ((first, scores) for first, scores, _ in rows)
    return resample_rows(bare, job.scene.grid.shape, job.own, job.hide)


def _tags(job: _Job, model: ModelBundle, choice: Choice, options: PredictOptions) -> dict[str, str]:
    """Provenance in the default domain: a COG keeps no other."""
    resized = options.mode == "resize"
    return {
        "TIFFTAG_SOFTWARE": f"geoseg {__version__}",
        "GEOSEG_VERSION": __version__,
        "GEOSEG_MODEL": model.card.name or Path(model.path).name,
        "GEOSEG_MODEL_SHA256": model.sha256,
        "GEOSEG_SCENE": Path(job.scene.path).name,
        "GEOSEG_WINDOW": str(job.layout.window),
        "GEOSEG_STRIDE": "resize" if resized else str(job.layout.stride),
        "GEOSEG_BLEND": "none" if resized else options.blend,
        "GEOSEG_RUNTIME": str(choice),
    }
