"""One scene predicted: cut into parts, run on every device, written, and gone on with."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rasterio.windows import Window

from geoseg.engine.choose import Choice
from geoseg.engine.crew import Crew, describe
from geoseg.engine.ensemble import Ensemble
from geoseg.engine.fetch import Fetched, fetch
from geoseg.engine.journal import Journal
from geoseg.engine.memory import block_cache, panel_need
from geoseg.engine.options import PredictOptions
from geoseg.engine.panels import Need
from geoseg.engine.parts import Part, plan_parts, restore_parts
from geoseg.engine.pipeline import Group, Member, ScoreRows, predict_windows
from geoseg.engine.resample import RowResampler
from geoseg.engine.resized import predict_resized, resample_rows
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_polygons import ScenePolygons, Take
from geoseg.engine.scene_products import products_of
from geoseg.engine.settings import mark_of, tags_of
from geoseg.engine.sink import Sink
from geoseg.engine.symmetry import SYMMETRIES
from geoseg.engine.timings import Report, Run, Timings
from geoseg.engine.unfinished import (
    JournalEnd,
    has_remains,
    identity_of,
    read_journal,
    reopen,
    start_journal,
)
from geoseg.geo.cog import RasterProfile, RasterWriter, publish_together
from geoseg.geo.gdal import limit_block_cache
from geoseg.geo.remote import file_name
from geoseg.geo.style import raster_attribute_xml, raster_qml
from geoseg.progress import Progress, Task

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a scene."""

    pixels: dict[int, int]
    """Pixels of each class value."""

    windows: int
    """Windows that went through a network."""

    skipped: int
    """Windows without any valid pixel."""

    runtime: str
    """Of each bundle."""

    timings: Report | None
    """Where the time went, if asked for."""


