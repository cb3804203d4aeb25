"""Colours and values of label images to class values, and back, by tables of all there may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from geoseg.errors import ConfigError, LabelError, LegendError
from geoseg.geo.legend import Legend
from geoseg.geo.matching import raster_colors
from geoseg.geo.palettes import RGB, rgb_color
from geoseg.geo.values import list_counts

Unknown = Literal["refuse", "ignore", "background", "nearest"]
Reading = Literal["value", "color"]

COLORS, VALUES = 1 << 24, 1 << 16
"""How many colours of 8 bits a channel, and values of 16 bits, there are."""

OTHERS = -1
"""Stands for all unknown keys that are not told apart."""

_MOST_KEYS = 1 << 16
"""Unknown keys that are told apart; then those of one more window."""

_VOID = 0xE0E0C0
"""The colour in which Pascal VOC draws what is not labelled; hardly any legend has it."""


def ignore_color(legend: Legend, given: str | None = None) -> int:
    """The packed colour of pixels that are not labelled.

    Args:
        legend: The classes.
        given: Colour as `#rrggbb`; None takes VOC's `#e0e0c0`, or the next that is free.

    Raises:
        LegendError: If the colour given is none, or that of a class.
    """
    taken = raster_colors(legend)
    if given is not None:
        color = pack(rgb_color(given))
        if color in taken:
            raise LegendError(given, "is the colour of a class", "Give --ignore-color another")
        return color
    return free_color(taken)


def free_color(taken: Container[int]) -> int:
    """The packed colour of VOC's void, or the next that is not taken."""
    return next(color for color in range(_VOID, COLORS) if color not in taken)


def pack(rgb: tuple[int, ...]) -> int:
    """A colour (red, green, blue) as 0xRRGGBB."""
    return rgb[0] << 16 | rgb[1] << 8 | rgb[2]


def tally(counts: Counter[int], more: Mapping[int, int]) -> None:
    """Add the pixels of unknown keys; of very many, as of a photograph, only how many there are."""
    if len(counts) < _MOST_KEYS:
        counts.update(more)
    else:
        counts[OTHERS] += sum(more.values())


def key_name(key: int, reading: Reading) -> str:
    """How a value or colour is written for people."""
    if key == OTHERS:
        return "others"
    return f"#{key:06x}" if reading == "color" else str(key)


