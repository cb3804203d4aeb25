"""Pictures of errors: maps of where they are, and windows row by row."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from geoseg.geo.error_map import ErrorMap
from geoseg.geo.error_windows import WindowView
from geoseg.geo.grid import Grid
from geoseg.geo.legend import Legend
from geoseg.reports.drawing import ground_ratio, literal, stretch
from geoseg.reports.figures import IGNORE_COLOR, paint

Picture = npt.NDArray[np.uint8]

RIGHT, FAINT, WRONG, UNCOUNTED = (207, 219, 230), (247, 193, 150), (168, 0, 32), (244, 244, 241)
"""Of an error map: right; wrong in a few pixels of a cell; wrong in all; no pixel that counts."""

MISSED, INVENTED, CONFUSED = (0, 114, 178), (230, 159, 0), (168, 0, 32)
"""Of a window: a class where the map has background; background where the map has a class; one
class for another. After Okabe and Ito's colours that all eyes tell apart."""

KINDS = (("right", RIGHT), ("missed", MISSED), ("invented", INVENTED), ("confused", CONFUSED))
_STEPS = 32
_SMALL = 400
"""Error maps of fewer cells are enlarged."""
_MOST_STRETCHED = 8
"""Times that an error map is stretched at most: near the poles no picture would be large enough."""
_INCHES, _DPI = 2.3, 120


@dataclass(frozen=True, kw_only=True)
class WindowPictures:
    """What is drawn of a window: (height, width, 3) each."""

    view: WindowView
    """What they show."""

    image: Picture | None
    """The scene; None where there is none."""

    reference: Picture
    """The labels."""

    prediction: Picture
    """The map."""

    error: Picture
    """How they differ."""

    @property
    def columns(self) -> dict[str, Picture]:
        """The pictures by their titles, from left to right."""
        image = {} if self.image is None else {"image": self.image}
        rest = {"reference": self.reference, "prediction": self.prediction, "error": self.error}
        return {**image, **rest}


def error_picture(counts: ErrorMap) -> Picture:
    """Colour the cells of an error map by the share of wrong pixels among those that count.

    Red grows with the square root of the share, so that a few wrong pixels are seen, too.

    Returns:
        (height, width, 3): a pixel a cell.
    """
    counted = counts.right + counts.wrong
    share = np.divide(counts.wrong, counted, out=np.zeros(counted.shape), where=counted > 0)
    levels = np.rint(np.sqrt(share) * _STEPS)[..., None] / _STEPS
    levels = np.maximum(levels, (share > 0)[..., None] / _STEPS)
    picture = np.array(FAINT) + levels * (np.array(WRONG) - FAINT)
    picture[counts.wrong == 0] = RIGHT
    picture[counted == 0] = UNCOUNTED
    return np.asarray(np.rint(picture), np.uint8)


def draw_windows(
    views: Sequence[WindowView], legend: Legend, left_out: Sequence[int] = ()
) -> list[WindowPictures]:
    """Colour windows: both maps by the legend, errors by their kind.

    The images of one scene are stretched alike, so that a dark window is seen to be dark.

    Args:
        views: What is seen in the windows.
        legend: The classes.
        left_out: Indices of classes whose reference pixels do not count.
    """
    images: dict[int, Picture] = {}
    for scene in {view.window.scene for view in views}:
        images |= _stretched({i: v for i, v in enumerate(views) if v.window.scene == scene})
    return [
        WindowPictures(
            view=view,
            image=images.get(place),
            reference=_paint(view.reference, legend),
            prediction=_paint(view.prediction, legend),
            error=_errors(view.reference, view.prediction, legend, left_out),
        )
        for place, view in enumerate(views)
    ]


