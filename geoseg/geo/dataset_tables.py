"""The tables of a data set's description: what each key may say, and what it means."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, field_validator

from geoseg.geo.legend import Legend
from geoseg.geo.npy import NpyAxes
from geoseg.geo.palettes import rgb_color
from geoseg.geo.splits import SPLITS, Split

EncodingName = Literal["index", "color", "rle", "polygons", "mat"]


class Table(BaseModel):
    """A table of the file: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


def check_relative(path: str) -> str:
    """Refuse a path or pattern that could lead out of the data set's folder.

    Raises:
        ValueError: If it is absolute, empty, or has a part `..`.
    """
    text = path.replace("\\", "/")
    parts = PurePosixPath(text).parts
    is_absolute = text.startswith("/") or (len(text) > 1 and text[1] == ":")
    if not parts:
        message = "is empty; write a path in the data set's folder"
        raise ValueError(message)
    if is_absolute or ".." in parts or "\0" in text:
        message = "leads out of the data set's folder; write it relative to that"
        raise ValueError(message)
    return text


def check_braces(text: str, names: Collection[str]) -> None:
    """Refuse a pattern with other names in braces than these, or with a brace left alone.

    Raises:
        ValueError: If there is any.
    """
    listing = ", ".join(f"{{{name}}}" for name in sorted(names))
    for name in re.findall(r"{([^{}]*)}", text):
        if name not in names:
            message = f"{text!r} holds {{{name}}}; known are {listing}"
            raise ValueError(message)
    if re.search("[{}]", re.sub(r"{[^{}]*}", "", text)):
        message = f"{text!r} holds a brace without its partner; known are {listing}"
        raise ValueError(message)


class About(Table):
    """Where a data set comes from; for people."""

    page: str = ""
    """Its home page."""

    paper: str = ""
    """Its publication: arXiv number, doi or URL."""

    licence: str = ""
    """What it may be used for, in the publishers' words."""

    size: str = ""
    """How many images of which size, and bytes."""

    obtain: str = ""
    """How to get it, and what ROOT must then be."""

    torchgeo: str = ""
    """Class of `torchgeo.datasets` that downloads it."""

    torchvision: str = ""
    """Class of `torchvision.datasets` that downloads it."""

    citation: str = ""
    """How to cite it."""

    sources: tuple[str, ...] = ()
    """Where classes, colours, values and layout were checked."""


