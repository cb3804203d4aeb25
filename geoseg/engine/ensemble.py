"""The bundles that predict a scene together, and all that each of them wants of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from geoseg.engine.choose import BackendChooser, Choice
from geoseg.engine.exported_chooser import Chooser, ExportedChooser
from geoseg.engine.layout import Layout
from geoseg.engine.options import PredictOptions
from geoseg.engine.pipeline import Group, Member
from geoseg.engine.runtimes import Job
from geoseg.engine.strips import Hide
from geoseg.engine.symmetry import SYMMETRIES, SymmetricBackend
from geoseg.engine.uncertainty import MEASURES, EntropyBackend
from geoseg.engine.window_network import Units
from geoseg.errors import BundleError, ConfigError, SceneError
from geoseg.geo.legend import Legend
from geoseg.geo.raster import Scene
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.exported_model import ExportedModel

_SCALES = (0.1, 10.0)
"""The smallest and the largest scale that are taken for no slip of the pen."""


@dataclass(frozen=True, kw_only=True)
class View:
    """A scene as one bundle sees it."""

    scene: Scene
    """With the bundle's bands, in its order."""

    channels: tuple[int, ...] | None
    """Their places among the bands that are read for all bundles; None where these are they."""

    layout: Layout
    """Windows at the scale 1."""

    zoom: float = 1.0
    """Size at which the bundle sees the scene, in sizes of the scene; times every scale."""


@dataclass(frozen=True, kw_only=True)
class SceneViews:
    """A scene as the bundles see it; it is read once for all of them."""

    scene: Scene
    """With the bands that any bundle wants."""

    units: Units
    """What its values mean."""

    views: tuple[View, ...]
    """One a bundle."""

    def jobs(self, hide: Hide) -> list[Job]:
        """What run-times are wanted for, one a bundle.

        Args:
            hide: What of the scene is to be predicted.
        """
        return [
            Job(scene=view.scene, units=self.units, layout=view.layout, hide=hide)
            for view in self.views
        ]

    def cost(self, options: PredictOptions) -> int:
        """Forward passes of one window, over all bundles, scales and symmetries."""
        symmetries = len(SYMMETRIES[options.tta])
        if options.mode == "resize":
            return symmetries * len(self.views)
        return symmetries * sum(
            scaled_layout(view.layout, self.scene.grid.shape, scale * view.zoom, options).count
            for view in self.views
            for scale in options.scales
        )


