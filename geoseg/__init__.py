"""Segment remote-sensing imagery: tile, train, predict, vectorize, evaluate.

The nouns and jobs below are loaded when they are asked for, so that importing geoseg is quick
and never loads torch::

    import geoseg

    geoseg.predict(["scene.tif"], "roofs.safetensors", "classes.tif")
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoseg.errors import GeosegError as GeosegError
    from geoseg.evaluate import EvaluateOptions as EvaluateOptions
    from geoseg.evaluate import evaluate as evaluate
    from geoseg.export import ExportOptions as ExportOptions
    from geoseg.export import export as export
    from geoseg.geo.grid import Grid as Grid
    from geoseg.geo.labels import LabelOptions as LabelOptions
    from geoseg.geo.labels import Labels as Labels
    from geoseg.geo.legend import Legend as Legend
    from geoseg.geo.legend import LegendClass as LegendClass
    from geoseg.geo.raster import Raster as Raster
    from geoseg.geo.raster import Scene as Scene
    from geoseg.geo.raster import SceneOptions as SceneOptions
    from geoseg.geo.stats import BandStats as BandStats
    from geoseg.geo.tileset import TileSet as TileSet
    from geoseg.import_model import ImportOptions as ImportOptions
    from geoseg.import_model import import_model as import_model
    from geoseg.info import describe as describe
    from geoseg.mosaic import MosaicOptions as MosaicOptions
    from geoseg.mosaic import mosaic as mosaic
    from geoseg.nn.bundle import ModelBundle as ModelBundle
    from geoseg.nn.config import TrainConfig as TrainConfig
    from geoseg.nn.config import load_config as load_config
    from geoseg.nn.models import ModelSpec as ModelSpec
    from geoseg.predict import PredictOptions as PredictOptions
    from geoseg.predict import predict as predict
    from geoseg.progress import Progress as Progress
    from geoseg.sample import SampleOptions as SampleOptions
    from geoseg.sample import sample as sample
    from geoseg.suggest import SuggestOptions as SuggestOptions
    from geoseg.suggest import suggest as suggest
    from geoseg.tile import TileOptions as TileOptions
    from geoseg.tile import tile as tile
    from geoseg.train import train as train
    from geoseg.vectorize import VectorizeOptions as VectorizeOptions
    from geoseg.vectorize import vectorize as vectorize

__version__ = "0.1.0"

_HOMES = {
    "BandStats": "geoseg.geo.stats",
    "EvaluateOptions": "geoseg.evaluate",
    "ExportOptions": "geoseg.export",
    "GeosegError": "geoseg.errors",
    "Grid": "geoseg.geo.grid",
    "ImportOptions": "geoseg.import_model",
    "LabelOptions": "geoseg.geo.labels",
    "Labels": "geoseg.geo.labels",
    "Legend": "geoseg.geo.legend",
    "LegendClass": "geoseg.geo.legend",
    "ModelBundle": "geoseg.nn.bundle",
    "ModelSpec": "geoseg.nn.models",
    "MosaicOptions": "geoseg.mosaic",
    "PredictOptions": "geoseg.predict",
    "Progress": "geoseg.progress",
    "Raster": "geoseg.geo.raster",
    "SampleOptions": "geoseg.sample",
    "Scene": "geoseg.geo.raster",
    "SceneOptions": "geoseg.geo.raster",
    "SuggestOptions": "geoseg.suggest",
    "TileOptions": "geoseg.tile",
    "TileSet": "geoseg.geo.tileset",
    "TrainConfig": "geoseg.nn.config",
    "VectorizeOptions": "geoseg.vectorize",
    "describe": "geoseg.info",
    "evaluate": "geoseg.evaluate",
    "export": "geoseg.export",
    "import_model": "geoseg.import_model",
    "load_config": "geoseg.nn.config",
    "mosaic": "geoseg.mosaic",
    "predict": "geoseg.predict",
    "suggest": "geoseg.suggest",
    "sample": "geoseg.sample",
    "tile": "geoseg.tile",
    "train": "geoseg.train",
    "vectorize": "geoseg.vectorize",
}

_MODULES = ("datasets", "models", "relabel")
"""Modules that are offered as they are: `geoseg.models.get_model(...)`."""

__all__ = sorted(_HOMES)  # noqa: PLE0605 - the same names, written once


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the name stands for
    """Load a public name when it is first asked for (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"geoseg.{name}")
    if name not in _HOMES:
        message = f"module 'geoseg' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})


class _Face(ModuleType):
    """The type of this module: keeps `geoseg.tile` the job, whatever was imported before.

    A job bears the name of its module. When Python has imported the module `geoseg.tile`, it
    sets the attribute `tile` of this package to that module; here the function takes its place.
    The module stays reachable as ever: `from geoseg.tile import TileOptions`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
