"""What hypothesis draws: scenes, windows, legends, maps and polygons, configurations."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import shapely
from affine import Affine
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from geoseg.geo.legend import Legend, LegendClass

PLACES = {
    "north up": ("EPSG:32632", Affine(2, 0, 5e5, 0, -2, 54e5)),
    "south up": ("EPSG:32632", Affine(2, 0, 5e5, 0, 2, 54e5)),
    "east to the left": ("EPSG:32632", Affine(-2, 0, 5e5, 0, -2, 54e5)),
    "rotated": ("EPSG:32632", Affine(1.5, 0.8, 5e5, 0.8, -1.5, 5e6)),
    "oblong": ("EPSG:3035", Affine(3, 0, 4e6, 0, -1 / 3, 3e6)),
    "degrees": ("EPSG:4326", Affine(1e-5, 0, 9.1, 0, -1e-5, 48.2)),
    "antimeridian": ("EPSG:4326", Affine(1e-3, 0, 179.98, 0, -1e-3, 5.0)),
}
"""CRS and transform by what is odd about them."""

LAYOUTS: tuple[dict[str, Any], ...] = (
    {},
    {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"},
    {"interleave": "band", "compress": "lzw", "predictor": 2},
    {"blockysize": 7, "endianness": "big"},
    {"bigtiff": "yes", "tiled": True, "blockxsize": 32, "blockysize": 16},
)
NODATA = {"uint8": (0, 255), "uint16": (0, 65535), "int16": (-9999,), "float32": (-9999, np.nan)}
GRAY = (rasterio.enums.ColorInterp.gray, *[rasterio.enums.ColorInterp.undefined] * 20)
FEW_BANDS = st.integers(1, 4)
HIDERS = ("nothing", "nodata", "mask", "alpha")


@dataclass(frozen=True)
class DrawnScene:
    """A raster that was drawn, and not yet written."""

    data: np.ndarray
    """(bands, height, width)."""

    valid: np.ndarray
    """(height, width), as the file will tell it."""

    hider: str
    """How the file tells it."""

    nodata: float | None
    place: str
    layout: int

    @property
    def crs(self):
        return rasterio.CRS.from_string(PLACES[self.place][0])

    @property
    def transform(self):
        return PLACES[self.place][1]

    @property
    def names(self):
        return tuple(f"band {number}" for number in range(1, len(self.data) + 1))

    def write(self, path):
        """By rasterio alone."""
        data = self.data
        if self.hider == "alpha":
            data = np.concatenate([data, 255 * self.valid[None].astype(data.dtype)])
        count, height, width = data.shape
        shape = {"count": count, "height": height, "width": width, "dtype": data.dtype}
        crs, transform = PLACES[self.place]
        profile = {"driver": "GTiff", "crs": crs, "transform": transform, "nodata": self.nodata}
        profile |= {"photometric": "minisblack"}  # else the last of four bytes is taken for alpha
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(path, "w", **profile, **shape, **LAYOUTS[self.layout]) as file,
        ):
            if self.hider == "alpha":
                file.colorinterp = [*GRAY[: count - 1], rasterio.enums.ColorInterp.alpha]
            file.write(data)
            for band, name in enumerate(self.names, start=1):
                file.set_band_description(band, name)
            if self.hider == "mask":
                file.write_mask(self.valid)
        return path


@st.composite
def scenes(draw, bands=FEW_BANDS, side=40, hiders=HIDERS, dtypes=tuple(NODATA)):
    """Scenes of any shape, type, place and layout, with a rectangle that is hidden.

    The values are whole numbers, which float32 holds, and none is nodata where it is valid.
    """
    dtype = draw(st.sampled_from(dtypes))
    shape = tuple(draw(st.integers(1, side)) for _ in range(2))
    low, high = (-500, 500) if dtype in {"int16", "float32"} else (1, 254)
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    data = chance.integers(low, high, (draw(bands), *shape), endpoint=True).astype(dtype)
    valid, hider = np.ones(shape, bool), draw(st.sampled_from(hiders))
    nodata = draw(st.sampled_from(NODATA[dtype])) if hider == "nodata" else None
    if hider != "nothing":
        valid[draw(parts(shape))] = False
    if nodata is not None:
        data[:, ~valid] = nodata
    place = draw(st.sampled_from(sorted(PLACES)))
    return DrawnScene(data, valid, hider, nodata, place, draw(st.integers(0, len(LAYOUTS) - 1)))


@st.composite
def parts(draw, shape):
    """A rectangle of an array, as slices; the whole of it at times."""
    ends = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    return tuple(slice(first, last) for first, last in ends)


def window_sizes(most=40):
    """Side of a window, and a stride that leaves nothing out."""
    return st.integers(1, most).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size)))


def class_maps(values=(0, 1, 2), side=9):
    """Small maps of some classes, (height, width) of uint8."""
    shapes = array_shapes(min_dims=2, max_dims=2, max_side=side)
    return arrays(np.uint8, shapes, elements=st.sampled_from(values))


def squares(values, transform):
    """The region of each value as one geometry of GEOS, made of pixels, in map coordinates."""
    rows, cols = np.indices(values.shape)
    pixels = shapely.box(cols, rows, cols + 1, rows + 1)
    regions = {value: shapely.union_all(pixels[values == value]) for value in np.unique(values)}
    terms = [transform.a, transform.b, transform.d, transform.e, transform.c, transform.f]
    return {value: _moved(region, terms) for value, region in regions.items()}


def _moved(geometry, terms):
    a, b, d, e, c, f = terms
    return shapely.transform(geometry, lambda xy: xy @ np.array([[a, d], [b, e]]) + (c, f))


NAMES = st.text(
    st.characters(exclude_categories=("C", "Z"), include_characters=" \"'<>&;/\\%"), min_size=1
).filter(lambda name: name.strip() == name and name.isprintable())
"""Names of classes in any script, with all that TOML, XML, SQL or a path could trip over."""


@st.composite
def legends(draw, highest=65534, most=6, sources=True):
    """Legends of any values, names and colours; the first class is not always the background."""
    values = draw(st.lists(st.integers(0, highest), min_size=1, max_size=most, unique=True))
    names = draw(st.lists(NAMES, min_size=len(values), max_size=len(values), unique=True))
    colors = draw(st.lists(st.integers(0, 0xFFFFFF), min_size=len(values), max_size=len(values)))
    ignores = [ignore for ignore in (255, 65535) if ignore not in values]
    numbers = iter(range(10**6, 10**6 + most))
    classes = [
        LegendClass(
            value=value,
            name=name,
            color=f"#{color:06x}",
            sources=(next(numbers), f"{name} too") if sources and draw(st.booleans()) else (),
        )
        for value, name, color in zip(values, names, colors, strict=True)
        if not {f"{other} too" for other in names} & {name}
    ] or [LegendClass(value=values[0], name="a", color="#000000")]
    return Legend(classes=tuple(classes), ignore=draw(st.sampled_from(ignores)))


def _table(**keys):
    """A table with any of these keys."""
    return st.fixed_dictionaries({}, optional=keys)


_SHARES = st.floats(0, 1)
_POSITIVE = st.floats(1e-9, 1e9)
_WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
_FILES = st.text(st.characters(exclude_categories=("C",), exclude_characters="/"), min_size=1)

CONFIGS = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"tiles": st.lists(_FILES.map("/sets/{}x".format), min_size=1, max_size=3)},
            optional={
                "crop": st.integers(1, 2**16),
                "sampling": st.sampled_from(["uniform", "balanced", "rare", "hard"]),
                "hard_share": _SHARES,
                "label_field": _WORDS,
                "cache_mb": st.integers(0, 10**9),
            },
        )
    },
    optional={
        "name": st.from_regex(r"\A[A-Za-z0-9_][A-Za-z0-9_ .-]*\Z"),
        "seed": st.integers(0, 2**63 - 1),
        "model": _table(
            arch=st.just("linear"),
            options=st.dictionaries(_WORDS, st.lists(st.integers() | _WORDS, max_size=3)),
        ),
        "loss": _table(
            terms=st.lists(
                st.builds(
                    lambda name, weight: {"name": name, "weight": weight},
                    st.sampled_from(["focal", "dice", "lovasz"]),
                    _POSITIVE,
                ),
                min_size=1,
                max_size=3,
            )
        ),
        "optimizer": _table(lr=_POSITIVE, name=st.sampled_from(["sgd", "adamw"])),
        "train": _table(epochs=st.integers(1, 10**6), batch_size=st.integers(1, 10**6)),
        "validate": _table(every=st.integers(1, 100)),
    },
)
"""Tables of a training configuration, such as `tomllib` gives them."""