class SceneRun:
    """Predicts one scene.

    Args:
        job: The scene and its outputs.
        ensemble: The bundles.
        crew: The devices.
        options: How scenes are predicted.
        timings: Told how long each stage takes.
    """

    def __init__(
        self,
        job: SceneJob,
        ensemble: Ensemble,
        crew: Crew,
        options: PredictOptions,
        timings: Timings | None = None,
    ) -> None:
        self._job, self._ensemble, self._options = job, ensemble, options
        self._timings = timings or Timings()
        self._products = products_of(job, ensemble, options)
        with self._timings.measure("setup"):
            self._journal = read_journal(job) if options.resume else None
            if options.resume and self._journal is None and has_remains(job):
                _warn(job, "is of other settings or of an older scene")
            try:
                self.choices = self._choose(crew)
                self.teams = crew.teams(self.choices, job.views, job.hide)
                self._base_memory = crew.base_memory
            except BaseException:
                if self._journal is not None:
                    self._journal.close()
                raise

    @property
    def runtime(self) -> str:
        """Run-times of all bundles, for people."""
        return "; ".join(dict.fromkeys(str(choice) for choice in self.choices))

    @property
    def profiles(self) -> list[RasterProfile]:
        """The rasters that are written."""
        job, options = self._job, self._options
        mark = mark_of(job.settings)
        tags = tags_of(job.views, self._ensemble, options, self.runtime, mark)
        creation_options = dict(options.creation_options)
        return [product.profile(job.own.grid, tags, creation_options) for product in self._products]

    @property
    def window_seconds(self) -> float | None:
        """Seconds of the bare forward pass of a window, on average over the networks."""
        total, windows = 0.0, 0
        for choice, view in zip(self.choices, self._job.views.views, strict=True):
            if choice.window_seconds is None:
                return None
            total += view.layout.count * choice.window_seconds
            windows += view.layout.count
        return total / windows

    def plan(self) -> list[Part]:
        """Cut the scene into parts.

        Raises:
            ConfigError: If the memory does not suffice for the narrowest one.
        """
        return plan_parts(self._job, self.teams, self._need(), self._options.max_memory)

    @property
    def bytes_per_pixel(self) -> int:
        """Of all rasters before compression."""
        published = self.profiles[: len(self._job.targets.rasters)]
        return sum(each.count * np.dtype(each.dtype).itemsize for each in published)

    def memory(self, parts: Sequence[Part]) -> int:
        """Bytes that the process will take with the scene cut so."""
        return self._need().of(_widest(parts))

    def _need(self) -> Need:
        """Bytes for a panel, with all that is in memory already."""
        job = self._job
        scene, polygons = job.views.scene, job.targets.polygons is not None
        need = panel_need(scene, job.own, self.teams[0], self.profiles, polygons=polygons)
        return replace(need, fixed=need.fixed + self._base_memory)

    def run(self, progress: Progress) -> Outcome:
        """Predict the scene and publish its rasters.

        Raises:
            SceneError: If the scene cannot be read.
            ConfigError: If the memory does not suffice for the narrowest panel.
            WorkError: If the work itself fails.
        """
        job, timings, legend = self._job, self._timings, self._ensemble.legend
        with ExitStack() as stack:
            with timings.measure("setup"):
                writers, journal, parts = self._open(stack)
                take = self._begin_polygons(parts, progress)
            limit_block_cache(block_cache(job.own, _widest(parts)))
            before = sum(_finished_pixels(part) for part in parts)
            done = sum(sum(part.counts.windows) for part in parts)
            total = sum(part.rows[1] - part.rows[0] for part in parts)
            sink = Sink(
                writers,
                [product.nodata for product in self._products],
                parts,
                classes=legend.values,
                journal=journal,
                timings=timings,
                take=take,
            )
            stack.callback(sink.end)
            with progress.task(file_name(job.own.path), total, "rows") as task, sink:
                self._run_parts(parts, sink, task)
            found = {
                value: sum(part.pixels.get(value, 0) for part in parts) for value in legend.values
            }
            assert all(part.is_done for part in parts)
            writers[0].sidecars[".aux.xml"] = raster_attribute_xml(legend, found)
            writers[0].sidecars[".qml"] = raster_qml(legend)
            with timings.measure("finish"):
                self._polygons.finish(progress)
                stack.close()
        height, width = job.own.grid.shape
        return self._outcome(parts, found, height * width - before, done)

    def product_rows(
        self,
    ) -> Iterator[tuple[Window, list[npt.NDArray[Any]], npt.NDArray[np.bool_]]]:
        """Predict the scene by one device, and write nothing.

        GDAL's cache is left as it is: other work of the process has a use for it.

        Yields:
            Finished rows of each part from top to bottom: where they lie on the scene's own grid,
            the values (bands, rows, width) of each raster that would be written, the classes
            first, and where they are valid (rows, width).

        Raises:
            SceneError: If the scene cannot be read.
            WorkError: If the work itself fails.
        """
        for part in self.plan():
            row, (left, right) = part.rows[0], part.cols
            for _, scores, valid in self._score_rows(self.teams[0], part):
                values = [fetch(product.encode(scores)).array() for product in self._products]
                yield Window(left, row, right - left, len(valid)), values, valid
                row += len(valid)

    def _choose(self, crew: Crew) -> list[Choice]:
        """The run-times of the unfinished run, if there is one, or the best."""
        job, options = self._job, self._options
        # Measuring warms the run-times: only then their memory is known.
        measure = options.timings or options.max_memory is not None
        if self._journal is not None:
            runtimes = self._journal.identity.get("runtimes")
            choices = crew.restore(runtimes, job.views, job.hide, measure=measure)
            if choices is not None:
                return choices
        return crew.choose(job.views, job.hide, measure=measure)

    def _open(self, stack: ExitStack) -> tuple[list[RasterWriter], Journal, list[Part]]:
        """Open the outputs: those of an unfinished run with its parts, or new ones."""
        job = self._job
        if self._journal is not None:
            parts = restore_parts(self._journal, job, self.teams[0])
            if parts is not None and self._fits(parts):
                begun = reopen(job, self.profiles, self._journal)
                if begun is not None:
                    self._end(stack, self._journal).extend(begun)
                    return begun, self._journal, parts
            self._journal.close()
            _warn(job, "is damaged, or takes more than --max-memory")
        parts = self.plan()
        identity = identity_of(job) | {
            "runtimes": describe(self.choices),
            "parts": [[*part.rows, *part.cols] for part in parts],
        }
        journal = start_journal(job, identity)
        writers = self._end(stack, journal)
        for path, profile in zip(job.targets.written, self.profiles, strict=True):
            overwrite = path in job.replaceable
            writers.append(RasterWriter(path, profile, overwrite=overwrite, lasting=True))
        return writers, journal, parts

    def _end(self, stack: ExitStack, journal: Journal) -> list[RasterWriter]:
        """What is to be done in the end; the list is to be filled with the rasters begun.

        First the rasters get their names, then the polygons; only then what a killed run would
        need for going on is removed.
        """
        stack.push(JournalEnd(journal, self._job))
        writers: list[RasterWriter] = []
        self._polygons = stack.enter_context(
            ScenePolygons(self._job, writers, self._ensemble.legend, margin=self._options.margin)
        )
        stack.enter_context(publish_together(writers, len(self._job.targets.rasters)))
        return writers

    def _begin_polygons(self, parts: Sequence[Part], progress: Progress) -> Take | None:
        """What takes finished rows: if they come in order, and no scene or memory is waited for."""
        is_late = len(parts) > 1 or self._options.max_memory or self._options.cluster
        return None if is_late else self._polygons.begin(parts[0].row, progress)

    def _fits(self, parts: Sequence[Part]) -> bool:
        """Whether parts of an earlier run keep within the memory that this one may take."""
        return self._options.max_memory is None or _widest(parts) <= _widest(self.plan())

    def _run_parts(self, parts: Sequence[Part], sink: Sink, task: Task) -> None:
        """Hand the parts to the devices."""
        for part in parts:
            task.advance(part.row - part.rows[0])
        left = [place for place, part in enumerate(parts) if not part.is_done]
        stopped = threading.Event()

        def work(team: int) -> None:
            groups = self.teams[team]
            with _current(groups[0][0].backend.device):
                for place in left[team :: len(self.teams)]:
                    for arrays, valid in self._encoded_rows(groups, parts[place]):
                        sink.put(place, arrays, valid)
                        task.advance(len(valid))
                        if stopped.is_set():
                            return

        if len(self.teams) == 1:
            work(0)
            return
        with ThreadPoolExecutor(len(self.teams), thread_name_prefix="geoseg-device") as pool:
            try:
                for future in as_completed(
                    pool.submit(work, team) for team in range(len(self.teams))
                ):
                    future.result()
            finally:
                stopped.set()

    def _encoded_rows(
        self, groups: Sequence[Group], part: Part
    ) -> Iterator[tuple[list[Fetched], npt.NDArray[np.bool_]]]:
        """Values of each raster, and where they are valid, of the rows that are left of a part."""
        for _, scores, valid in self._score_rows(groups, part):
            with self._timings.measure("encode"):
                seen = scores if valid.any() else scores[:, :1, :1]  # which tells the types
                arrays = [fetch(product.encode(seen)) for product in self._products]
            yield arrays, valid

    def _score_rows(self, groups: Sequence[Group], part: Part) -> Iterator[ScoreRows]:
        """Finished rows of scores on the scene's own grid."""
        job, rows = self._job, (part.row, part.rows[1])
        scene, own = job.views.scene, job.own
        if self._options.mode == "resize":
            part.counts.windows = [1] * len(part.counts.windows)
            return predict_resized(own, groups, rows=rows, hide=job.hide, timings=self._timings)
        if scene.grid.matches(own.grid):
            cropped = _crop(groups, rows, part.cols)
            return predict_windows(
                scene, cropped, hide=job.hide, counts=part.counts, timings=self._timings
            )
        resampler = RowResampler(scene.grid.shape, own.grid.shape, rows, part.cols)
        scored = predict_windows(
            scene,
            _crop(groups, resampler.source_rows, resampler.source_cols),
            hide=job.hide,
            counts=part.counts,
            timings=self._timings,
        )
        return resample_rows(scored, resampler, own, job.hide, self._timings, part.cols)

    def _outcome(
        self, parts: Sequence[Part], found: dict[int, int], fresh: int, before: int
    ) -> Outcome:
        """What came of it; `fresh` pixels are of this run, `before` windows of an earlier one."""
        windows = sum(sum(part.counts.windows) for part in parts)
        skipped = sum(sum(part.counts.skipped) for part in parts)
        report = None
        if self._options.timings:
            seconds = self.window_seconds
            rounds = len(SYMMETRIES[self._options.tta])
            report = self._timings.report(
                Run(
                    scene=self._job.own.path,
                    runtime=self.runtime,
                    windows=windows - before,
                    skipped=skipped,
                    pixels=fresh,
                    window_seconds=None if seconds is None else seconds * rounds,
                    devices=len(self.teams),
                )
            )
        return Outcome(
            pixels=found,
            windows=windows,
            skipped=skipped,
            runtime=self.runtime,
            timings=report,
        )


def _widest(parts: Sequence[Part]) -> int:
    return max(part.cols[1] - part.cols[0] for part in parts)


def _warn(job: SceneJob, problem: str) -> None:
    logger.warning(
        "%s: what is left of an earlier run %s; begins anew", job.targets.classes, problem
    )


def _current(device: torch.device) -> AbstractContextManager[object]:
    """A context in which a GPU is that of this thread."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _crop(
    groups: Sequence[Group], rows: tuple[int, int], cols: tuple[int, int]
) -> list[list[Member]]:
    """The networks with those windows only that touch some rows and columns."""
    return [
        [replace(member, layout=member.layout.crop(rows, cols)) for member in group]
        for group in groups
    ]


def _finished_pixels(part: Part) -> int:
    return (part.row - part.rows[0]) * (part.cols[1] - part.cols[0])
