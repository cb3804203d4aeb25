"""The polygons of a scene, with confidences straight from the network.

While a scene is predicted, how probable each pixel's class is goes into an unfinished raster of a
byte a pixel that lies beside the others. It outlives a kill as they do, so that a run that goes on
makes the polygons of an unbroken one; it is removed in the end, and never gets a name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.engine.confidence import NODATA
from geoseg.engine.products import PROBABILITY_SCALE
from geoseg.engine.scene_job import SceneJob
from geoseg.geo.class_rows import Block, ClassRows, ToldRows
from geoseg.geo.cog import BLOCK, RasterWriter
from geoseg.geo.legend import Legend
from geoseg.geo.outlining import Outlining
from geoseg.geo.polygon_columns import one_name, polygon_columns
from geoseg.geo.polygon_layer import PolygonLayer
from geoseg.geo.polygon_writer import writing_layer
from geoseg.geo.tracing import Fields
from geoseg.progress import Progress


class WrittenRows:
    """The class values of a raster that is being written, once all of it is.

    Args:
        writer: The raster.
    """

    def __init__(self, writer: RasterWriter) -> None:
        self._writer = writer

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self._writer.profile.grid.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return np.dtype(self._writer.profile.dtype)

    def blocks(self) -> Iterator[Block]:
        """All rows from the top down, each once.

        Raises:
            WorkError: If the file cannot be read.
        """
        height, width = self.shape
        for top in range(0, height, BLOCK):
            window = Window(0, top, width, min(BLOCK, height - top))
            yield top, self._writer.read(window)[0]


class Confidences:
    """What is averaged over polygons, from a raster of confidences that is being written.

    Args:
        writer: The raster, one band or (with the second class) two.
    """

    def __init__(self, writer: RasterWriter) -> None:
        self._writer = writer

    def __call__(self, top: int, values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Fields (bands, rows, width) of class values (rows, width) from row `top` on."""
        rows, width = values.shape
        return averaged(self._writer.read(Window(0, top, width, rows)))


def averaged(steps: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What is averaged over polygons.

    Args:
        steps: Confidences (1 or 2, rows, width) as `ConfidenceProduct` encodes them.

    Returns:
        Probabilities of the own class, and how far they are above the second (1 or 2, rows,
        width); NaN where there is none.
    """
    scaled = steps * np.float32(PROBABILITY_SCALE)
    if len(steps) > 1:
        scaled[1] = scaled[0] - scaled[1]
    scaled[steps == NODATA] = np.nan
    return scaled


class ScenePolygons:
    """Makes the polygons of a scene, and removes the raster of confidences in the end.

    Used in a `with` block: when it ends well the polygons get their name; when it does not, the
    confidences stay if there is something to be gone on with.

    Args:
        job: The scene.
        writers: Its rasters, filled during the block: the classes first, and behind those that
            are published the confidences.
    """

    def __init__(self, job: SceneJob, writers: Sequence[RasterWriter]) -> None:
        self._job, self._writers = job, writers
        self._naming = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        polygons = self._job.targets.polygons
        try:
            self._naming.__exit__(kind, error, trace)
            if kind is None and polygons is not None:
                # They were made before the rasters; `finished_files` goes by what is younger.
                os.utime(polygons)
        except BaseException:
            self._end(keep=True)
            raise
        self._end(keep=kind is not None)

    def write(self, legend: Legend, *, margin: bool, progress: Progress) -> None:
        """Make the polygons of what has been written.

        Args:
            legend: The classes.
            margin: Whether the polygons tell the margin to the second class.
            progress: Where to report.

        Raises:
            WorkError: If they cannot be written.
        """
        classes, confidences = self._writers[0], self._writers[-1]
        assert classes.profile.nodata is not None
        rows = WrittenRows(classes)
        self._naming.enter_context(
            writing_polygons(
                self._job,
                rows,
                Confidences(confidences),
                replace(legend, ignore=int(classes.profile.nodata)),
                margin=margin,
                progress=progress,
            )
        )

    def _end(self, *, keep: bool) -> None:
        for writer in self._writers[len(self._job.targets.rasters) :]:
            writer.keep = writer.keep and keep
            writer.abort()


@contextmanager
def writing_polygons(
    job: SceneJob,
    rows: ClassRows,
    fields: Fields,
    legend: Legend,
    *,
    margin: bool,
    progress: Progress,
) -> Iterator[None]:
    """Make the polygons of a scene; they get their name when the block ends, if it ends well.

    Args:
        job: The scene.
        rows: Its class values, with the legend's `ignore` where there is no data.
        fields: Its confidences.
        legend: The classes.
        margin: Whether the polygons tell the margin to the second class.
        progress: Where to report.

    Raises:
        WorkError: If they cannot be written.
    """
    path, grid = job.targets.polygons, job.own.grid
    assert path is not None
    layer = PolygonLayer(columns=polygon_columns(margin=margin), crs=grid.crs, legend=legend)
    name = Path(job.own.path).name
    with ExitStack() as stack:
        with progress.task(f"polygons of {name}", grid.height, "rows") as task:
            told = ToldRows(rows, task.advance)
            batches = Outlining(margin=margin).rows(told, grid, legend, one_name(name), fields)
            overwrite = path in job.replaceable
            stack.enter_context(writing_layer(path, batches, layer, overwrite=overwrite))
        yield
