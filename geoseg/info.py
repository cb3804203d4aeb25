"""What a path holds, as plain values: a scene, a legend, a tile set or a model bundle."""

from __future__ import annotations

import math
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from geoseg.errors import BundleError, SceneError
from geoseg.geo.legend import Legend
from geoseg.geo.npy import is_npy, npy_shape
from geoseg.geo.raster import Scene, SceneOptions

_BUNDLE_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".pkl", ".bin")
_EXPORT_SUFFIXES = (".onnx", ".pt2")
_LEGEND_SUFFIXES = (".toml", ".qml")


def describe(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    *,
    trust_vrt: bool = False,
    allow_remote: bool = False,
) -> dict[str, Any]:
    """Tell what a path holds.

    Args:
        path: A model bundle (`*.safetensors`), a legend (`*.toml`, `*.qml`), a tile set folder,
            or a scene in any other form; a scene without CRS is described in pixel space. An
            array of numpy of three axes may be two scenes, and both are told.
        model: A bundle; of a scene it is then also told, band by band, how its values compare
            with those that the model was trained on (`shift`).
        trust_vrt: Whether a VRT may point out of its own folder.
        allow_remote: Whether a VRT may name URLs.

    Returns:
        JSON-able values; `kind` is `bundle`, `export`, `legend`, `tileset`, `scene` or `array`,
        `path` as given.

    Raises:
        BundleError: If a model file cannot be used, or a scene's bands or the range of its values
            do not fit `model`.
        LegendError: If a legend cannot be read.
        TileSetError: If a tile set is damaged.
        SceneError: If the path is none of these and no raster.
    """
    path = os.fspath(path)
    suffix = Path(path).suffix.lower()
    if suffix in _BUNDLE_SUFFIXES:
        return {"kind": "bundle", "path": path, **_describe_bundle(path)}
    if suffix in _EXPORT_SUFFIXES or (suffix == ".xml" and Path(path).with_suffix(".bin").exists()):
        return {"kind": "export", "path": path, **_describe_export(path)}
    if suffix in _LEGEND_SUFFIXES:
        return {"kind": "legend", "path": path, **Legend.open(path).to_dict()}
    if is_tileset(path):
        return {"kind": "tileset", "path": path, **_describe_tileset(path)}
    if is_npy(path) and model is None and (array := _describe_array(path)):
        return {"kind": "array", "path": path, **array}
    scene = _open_scene(path, SceneOptions(trust_vrt=trust_vrt, allow_remote=allow_remote))
    described = {"kind": "scene", "path": path, **_describe_scene(scene)}
    return described if model is None else {**described, "shift": _describe_shift(scene, model)}


def is_tileset(path: str | os.PathLike[str]) -> bool:
    """Whether a folder was made by `tile`."""
    return (Path(path) / "tileset.json").is_file()


def _describe_array(path: str) -> dict[str, Any]:
    """Both meanings of an array of three axes, which alone does not tell which it has."""
    if not Path(path).is_file():
        return {}
    shape, dtype = npy_shape(path)
    if len(shape) != 3:
        return {}
    first, second, third = shape
    return {
        "shape": list(shape),
        "dtype": dtype,
        "npy_axes": {
            "bhw": {"count": first, "height": second, "width": third},
            "hwb": {"count": third, "height": first, "width": second},
        },
    }


def _describe_scene(scene: Scene) -> dict[str, Any]:
    grid = scene.grid
    nodata = scene.nodata
    return {
        "width": grid.width,
        "height": grid.height,
        "count": scene.count,
        "band_names": list(scene.band_names),
        "dtype": scene.dtype,
        "nodata": "nan" if nodata is not None and math.isnan(nodata) else nodata,
        "validity": scene.validity,
        "paletted": scene.colormap is not None,
        "crs": None if grid.crs is None else grid.crs.to_string(),
        "transform": list(grid.transform)[:6],
        "bounds": list(grid.bounds),
        "pixel_size": list(grid.res),
        "ground_resolution_m": grid.ground_resolution() if grid.is_georeferenced else None,
    }


def _describe_shift(scene: Scene, model: str | os.PathLike[str]) -> list[dict[str, Any]]:
    # here, not on top: they load torch, which a scene does without
    from geoseg.nn.fit import check_values, match_bands
    from geoseg.nn.open_model import open_card
    from geoseg.nn.shift import band_shifts

    card = open_card(model)
    bands, stats = match_bands(scene, card.bands), card.band_stats
    if stats is None:
        raise BundleError(os.fspath(model), "holds no statistics of its training", "Leave -m out")
    check_values(scene, card.dtype, stats)
    return [
        {
            name: None if value != value else value  # noqa: PLR0124 - NaN is not in JSON
            for name, value in {**asdict(shift), "is_far": shift.is_far}.items()
        }
        for shift in band_shifts(scene, bands, card.bands, stats)
    ]


def _open_scene(path: str, options: SceneOptions) -> Scene:
    """Open a scene, in pixel space if it has no CRS: that is worth telling, not refusing."""
    try:
        return Scene.open(path, options)
    except SceneError:
        return Scene.open(path, replace(options, assume_crs="none"))


def _describe_bundle(path: str) -> dict[str, Any]:
    # here, not on top: it loads torch, which a scene or a legend does without
    from geoseg.nn.bundle import ModelBundle

    bundle = ModelBundle.open(path)
    card: dict[str, Any] = bundle.card.model_dump(mode="json")
    parameters = sum(tensor.numel() for tensor in bundle.state.values())
    return {"sha256": bundle.sha256, "parameters": parameters, **card}


def _describe_export(path: str) -> dict[str, Any]:
    from geoseg.nn.exported_model import ExportedModel
    from geoseg.nn.open_model import open_model

    model = open_model(path)
    assert isinstance(model, ExportedModel)
    card: dict[str, Any] = model.card.model_dump(mode="json")
    return {"sha256": model.sha256, "format": model.format, "input_divisor": model.divisor, **card}


def _describe_tileset(path: str) -> dict[str, Any]:
    from geoseg.geo.splits import SPLITS
    from geoseg.geo.tileset import TileSet

    tiles = TileSet.open(path)
    return {
        "tiles": {name: len(tiles.split(name)) for name in SPLITS},
        "scenes": sorted({tile.scene for tile in tiles.tiles}),
        "bands": list(tiles.band_names),
        "resolution_m": tiles.resolution,
        "class_pixels": tiles.class_counts,
        "stats": tiles.stats.to_dict(),
        "legend": tiles.legend.to_dict(),
    }
