"""The polygons of a scene, with confidences straight from the network.

Where the rows of a scene come in order they are traced as they come. They do not where the scene
is cut into parts, and it may not be where memory is counted; then polygons are made in the end.

While a scene is predicted, how probable each pixel's class is goes into an unfinished raster of a
byte a pixel that lies beside the others. It outlives a kill as they do, so that a run that goes on
makes the polygons of an unbroken one; it is removed in the end, and never gets a name. A run that
is not broken does not read it where rows come in order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from geoseg.engine.confidence import averaged
from geoseg.engine.live_polygons import LivePolygons
from geoseg.engine.live_rows import LiveRows
from geoseg.engine.scene_job import SceneJob
from geoseg.geo.class_rows import Block, ClassRows, ToldRows
from geoseg.geo.cog import BLOCK, RasterWriter
from geoseg.geo.legend import Legend
from geoseg.geo.remote import file_name
from geoseg.progress import Progress

if TYPE_CHECKING:
    from geoseg.geo.tracing import Fields

Take = Callable[[npt.NDArray[Any], npt.NDArray[np.uint8]], None]
"""Of class values (rows, width) and confidences (1 or 2, rows, width): takes the next rows."""


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


class ScenePolygons:
    """Makes the polygons of a scene, if wanted, and removes the raster of confidences in the end.

    Used in a `with` block: when it ends well the polygons get their name; when it does not, the
    confidences stay if there is something to be gone on with.

    Args:
        job: The scene.
        writers: Its rasters, filled during the block: the classes first, and behind those that
            are published the confidences.
        legend: The classes.
        margin: Whether the polygons tell the margin to the second class.
    """

    def __init__(
        self, job: SceneJob, writers: Sequence[RasterWriter], legend: Legend, *, margin: bool
    ) -> None:
        self._job, self._writers = job, writers
        self._legend, self._margin = legend, margin
        self._naming = ExitStack()
        self._live: LivePolygons | None = None

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

    def begin(self, done: int, progress: Progress) -> Take | None:
        """Start to make polygons while the scene is predicted; its rows must come in order.

        Args:
            done: Rows that an earlier run has left in the rasters, which are read here.
            progress: Where to report on those.

        Returns:
            What takes the rows below, in order; None where no polygons are wanted.

        Raises:
            WorkError: If the rows cannot be read, or their polygons not be written.
        """
        if self._job.targets.polygons is None:
            return None
        classes, confidences = self._writers[0], self._writers[-1]
        width = classes.profile.grid.width
        rows = LiveRows(classes.profile.grid.shape, np.dtype(classes.profile.dtype))
        making = writing_polygons(
            self._job, rows, rows.fields, self._own_legend, margin=self._margin
        )
        self._live = self._naming.enter_context(LivePolygons(rows, making))
        if done > 0:
            with progress.task(f"polygons of {_name(self._job)}", done, "rows") as task:
                for top in range(0, done, BLOCK):
                    window = Window(0, top, width, min(BLOCK, done - top))
                    self._live.put(classes.read(window)[0], confidences.read(window))
                    task.advance(int(window.height))
        return self._live.put

    def finish(self, progress: Progress) -> None:
        """Wait for the polygons that were begun, or make those of what has been written.

        Args:
            progress: Where to report.

        Raises:
            WorkError: If they cannot be written.
        """
        if self._live is not None:
            self._live.finish()
            return
        if self._job.targets.polygons is None:
            return
        rows, fields = WrittenRows(self._writers[0]), Confidences(self._writers[-1])
        with progress.task(f"polygons of {_name(self._job)}", rows.shape[0], "rows") as task:
            told = ToldRows(rows, task.advance)
            self._naming.enter_context(
                writing_polygons(self._job, told, fields, self._own_legend, margin=self._margin)
            )

    @property
    def _own_legend(self) -> Legend:
        """The legend with what the class raster has where there is no data."""
        nodata = self._writers[0].profile.nodata
        assert nodata is not None
        return replace(self._legend, ignore=int(nodata))

    def _end(self, *, keep: bool) -> None:
        for writer in self._writers[len(self._job.targets.rasters) :]:
            writer.keep = writer.keep and keep
            writer.abort()


@contextmanager
def writing_polygons(
    job: SceneJob, rows: ClassRows, fields: Fields, legend: Legend, *, margin: bool
) -> Iterator[None]:
    """Make the polygons of a scene; they get their name when the block ends, if it ends well.

    Args:
        job: The scene.
        rows: Its class values, with the legend's `ignore` where there is no data.
        fields: Its confidences.
        legend: The classes.
        margin: Whether the polygons tell the margin to the second class.

    Raises:
        WorkError: If they cannot be written.
    """
    # What traces and writes takes half a second to import, for most runs in vain.
    from geoseg.geo.outlining import Outlining
    from geoseg.geo.polygon_columns import one_name, polygon_columns
    from geoseg.geo.polygon_layer import PolygonLayer
    from geoseg.geo.polygon_writer import writing_layer

    path, grid = job.targets.polygons, job.own.grid
    assert path is not None
    layer = PolygonLayer(columns=polygon_columns(margin=margin), crs=grid.crs, legend=legend)
    batches = Outlining(margin=margin).rows(rows, grid, legend, one_name(_name(job)), fields)
    with writing_layer(path, batches, layer, overwrite=path in job.replaceable):
        yield


def _name(job: SceneJob) -> str:
    return file_name(job.own.path)
