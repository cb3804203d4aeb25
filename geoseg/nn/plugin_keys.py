"""What QGIS plugins read in the metadata of an ONNX file."""

from __future__ import annotations

import json

from geoseg.geo.legend import Legend
from geoseg.nn.card import ModelCard

PLUGIN_DIVISOR = 255.0
"""Deepness and GeoDeep divide the values of a raster by it, whatever their type."""

_MOST_OVERLAP = 99
"""Percent; the plugins take no more."""


def plugin_keys(card: ModelCard) -> dict[str, str]:
    """The metadata that Deepness and GeoDeep read, each value as JSON.

    Normalisation and activation are inside the graph, so `standardization_mean` and `_std` are
    not written, and `seg_thresh` is 0: what is below it would become the first class.
    `tile_size` is what Deepness reads, `tiles_size` what its documentation tells.

    Args:
        card: Of the exported network.
    """
    overlap = min(round(100 * (1 - card.stride / card.window)), _MOST_OVERLAP)
    names = {str(place): name for place, name in enumerate(Legend.from_dict(card.legend).names)}
    values: dict[str, object] = {
        "model_type": "Segmentor",
        "class_names": names,
        "tile_size": card.window,
        "tiles_size": card.window,
        "tiles_overlap": overlap,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }
    if card.resolution is not None:
        values["resolution"] = round(100 * card.resolution, 4)  # centimetres
    return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}