class IndexTable:
    """Turns values or colours into class values.

    Args:
        known: Class value of each known key: a raster value (0 to 65535), or a colour 0xRRGGBB.
        legend: The classes.
        reading: What the keys are.
        unknown: What becomes of keys that are not known.
        points: Keys that `nearest` chooses among; None takes all known.

    Raises:
        LegendError: If `unknown` is background, and the legend has none.
    """

    def __init__(
        self,
        known: Mapping[int, int],
        legend: Legend,
        reading: Reading,
        unknown: Unknown = "refuse",
        points: Mapping[int, int] | None = None,
    ) -> None:
        self.legend = legend
        self.reading = reading
        self.unknown = unknown
        self._values = np.array([*sorted({*legend.values, legend.ignore}), 0], np.uint16)
        self._lost = len(self._values) - 1
        """Code of unknown keys: the last; the others are places in `_values`."""
        self._values[self._lost] = _replacement(legend, unknown)
        size = COLORS if reading == "color" else VALUES
        self._codes = np.full(size, self._lost, np.uint16 if self._lost > 255 else np.uint8)
        self._codes[list(known)] = self._code(list(known.values()))
        near = known if points is None else points
        self._near = sorted(near), self._code([near[key] for key in sorted(near)])
        if unknown == "nearest" and not near:
            raise LegendError("legend", "has no class to be nearest to", "Give --unknown ignore")

    def convert(
        self, keys: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[Any], dict[int, int]]:
        """Class values of keys, and what was not known.

        Args:
            keys: (height, width) values or packed colours.
            valid: (height, width) False where the image hides the pixel: `ignore` there.

        Returns:
            Class values (height, width) of type `legend.dtype`, and the pixels of each unknown
            key that is not hidden.
        """
        codes = self._codes[keys]
        lost = (codes == self._lost) & valid
        counts: dict[int, int] = {}
        if lost.any():
            found, places, numbers = np.unique(keys[lost], return_inverse=True, return_counts=True)
            counts = dict(zip(found.tolist(), numbers.tolist(), strict=True))
            if self.unknown == "nearest":
                codes[lost] = self._nearest(found)[places]
        values = self._values[codes].astype(self.legend.dtype)
        values[~valid] = self.legend.ignore
        return values, counts

    def refuse(self, counts: Mapping[int, int], subject: object) -> None:
        """Refuse what was not known, if that is wanted.

        Raises:
            LabelError: If there is any; all are listed with their pixels.
        """
        if counts and self.unknown == "refuse":
            what = "colours" if self.reading == "color" else "values"
            raise LabelError(
                subject,
                f"{what} that are not in the legend: {self.listed(counts)}",
                f"Add them to the `from` of a class ({', '.join(self.legend.names)}), or give "
                "--unknown ignore, background or nearest",
            )

    def listed(self, counts: Mapping[int, int]) -> str:
        """Unknown keys with their pixels, for people."""
        return list_counts({key_name(k, self.reading): n for k, n in counts.items()}, "pixels")

    def _code(self, values: list[int]) -> npt.NDArray[np.intp]:
        return np.searchsorted(self._values[: self._lost], values)

    def _nearest(self, keys: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Codes of the known keys that are nearest; the smaller one of two alike."""
        points, codes = self._near
        targets = _coordinates(np.array(points), self.reading)
        nearest = np.empty(len(keys), np.intp)
        for start in range(0, len(keys), 4096):
            block = _coordinates(keys[start : start + 4096], self.reading)
            squares = ((block[:, None] - targets[None]) ** 2).sum(axis=2)
            nearest[start : start + 4096] = squares.argmin(axis=1)
        return codes[nearest]


class ColorTable:
    """Turns class values into colours.

    Args:
        legend: The classes.
        unlabelled: Packed colour of `ignore` and of pixels without data.
        unknown: What becomes of values that are not in the legend; `nearest` means nothing here.
        gray: Whether all colours must be grays, which one band can hold.

    Raises:
        ConfigError: If `unknown` is nearest.
        LegendError: If two classes have one colour, there is no background and it is asked for,
            or a colour is no gray and must be one.
    """

    def __init__(
        self, legend: Legend, unlabelled: int, unknown: Unknown = "refuse", *, gray: bool = False
    ) -> None:
        if unknown == "nearest":
            raise ConfigError("--unknown", "nearest is for colours", "Give ignore or background")
        raster_colors(legend)
        colored = [entry for entry in legend.classes if not _is_gray(pack(rgb_color(entry.color)))]
        if gray and colored:
            problem = f'is the colour of "{colored[0].name}", and no gray'
            raise LegendError(colored[0].color, problem, "Leave --gray out")
        self.legend = legend
        self.unknown = unknown
        self.bands = 1 if gray else 3
        self.holds_ignore = not gray or _is_gray(unlabelled)
        """Whether there is a colour for pixels that are not labelled."""
        self._ignore = np.array(
            [unlabelled >> 16, unlabelled >> 8 & 255, unlabelled & 255], np.uint8
        )
        self._known = np.zeros(VALUES, bool)
        self._known[[*legend.values, legend.ignore]] = True
        self._colors = np.empty((3, VALUES), np.uint8)
        self._colors[:] = self._ignore[:, None]
        self._colors[:, list(legend.values)] = np.array(legend.colors).T
        if unknown == "background":
            replacement = _replacement(legend, unknown)
            self._colors[:, ~self._known] = self._colors[:, [replacement]]

    def convert(
        self, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]
    ) -> tuple[npt.NDArray[np.uint8], dict[int, int]]:
        """Colours of class values, and what was not known.

        Args:
            values: (height, width) values from 0 to 65535.
            valid: (height, width) False where there is no data.

        Returns:
            Colours (bands, height, width), and the pixels of each unknown value that is valid.
        """
        colors: npt.NDArray[np.uint8] = self._colors[: self.bands, values]
        colors[:, ~valid] = self._ignore[: self.bands, None]
        lost = ~self._known[values] & valid
        counts: dict[int, int] = {}
        if lost.any():
            found, numbers = np.unique(values[lost], return_counts=True)
            counts = dict(zip(found.tolist(), numbers.tolist(), strict=True))
        return colors, counts

    def refuse(self, counts: Mapping[int, int], subject: object) -> None:
        """Refuse what was not known, if that is wanted.

        Raises:
            LabelError: If there is any; all are listed with their pixels.
        """
        if counts and self.unknown == "refuse":
            raise LabelError(
                subject,
                f"values that are not in the legend: {self.listed(counts)}",
                f"It has {', '.join(self.legend.names)}; give --unknown ignore or background",
            )

    def listed(self, counts: Mapping[int, int]) -> str:
        """Unknown values with their pixels, for people."""
        return list_counts({key_name(k, "value"): n for k, n in counts.items()}, "pixels")


def _is_gray(color: int) -> bool:
    return color == gray_color(color & 255)


def _replacement(legend: Legend, unknown: Unknown) -> int:
    if unknown not in get_args(Unknown):
        choices = ", ".join(get_args(Unknown))
        raise ConfigError("--unknown", f"{unknown!r} is unknown", f"Give one of {choices}")
    if unknown != "background":
        return legend.ignore
    named = (c for c in legend.classes if c.name.lower() == "background")
    background = next(named, legend.background)
    if background is None:
        raise LegendError("legend", "has no class called background", "Give --unknown ignore")
    return background.value


def _coordinates(keys: npt.NDArray[Any], reading: Reading) -> npt.NDArray[np.int64]:
    """Points (n, channels) between which distances are measured."""
    if reading == "value":
        return keys.astype(np.int64)[:, None]
    wide = keys.astype(np.int64)
    return np.stack([wide >> 16, wide >> 8 & 255, wide & 255], axis=1)


def unpack(color: int) -> RGB:
    """A colour 0xRRGGBB as red, green, blue."""
    return color >> 16, color >> 8 & 255, color & 255


def pack_rgb(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    """Colours (3, height, width) as 0xRRGGBB; less memory than `pack_colors` takes."""
    packed: npt.NDArray[np.uint32] = data[0].astype(np.uint32)
    for band in data[1:]:
        packed <<= 8
        packed |= band
    return packed


def gray_color(value: int) -> int:
    """The packed colour of a gray of 0 to 255."""
    return value * 0x010101
