"""Whole scenes predicted by a network that is being trained, and counted against their labels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from geoseg.engine.backends import TorchBackend
from geoseg.engine.choose import Choice
from geoseg.engine.crew import Crew
from geoseg.engine.ensemble import Ensemble, SceneViews
from geoseg.engine.options import PredictOptions
from geoseg.engine.pipeline import visible
from geoseg.engine.resized import is_seen_whole
from geoseg.engine.scene_job import SceneJob
from geoseg.engine.scene_run import SceneRun
from geoseg.engine.strips import Hide
from geoseg.engine.targets import Targets
from geoseg.geo.comparing import Comparer, Comparison
from geoseg.geo.label_sets import open_all
from geoseg.geo.labels import LabelOptions, Labels, find_labels
from geoseg.geo.paths import find_scenes
from geoseg.geo.raster import Raster, Scene, SceneOptions
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.config import TrainConfig
from geoseg.nn.config_tables import DataConfig, ValidateConfig
from geoseg.nn.device import Precision
from geoseg.nn.models import SegmentationModel
from geoseg.nn.option_keys import keys_for_options

logger = logging.getLogger(__name__)

_CPU_BATCH, _GPU_BATCH = 2, 16


class SceneValidation:
    """Predicts scenes as `geoseg predict` does, and counts as `geoseg evaluate` does.

    By PyTorch alone, for what takes long to compile would be made anew for the weights of each
    epoch; and without a file: rows are counted as soon as they are finished.

    Args:
        config: Names the scenes, their labels, and the windows.
        card: Of the bundle that training will make.
        network: As it is before training; scenes are checked with it.
        device: Where the network is trained.
        precision: With what numbers.

    Raises:
        InputError: If a scene or labels cannot be read, or do not fit the network or each other.
    """

    def __init__(
        self,
        config: TrainConfig,
        card: ModelCard,
        network: SegmentationModel,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self._card = card
        self._precision: Precision = precision
        with keys_for_options("validate"):
            options = _options(config, device, precision)
            is_whole = is_seen_whole(options, [card])
            self._options = replace(options, mode="resize" if is_whole else "stride")
            ensemble = self._ensemble(network)
            self.scenes = tuple(find_scenes(config.validation.scenes))
            self._views = [ensemble.look_at(path) for path in self.scenes]
            self._own = [_own(views) for views in self._views]
            self._labels = _open_labels(config, self.scenes, ensemble)
            for scene, labels in zip(self._own, self._labels, strict=True):
                Comparer(scene.path, scene.grid, labels, ensemble.legend)  # refuses what is apart

    @property
    def labels(self) -> tuple[str, ...]:
        """The path of each scene's labels."""
        return tuple(each.path for each in self._labels)

    def compare(
        self, network: SegmentationModel, place: int, beat: Callable[[], None]
    ) -> Comparison:
        """Predict a scene, and count its pixels against its labels.

        Args:
            network: As it is now; a copy of it predicts.
            place: Which scene.
            beat: Called after some rows; what it raises ends the work.

        Raises:
            SceneError: If the scene cannot be read.
            LabelError: If the labels cannot be read.
            WorkError: If the network gives what is no number.
        """
        own, ensemble = self._own[place], self._ensemble(network)
        crew = _EagerCrew(ensemble, self._options, self._precision)
        run = SceneRun(_job(self._views[place], own), ensemble, crew, self._options)
        comparer = Comparer(own.path, own.grid, self._labels[place], ensemble.legend)
        for window, (values,), valid in run.product_rows():
            comparer.count(Raster(data=values, valid=valid, grid=own.grid.crop(window)))
            beat()
        return comparer.result()

    def _ensemble(self, network: SegmentationModel) -> Ensemble:
        return Ensemble([ModelBundle.of(network, self._card)], self._options)


class _EagerCrew(Crew):
    """Takes PyTorch with the numbers of training, without comparing it with anything.

    On a GPU it does without graphs, whose memory training would miss.

    Args:
        ensemble: The network.
        options: How scenes are predicted.
        precision: Numbers of the forward pass.
    """

    def __init__(self, ensemble: Ensemble, options: PredictOptions, precision: Precision) -> None:
        super().__init__(ensemble, options)
        self._bundles = ensemble.bundles
        self._precision: Precision = precision

    def choose(self, views: SceneViews, hide: Hide, *, measure: bool) -> list[Choice]:
        """PyTorch as it comes."""
        del hide, measure
        device = self.devices[0]
        return [
            Choice(
                backend=TorchBackend(bundle, views.units, device, self._precision),
                name="torch",
                precision=self._precision,
                batch_size=_CPU_BATCH if device.type == "cpu" else _GPU_BATCH,
                window=view.layout.window,
            )
            for bundle, view in zip(self._bundles, views.views, strict=True)
        ]


def warn_if_learnt(scenes: Sequence[str], learnt: Sequence[str]) -> None:
    """Log a warning for scenes that are trained on as well: their figures promise too much.

    Args:
        scenes: Those that are validated whole.
        learnt: Those that training samples come from.
    """
    known = {_identity(path) for path in learnt}
    for path in scenes:
        if _identity(path) in known:
            logger.warning(
                "%s: is trained on too; its figures val/scene/... show ground that is known", path
            )


def _identity(path: str) -> str:
    return str(Path(path).expanduser().resolve())


def _options(config: TrainConfig, device: torch.device, precision: Precision) -> PredictOptions:
    table, data = config.validation, config.data
    return PredictOptions(
        window=table.window,
        stride=table.stride,
        blend=table.blend,
        scene=SceneOptions(
            bands=table.bands or None,
            resolution=table.resolution or data.resolution,
            assume_crs=table.assume_crs or data.assume_crs,
            npy_axes=data.npy_axes,
        ),
        scale=table.scale,
        device=f"cuda:{device.index or 0}" if device.type == "cuda" else "cpu",
        backend="torch",
        precision=precision,
    )


def _open_labels(config: TrainConfig, scenes: Sequence[str], ensemble: Ensemble) -> list[Labels]:
    paths = find_labels(config.validation.labels, scenes)
    options = _label_options(config.validation, config.data)
    by_path = open_all(paths, ensemble.legend, options)
    for labels in by_path.values():
        labels.check()  # all unknown values are told before any work
    return [by_path[path] for path in paths]


def _label_options(table: ValidateConfig, data: DataConfig) -> LabelOptions:
    return LabelOptions(
        field=table.label_field or data.label_field,
        layer=table.label_layer or data.label_layer,
        extent=table.label_extent or data.label_extent,
        buffer=table.label_buffer or data.label_buffer,
        assume_crs=table.assume_crs or data.assume_crs,
    )


def _own(views: SceneViews) -> Scene:
    """A scene on the grid of its file, which is that of the classes."""
    return Scene.open(views.scene.path, replace(views.scene.options, resolution=None))


def _job(views: SceneViews, own: Scene) -> SceneJob:
    """What is to be predicted; nothing is written, so that no target is ever made."""
    return SceneJob(
        views=views,
        own=own,
        hide=visible,
        targets=Targets(classes=Path("classes.tif"), probabilities=None, polygons=None),
        settings={},
        replaceable=frozenset(),
    )