class ImageTable(Table):
    """What the images are."""

    bands: tuple[str, ...] = ("red", "green", "blue")
    """Names of the bands, in order. A gray image among colour images is repeated."""

    numbers: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Bands of the files that these are, from 1; None: all, as many as there are names."""

    npy_axes: NpyAxes | None = None
    """What the three axes of `.npy` files are: `bhw` (bands, height, width) or `hwb`."""

    resolution: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Ground side of a pixel in metres, for images that do not tell it; None: none is known."""

    @field_validator("bands")
    @classmethod
    def _some(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        if not bands or len(set(bands)) < len(bands):
            message = "give each band a name of its own"
            raise ValueError(message)
        return bands


class IndexLabels(Table):
    """One band of numbers; of a palette the numbers count, not the colours."""

    encoding: Literal["index"]

    ignore: tuple[StrictInt, ...] = ()
    """Numbers that mean `ignore`, besides the legend's own."""

    band: int | None = Field(default=None, ge=1)
    """The band to read of files that have several; None: there must be one."""

    threshold: int | None = Field(default=None, ge=1, le=65535)
    """Numbers from this on are taken as 255, those below as 0: for blurred masks."""


class ColorLabels(Table):
    """Red, green and blue, or a palette, in the legend's colours (and those in `from`)."""

    encoding: Literal["color"]

    ignore: tuple[StrictStr, ...] = ()
    """Colours as `#rrggbb` that mean `ignore`."""

    threshold: int | None = Field(default=None, ge=1, le=255)
    """Red, green and blue from this on are taken as 255, those below as 0: for blurred masks."""

    @field_validator("ignore")
    @classmethod
    def _colors(cls, colors: tuple[str, ...]) -> tuple[str, ...]:
        for color in colors:
            try:
                rgb_color(color)
            except Exception as error:
                message = f'{color!r} is no colour; write it as "#rrggbb"'
                raise ValueError(message) from error
        return colors


class RleLabels(Table):
    """A table of run lengths, counted down the columns from 1: one class and background.

    `labels` of a split names the table, with commas or tabs, with a header or without. An image
    without runs has no pixel of the class.
    """

    encoding: Literal["rle"]

    columns: tuple[str, str] | None = None
    """Headings of the columns of the image's name and of its runs; None takes the first two."""

    key: str = "{file}"
    """The image's name in the table: of `{file}`, `{stem}`, `{name}`."""

    @field_validator("key")
    @classmethod
    def _known(cls, key: str) -> str:
        check_braces(key, {"file", "stem", "name", *map(str, range(1, 10))})
        return key


class PolygonLabels(Table):
    """Vector files, burned onto the image's grid; an empty one is all background."""

    encoding: Literal["polygons"]

    field: str | None = None
    """Attribute that tells the class; None where all polygons are of one class."""

    layer: str | None = None
    """Layer of files with several."""

    buffer: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Metres by which points and lines are widened."""


class MatLabels(Table):
    """MATLAB files with an array of numbers."""

    encoding: Literal["mat"]

    variable: str
    """The array: a variable, and the fields that lead to it: `GTcls.Segmentation`."""

    ignore: tuple[StrictInt, ...] = ()
    """Numbers that mean `ignore`, besides the legend's own."""


Encoding = Annotated[
    IndexLabels | ColorLabels | RleLabels | PolygonLabels | MatLabels,
    Field(discriminator="encoding"),
]


class Part(Table):
    """Images of a split, and where their labels are.

    In patterns `*` stands for any text within one name. `labels` may use `{1}`, `{2}`, ...
    (what the first, second, ... `*` of `images` stands for), `{stem}`, `{file}` (the image's
    file name without and with suffix), `{name}`, and `*` where exactly one file fits.
    """

    images: str | None = None
    """Pattern of the images; only lists of pairs may do without."""

    labels: str | None = None
    """Pattern of the label files, or the table of run lengths; None: images without labels."""

    labels_as: Encoding | None = None
    """How these labels are encoded, where that differs from `[labels]`."""

    name: str = "{stem}"
    """What identifies an image in lists and in `only` and `except`."""

    list_: str | None = Field(default=None, alias="list")
    """File that lists the images of this split, one a line."""

    list_of: Literal["names", "pairs"] = "names"
    """What a line of the list holds: a name, or the paths of image and label with a space."""

    except_list: str | None = None
    """File of names that are left out."""

    only: tuple[str, ...] = ()
    """Names, or patterns with `*` and `[1-5]`, of the images of this split; empty: all."""

    leave_out: tuple[str, ...] = Field(default=(), alias="except")
    """Names or patterns that are left out."""

    unlabelled: Literal["refuse", "skip"] = "refuse"
    """What becomes of an image whose label file is missing."""

    pairs: int | None = Field(default=None, ge=1)
    """How many pairs were published; other counts are told, not refused."""

    @field_validator("images", "labels", "list_", "except_list")
    @classmethod
    def _inside(cls, pattern: str | None) -> str | None:
        return None if pattern is None else check_relative(pattern)

    def model_post_init(self, _context: object, /) -> None:
        """Refuse a part that names no images, or whose patterns name what is not there.

        Raises:
            ValueError: If it is one; pydantic makes it a `ValidationError`.
        """
        if self.images is None and not (self.list_ is not None and self.list_of == "pairs"):
            message = "images is missing: give a pattern such as train/images/*.png"
            raise ValueError(message)
        stars = (self.images or "").count("*")
        known = {"stem", "file", *map(str, range(1, stars + 1))}
        check_braces(self.labels or "", known | {"name"})
        check_braces(self.name, known)


class Splits(Table):
    """The official splits; each is one part or several."""

    train: tuple[Part, ...] = ()
    """To learn from."""

    val: tuple[Part, ...] = ()
    """To choose by."""

    test: tuple[Part, ...] = ()
    """To judge by."""

    @field_validator("train", "val", "test", mode="before")
    @classmethod
    def _several(cls, parts: object) -> object:
        return [parts] if isinstance(parts, dict) else parts

    def model_post_init(self, _context: object, /) -> None:
        """Refuse a data set without splits.

        Raises:
            ValueError: If it has none; pydantic makes it a `ValidationError`.
        """
        if not (self.train or self.val or self.test):
            message = "none is told: add [splits.train]"
            raise ValueError(message)


class Description(Table):
    """A labelled data set: its classes, files and splits."""

    name: str
    """As it is asked for: the name of the file."""

    title: str
    """As its publishers write it."""

    description: str = ""
    """What it shows, in a sentence or two."""

    about: About = About()
    images: ImageTable = ImageTable()
    labels: Encoding
    legend_table: dict[str, Any] = Field(alias="legend")
    splits: Splits

    roots: tuple[str, ...] = ()
    """Folders below ROOT at which the paths may begin; the first that exists, else ROOT."""

    @field_validator("roots")
    @classmethod
    def _inside(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_relative(root) for root in roots)

    @cached_property
    def legend(self) -> Legend:
        """The classes.

        Raises:
            LegendError: If they contradict themselves.
        """
        return Legend.from_dict(self.legend_table)

    def parts(self, split: Split) -> tuple[Part, ...]:
        """The parts of one split."""
        parts: tuple[Part, ...] = getattr(self.splits, split)
        return parts

    def encoding_of(self, part: Part) -> Encoding:
        """How the labels of a part are encoded."""
        return part.labels_as or self.labels

    @property
    def used_splits(self) -> tuple[Split, ...]:
        """The splits that it has."""
        return tuple(split for split in SPLITS if self.parts(split))