def windows_figure(rows: Sequence[WindowPictures], titles: Sequence[str], legend: Legend) -> Figure:
    """Windows in rows of image, reference, prediction and error, with both legends below.

    Args:
        rows: What to show; one at least.
        titles: What stands beside each row.
        legend: The classes.
    """
    columns = max((row.columns for row in rows), key=len)
    lines = -(-(legend.count + 1) // 5) + 1
    size = (_INCHES * len(columns) + 0.5, (_INCHES + 0.1) * len(rows) + 0.3 + 0.24 * lines)
    figure = Figure(figsize=size, dpi=_DPI, facecolor="white")
    figure.set_layout_engine("compressed")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for place, (axes, row, title) in enumerate(zip(grid, rows, titles, strict=True)):
        for one, name in zip(axes, columns, strict=True):
            one.set(xticks=[], yticks=[])
            one.spines[:].set_visible(False)
            if name in row.columns:
                one.imshow(row.columns[name], interpolation="nearest")
            if place == 0:
                one.set_title(name, fontsize=10)
        axes[0].set_ylabel(literal(title), fontsize=7)
    kinds = [*KINDS, ("unknown", IGNORE_COLOR)]
    named = [*zip(legend.names, legend.colors, strict=True), *kinds]
    patches = [
        Patch(facecolor=_rgb(color), edgecolor="#666666", lw=0.5, label=literal(name))
        for name, color in named
    ]
    figure.legend(handles=patches, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def png(picture: Picture, *, small: int = 0) -> bytes:
    """A picture as a PNG file, of few colours as a paletted one.

    Args:
        picture: (height, width, 3).
        small: Pictures with a longer side below this are enlarged, each pixel to a square.
    """
    times = max(small // max(picture.shape[:2]), 1)
    image = Image.fromarray(np.kron(picture, np.ones((times, times, 1), np.uint8)))
    colors = image.getcolors(256)
    if colors is not None:
        image = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=len(colors))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def error_png(counts: ErrorMap) -> bytes:
    """An error map as a PNG file: as wide and as high as the ground is; small ones are enlarged."""
    return png(_as_on_ground(error_picture(counts), counts.grid), small=_SMALL)


def _as_on_ground(picture: Picture, grid: Grid) -> Picture:
    """Repeat the rows, or else the columns, of cells that are longer than wide, or wider."""
    ratio = min(max(ground_ratio(grid), 1 / _MOST_STRETCHED), _MOST_STRETCHED)
    for axis, times in enumerate((1 / ratio, ratio)):
        if times > 1:
            length = picture.shape[axis]
            places = (np.arange(round(length * times)) + 0.5) / times
            picture = picture.take(np.minimum(places.astype(int), length - 1), axis=axis)
    return picture


def _stretched(views: Mapping[int, WindowView]) -> dict[int, Picture]:
    """The images of windows of one scene, which are all of one size, stretched together."""
    images = {place: view.image for place, view in views.items() if view.image is not None}
    if not images:
        return {}
    data = np.concatenate([image.data for image in images.values()], axis=2)
    valid = np.concatenate([image.valid for image in images.values()], axis=1)
    natural = all(view.is_natural for view in views.values())
    picture = stretch(data, valid, natural=natural)[..., :3]
    picture[~valid] = IGNORE_COLOR
    return dict(zip(images, np.split(picture, len(images), axis=1), strict=True))


def _rgb(color: tuple[int, int, int]) -> tuple[float, float, float]:
    return color[0] / 255, color[1] / 255, color[2] / 255


def _paint(indices: npt.NDArray[Any], legend: Legend) -> Picture:
    values = legend.decode(indices)
    painted: Picture = paint(values, legend, values != legend.ignore)
    return painted


def _errors(
    reference: npt.NDArray[Any],
    prediction: npt.NDArray[Any],
    legend: Legend,
    left_out: Sequence[int],
) -> Picture:
    """Each pixel by the kind of its error."""
    background = legend.background
    ground = -1 if background is None else legend.names.index(background.name)
    picture = np.empty((*reference.shape, 3), np.uint8)
    picture[:] = RIGHT
    differs = reference != prediction
    picture[differs] = CONFUSED
    picture[differs & (prediction == ground)] = MISSED
    picture[differs & (reference == ground)] = INVENTED
    unseen = np.isin(reference, [*left_out, legend.ignore_index])
    picture[unseen | (prediction == legend.ignore_index)] = IGNORE_COLOR
    return picture