class Ensemble:
    """One or more bundles with the same classes.

    Args:
        bundles: The trained networks.
        options: How scenes are predicted.

    Raises:
        BundleError: If their legends differ.
        ConfigError: If an option makes no sense.
    """

    def __init__(self, bundles: Sequence[ModelBundle], options: PredictOptions) -> None:
        self.bundles = bundles
        self.legend = _common_legend(bundles)
        self._options = options
        _check_options(options)
        _check_windows(bundles, options)

    @property
    def name(self) -> str:
        """Names of the models; of a nameless one that of its file, not where it lies."""
        return ", ".join(bundle.card.name or Path(bundle.path).name for bundle in self.bundles)

    @property
    def is_exclusive(self) -> bool:
        """Whether scores add up to 1 over the classes."""
        activations = {bundle.card.activation for bundle in self.bundles}
        return self._options.combine == "vote" or "sigmoid" not in activations

    @property
    def _wants_each_look(self) -> bool:
        """Whether the entropies of single windows are averaged beside the scores."""
        options = self._options
        is_measured = options.uncertainty is not None and "disagreement" in options.measures
        return is_measured and options.combine == "mean"

    @property
    def sha256(self) -> str:
        """Hashes of the bundles' files."""
        return ", ".join(bundle.sha256 for bundle in self.bundles)

    def look_at(self, path: str) -> SceneViews:
        """Open a scene, and check that every bundle can make something of it.

        Raises:
            SceneError: If it cannot be read, or is paletted where bands are wanted.
            BundleError: If it does not fit a bundle.
        """
        scene = Scene.open(path, self._options.scene)
        bands = [self._bands(scene, bundle) for bundle in self.bundles]
        wanted = bands[0] if len(set(bands)) == 1 else tuple(sorted(set().union(*bands)))
        is_float = np.dtype(scene.dtype).kind == "f"
        units = Units(
            # NaN equals nothing; floats are looked through for it in any case.
            nodata=None if is_float and np.isnan(scene.nodata or 0) else scene.nodata,
            factor=1.0 if self._options.scale is None else self._options.scale,
            is_float=is_float,
        )
        views = tuple(
            View(
                scene=self._with_bands(scene, own),
                channels=None if own == wanted else tuple(wanted.index(band) for band in own),
                layout=self._layout(scene, bundle),
                zoom=self._zoom(scene, bundle),
            )
            for bundle, own in zip(self.bundles, bands, strict=True)
        )
        return SceneViews(scene=self._with_bands(scene, wanted), units=units, views=views)

    def choosers(self, device: str | torch.device) -> list[Chooser]:
        """What makes the run-time of each bundle on a device."""
        return [self._chooser(bundle, device) for bundle in self.bundles]

    def _chooser(self, bundle: ModelBundle, device: str | torch.device) -> Chooser:
        asked = self._options
        if isinstance(bundle, ExportedModel):
            return ExportedChooser(
                bundle,
                backend=asked.backend,
                device=device,
                precision=asked.precision,
                batch_size=asked.batch_size,
            )
        return BackendChooser(
            bundle,
            backend=asked.backend,
            device=device,
            precision=asked.precision,
            batch_size=asked.batch_size,
        )

    def choose(self, choosers: Sequence[Chooser], views: SceneViews, hide: Hide) -> list[Choice]:
        """The run-time of each bundle for a scene."""
        chosen = []
        for chooser, job in zip(choosers, views.jobs(hide), strict=True):
            if self._options.mode == "resize":
                chosen.append(chooser.eager(job))
            else:
                chosen.append(chooser.choose(job))
        return chosen

    def groups(
        self,
        choosers: Sequence[Chooser],
        choices: Sequence[Choice],
        views: SceneViews,
        hide: Hide,
    ) -> list[Group]:
        """The networks with their windows: one group whose scores are averaged, or one a vote."""
        members = [
            self._members(chooser, choice, view, job)
            for chooser, choice, view, job in zip(
                choosers, choices, views.views, views.jobs(hide), strict=True
            )
        ]
        if self._options.combine == "vote":
            return list(members)
        return [[member for each in members for member in each]]

    def _members(self, chooser: Chooser, choice: Choice, view: View, job: Job) -> list[Member]:
        """One network at all scales."""
        members = []
        for scale in self._options.scales:
            shape, size = view.scene.grid.shape, scale * view.zoom
            layout = scaled_layout(view.layout, shape, size, self._options)
            backend = choice.backend
            if layout.window != view.layout.window:
                backend = chooser.at_side(choice, layout.window, job)
            if self._wants_each_look:
                backend = EntropyBackend(backend, exclusive=self.is_exclusive)
            if self._options.tta != "none":
                backend = SymmetricBackend(backend, self._options.tta)
            members.append(
                Member(
                    backend=backend,
                    layout=layout,
                    batch_size=choice.batch_size,
                    channels=view.channels,
                )
            )
        return members

    def _bands(self, scene: Scene, bundle: ModelBundle) -> tuple[int, ...]:
        """Bands of the file in the bundle's order, once it is sure that the scene fits."""
        chosen = self._options.scene.bands is not None
        if scene.is_paletted and bundle.card.spec.in_channels > 1:
            cure = "Give --expand-palette to read its colours"
            raise SceneError(scene.path, "is paletted, the model wants bands", cure)
        bundle.check(
            scene,
            bands_given=chosen,
            resolution_given=self._options.model_resolution
            or self._options.scene.resolution is not None,
            scale=self._options.scale,
        )
        return bundle.match_bands(scene, bands_given=chosen)

    def _with_bands(self, scene: Scene, bands: tuple[int, ...]) -> Scene:
        if bands == scene.bands:
            return scene
        return Scene.open(scene.path, replace(self._options.scene, bands=bands))

    def _zoom(self, scene: Scene, bundle: ModelBundle) -> float:
        """How much larger or smaller a bundle sees a scene, to see it as in its training."""
        if not self._options.model_resolution:
            return 1.0
        cure = "Leave --model-resolution out, or give --resolution"
        if not scene.grid.is_georeferenced:
            raise SceneError(scene.path, "has no CRS, so that its resolution is unknown", cure)
        wanted = bundle.card.resolution
        if wanted is None:
            raise BundleError(bundle.path, "does not tell its ground resolution", cure)
        zoom = scene.grid.ground_resolution() / wanted
        if not _SCALES[0] <= zoom <= _SCALES[1]:
            found = f"{scene.grid.ground_resolution():.3g} m, the model was trained on {wanted:.3g}"
            raise BundleError(scene.path, f"its pixels are {found} m", cure)
        return zoom

    def _layout(self, scene: Scene, bundle: ModelBundle) -> Layout:
        card, options = bundle.card, self._options
        window = card.window if options.window is None else options.window
        if options.overlap is not None:
            stride = max(round(window * (1 - options.overlap)), 1)
        elif options.stride is not None:
            stride = options.stride
        else:
            stride = card.stride if options.window is None else max(window // 2, 1)
        return Layout.of(scene.grid.shape, window, stride, options.blend)


def scaled_layout(
    layout: Layout, shape: tuple[int, int], scale: float, options: PredictOptions
) -> Layout:
    """Windows that a network sees at its own size when the scene is scaled.

    Args:
        layout: Its windows at the scale 1.
        shape: Height and width of the scene, pixels.
        scale: Size of the scaled scene, in sizes of the scene.
        options: Tells how windows are blended.
    """
    if scale == 1:
        return layout
    window = max(round(layout.window / scale), 1)
    stride = min(max(round(layout.stride / scale), 1), window)
    return Layout.of(shape, window, stride, options.blend)


def _common_legend(bundles: Sequence[ModelBundle]) -> Legend:
    first = bundles[0]
    classes = [(entry.value, entry.name) for entry in first.legend.classes]
    for bundle in bundles[1:]:
        other = [(entry.value, entry.name) for entry in bundle.legend.classes]
        if other != classes:
            raise BundleError(
                bundle.path,
                f"has the classes {_listing(other)}, {first.path} has {_listing(classes)}",
                "Combine models of one legend",
            )
    return first.legend


def _listing(classes: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{value} {name}" for value, name in classes)


def _check_windows(bundles: Sequence[ModelBundle], options: PredictOptions) -> None:
    for bundle in bundles:
        side = bundle.card.window
        if isinstance(bundle, ExportedModel) and options.window not in (None, side):
            problem = f"{bundle.path} was exported for windows of {side} pixels"
            raise ConfigError("--window", problem, "Leave it out, or export it for others")


def _check_options(options: PredictOptions) -> None:
    if options.overlap is not None:
        if options.stride is not None:
            raise ConfigError("--overlap", "is given together with --stride", "Give one of them")
        if not 0 <= options.overlap < 1:
            raise ConfigError("--overlap", f"{options.overlap} is not within 0 to 1", "Give 0.5")
    if not options.scales:
        raise ConfigError("--scales", "names none", "Give such as 0.75,1,1.25")
    for scale in options.scales:
        if not _SCALES[0] <= scale <= _SCALES[1]:
            problem = f"{scale} is not within {_SCALES[0]} to {_SCALES[1]}"
            raise ConfigError("--scales", problem, "Give such as 0.75,1,1.25")
    _check_resolution(options)
    _check_measures(options)
    if options.mode == "resize":
        for option, is_given in (
            ("--scales", options.scales != (1.0,)),
            ("--model-resolution", options.model_resolution),
            ("--max-memory", options.max_memory is not None),
        ):
            if is_given:
                raise ConfigError(option, "means nothing with --mode resize", "Leave one out")


def _check_measures(options: PredictOptions) -> None:
    unknown = [name for name in options.measures if name not in MEASURES]
    if unknown or not options.measures or len(set(options.measures)) < len(options.measures):
        problem = f"{', '.join(map(str, unknown))} is unknown" if unknown else "is empty or doubled"
        raise ConfigError("--measures", problem, f"Give some of {', '.join(MEASURES)}, each once")
    if options.uncertainty is None and options.measures != PredictOptions.measures:
        problem = "are bands of a raster that is not written"
        raise ConfigError("--measures", problem, "Give --uncertainty, too")


def _check_resolution(options: PredictOptions) -> None:
    if options.model_resolution and options.scene.resolution is not None:
        problem = "is given together with --resolution"
        raise ConfigError("--model-resolution", problem, "Give one of them")
