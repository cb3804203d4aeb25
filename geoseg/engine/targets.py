"""The files that come of each scene, checked before any work begins."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from geoseg.engine.options import PredictOptions
from geoseg.errors import OutputError
from geoseg.geo.outputs import check_output, check_output_folder
from geoseg.geo.polygon_drivers import polygon_driver
from geoseg.geo.remote import file_name


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is written for one scene."""

    classes: Path
    """The class raster."""

    probabilities: Path | None
    """The probability raster, if asked for."""

    polygons: Path | None
    """The polygon file, if asked for."""

    uncertainty: Path | None = None
    """The uncertainty raster, if asked for."""

    @property
    def rasters(self) -> list[Path]:
        """Those that come of the network, the class raster first."""
        return [path for path in (self.classes, self.probabilities, self.uncertainty) if path]

    @property
    def confidences(self) -> Path | None:
        """The raster that is written for the polygons' sake, and never gets this name."""
        name = self.polygons and f"{self.polygons.name}.confidences.tif"
        return self.polygons.with_name(name) if self.polygons and name else None

    @property
    def written(self) -> list[Path]:
        """All rasters that are written, those that are published first."""
        return [*self.rasters, *([self.confidences] if self.confidences else [])]

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [path for path in (*self.rasters, self.polygons) if path]


def targets_of(scene: str, output: str | Path, options: PredictOptions, *, many: bool) -> Targets:
    """Name the files of one scene.

    Args:
        scene: Its path.
        output: The class raster, or a folder.
        options: Name the other outputs.
        many: Whether there are several scenes, so that each output must be a folder.

    Raises:
        OutputError: If one is a single file for several scenes, or its folder cannot be made.
    """
    classes = _output_path(output, scene, ".tif", many=many)
    assert classes is not None
    return Targets(
        classes=classes,
        probabilities=_output_path(options.probabilities, scene, ".tif", many=many),
        polygons=_output_path(options.polygons, scene, ".gpkg", many=many),
        uncertainty=_output_path(options.uncertainty, scene, ".tif", many=many),
    )


def check_targets(
    targets: Iterable[tuple[str, Targets, frozenset[Path]]], inputs: Iterable[str | Path]
) -> None:
    """Refuse what must not or cannot be written.

    Args:
        targets: Each scene with its outputs, and those of them that may be replaced.
        inputs: Files that are read.

    Raises:
        OutputError: If a file exists already, is an input, would be written twice, has no raster's
            suffix, or its folder is missing or read-only.
    """
    inputs, seen = list(inputs), dict[Path, str]()
    for scene, files, replaceable in targets:
        if files.polygons is not None:
            polygon_driver(files.polygons)
        for path in files.rasters:
            if path.suffix.lower() not in {".tif", ".tiff"}:
                problem = f'rasters cannot be written as "{path.suffix}"'
                raise OutputError(path, problem, "Name it .tif")
        for path in files.files:
            if path.parent.is_dir():
                check_output(path, overwrite=path in replaceable, inputs=inputs)
            if path.absolute() in seen:
                raise OutputError(
                    path,
                    f"would be written twice, for {seen[path.absolute()]} and {scene}",
                    "Name the outputs apart, or give scenes of unlike names",
                )
            seen[path.absolute()] = scene


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
        return path / f"{Path(file_name(scene)).stem}{suffix}"
    if not path.parent.is_dir():
        check_output(path)
    return path
