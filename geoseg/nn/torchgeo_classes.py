"""What the values of a torchgeo data set's masks mean."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.dataset_description import open_description, preset_names
from geoseg.geo.dataset_tables import IndexLabels
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.matching import raster_values
from geoseg.geo.palettes import readable_color
from geoseg.geo.values import list_counts

logger = logging.getLogger(__name__)

_CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class MaskValues:
    """How masks are turned into class values."""

    legend: Legend
    """The classes."""

    table: Mapping[int, int]
    """The class value, or `ignore`, that each value of the masks means."""

    def decode(self, mask: npt.NDArray[Any], name: str) -> npt.NDArray[np.integer[Any]]:
        """Turn a mask (height, width) into class values.

        Raises:
            LabelError: If it holds values that mean nothing.
        """
        found, places, counts = np.unique(mask, return_inverse=True, return_counts=True)
        unknown = {
            value: count
            for value, count in zip(found.tolist(), counts.tolist(), strict=True)
            if value not in self.table
        }
        if unknown:
            raise LabelError(
                name,
                f"has values that are not in the legend: {list_counts(unknown, 'pixels')}",
                "Give data.legend, with these in the `from` of a class or as ignore",
            )
        values = np.array([self.table[value] for value in found.tolist()], np.int64)
        dtype = np.uint8 if max(self.legend.ignore, *self.legend.values) < 256 else np.uint16
        return values[places].reshape(mask.shape).astype(dtype)


def mask_values(name: str, dataset: Any, legend: str | None) -> MaskValues:  # noqa: ANN401 - any
    """Find out what mask values mean.

    By the legend, if one is given; by a preset of geoseg that names this data set and whose
    labels are the same values; else by what the data set calls its `classes`, in their order.

    Args:
        name: Of the data set's class in torchgeo.
        dataset: The data set.
        legend: File that tells the classes; its `from` may list mask values.

    Raises:
        ConfigError: If nothing tells the classes.
        LegendError: If the legend is wrong.
    """
    if legend is not None:
        chosen = Legend.open(legend)
        return MaskValues(legend=chosen, table=raster_values(chosen))
    preset = _of_preset(name)
    if preset is not None:
        return preset
    names = _class_names(dataset)
    if names is None:
        raise ConfigError(
            "data.legend",
            f"{name} does not tell its classes",
            "Give a legend with a class for each value of its masks",
        )
    colors = _colors(dataset, len(names))
    classes = tuple(
        LegendClass(value=value, name=text, color=color)
        for (value, text), color in zip(names.items(), colors, strict=True)
    )
    made = Legend(classes=classes, ignore=255 if max(names) < 255 else 65535)
    logger.warning(
        "%s: its mask values are taken for its classes in their order (%s); data.legend says it "
        "otherwise",
        name,
        ", ".join(f"{value} {text}" for value, text in names.items()),
    )
    return MaskValues(legend=made, table=raster_values(made))


def _of_preset(name: str) -> MaskValues | None:
    for preset in preset_names():
        description = open_description(preset)
        labels = description.labels
        plain = isinstance(labels, IndexLabels) and labels.threshold is None
        if description.about.torchgeo == name and isinstance(labels, IndexLabels) and plain:
            legend = description.legend
            ignored = dict.fromkeys(labels.ignore, legend.ignore)
            return MaskValues(legend=legend, table=raster_values(legend) | ignored)
    return None


def _class_names(dataset: Any) -> dict[int, str] | None:  # noqa: ANN401 - any data set
    """Names of the classes by mask value; None where they are not told."""
    found = getattr(dataset, "classes", None)
    if isinstance(found, Mapping):
        named = {key: value for key, value in found.items() if isinstance(key, int)}
        found = named if len(named) == len(found) else list(found)
    elif isinstance(found, Sequence) and not isinstance(found, str):
        found = dict(enumerate(found))
    if not isinstance(found, Mapping) or not found:
        return None
    names = {int(value): str(text) for value, text in found.items()}
    twice = len(set(names.values())) < len(names)
    return {value: f"{text} {value}" for value, text in names.items()} if twice else names


def _colors(dataset: Any, count: int) -> list[str]:  # noqa: ANN401 - any data set
    """Those of the data set where it lists red, green, blue of each class; else readable ones."""
    for attribute in ("colormap", "cmap", "palette"):
        table = getattr(dataset, attribute, None)
        colors = list(table.values()) if isinstance(table, Mapping) else table
        if not isinstance(colors, Sequence) or len(colors) != count:
            continue
        try:
            rgb = [[int(part) for part in list(color)[:_CHANNELS]] for color in colors]
        except (TypeError, ValueError):
            continue
        if all(len(each) == _CHANNELS and set(each) <= set(range(256)) for each in rgb):
            return ["#{:02x}{:02x}{:02x}".format(*each) for each in rgb]
    return [readable_color(index) for index in range(count)]
