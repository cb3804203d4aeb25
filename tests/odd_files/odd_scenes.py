"""Scenes that are odd but right: their maps are right, too.

The network's scores are the values of its first two bands, so a pixel is of class 1 where the
second band is larger: that is told here by numpy from what was written.
"""

import numpy as np
import rasterio
from affine import Affine
from linear_models import write_bundle
from odd_files.odd_case import PREDICT, Case, noise, write_raster
from rasterio.windows import Window

from geoseg.geo.raster import Scene
from geoseg.nn.scaling import Scaling

PIXELS = noise(3, 40, 48)
CENTRES = np.stack([np.arange(20 * 24).reshape(20, 24) % 300, np.ones((20, 24))]).astype("uint16")
NAMES = ("red", "green", "blue")
ROTATED = Affine(1.5, 0.8, 5e5, 0.8, -1.5, 5e6)


def scene(data=PIXELS, name="odd.tif", names=NAMES, **profile):
    return lambda folder: write_raster(folder / name, data, names=names, **profile)


def is_map(data=PIXELS, name="out.tif", hidden=None, crs="EPSG:32632", transform=None):
    """Checks classes, nodata, CRS and all six terms of a map."""

    def check(folder):
        first, second = data[:2].astype(float)
        wanted = (second > first).astype(int)
        if hidden is not None:
            wanted[hidden] = 255
        with rasterio.open(folder / name) as file:
            np.testing.assert_array_equal(file.read(1), wanted)
            assert file.nodata == 255
            assert file.crs == rasterio.CRS.from_string(crs)
            if transform is not None:
                assert tuple(file.transform)[:6] == tuple(transform)[:6]

    return check


def lying(transform, crs="EPSG:32632"):
    """A scene in that place, whose map lies there, too."""
    return (
        scene(transform=transform, crs=crs),
        PREDICT.format("odd.tif"),
        (),
        is_map(crs=crs, transform=transform),
    )


def holed():
    data = PIXELS.astype("float32")
    data[:, 3:9, 5:11] = np.nan
    return data


def nested(folder):
    (folder / "ein Ort" / "測繪 é#%").mkdir(parents=True)
    scene(name="ein Ort/測繪 é#%/Straße 1.tif")(folder)


def broken_line(folder):
    (folder / "a\nfolder").mkdir()
    scene(name="a\nfolder/odd\n1.tif")(folder)


def many_channels(folder):
    """Class i has the weights i and -i^2/2 on bands c and 1: the class c scores highest."""
    write_raster(folder / "odd.tif", CENTRES, names=("a", "b"))
    numbers = np.arange(300.0)
    weights = np.stack([numbers, -(numbers**2) / 2], 1)
    names = tuple(f"class {number}" for number in range(300))
    write_bundle(
        folder / "odd.safetensors", weights, names=names, values=range(300),
        bands=("a", "b"), scaling=Scaling(), window=16, stride=8,
    )  # fmt: skip


def has_many_classes(folder):
    """The scene holds its own classes."""
    with rasterio.open(folder / "out.tif") as file:
        assert (file.dtypes, file.nodata) == (("uint16",), 65535)
        np.testing.assert_array_equal(file.read(1), CENTRES[0])


def locked(folder):
    (folder / "locked").mkdir()
    scene(name="locked/odd.tif")(folder)
    (folder / "locked" / "odd.tif").chmod(0o444)
    (folder / "locked").chmod(0o555)


def unlocked(folder):
    (folder / "locked").chmod(0o755)
    assert [path.name for path in (folder / "locked").iterdir()] == ["odd.tif"]
    is_map()(folder)


def sparse(folder):
    """Nine thousand million pixels, of which those in one corner are written."""
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "tiled": True, "sparse_ok": True}
    profile |= {"blockxsize": 512, "blockysize": 512, "bigtiff": "yes", "crs": "EPSG:32632"}
    transform = Affine(2, 0, 5e5, 0, -2, 54e5)
    with rasterio.open(
        folder / "odd.tif", "w", width=95_000, height=95_000, transform=transform, **profile
    ) as file:
        file.write(PIXELS, window=((94_960, 95_000), (94_952, 95_000)))


def far_corner(folder):
    read = Scene.open(folder / "odd.tif").read(Window(94_952, 94_960, 48, 40))
    np.testing.assert_array_equal(read.data, PIXELS)
    assert read.grid.transform.c == 5e5 + 2 * 94_952


def many_classes(folder):
    values = np.arange(40 * 48, dtype="uint16").reshape(1, 40, 48) % 300
    write_raster(folder / "odd.tif", values, nodata=65535)


def counts_many(folder):
    from pyogrio import read_info

    assert read_info(folder / "out.gpkg")["features"] == 40 * 48


CONTROL = PREDICT.format("odd.tif")
NAN = holed()
CASES = [
    Case("rotated", *lying(ROTATED)),
    Case("south up", *lying(Affine(2, 0, 5e5, 0, 2, 5e6))),
    Case("east to the left", *lying(Affine(-2, 0, 5e5, 0, -2, 5e6))),
    Case("in degrees", *lying(Affine(1e-5, 0, 9.1, 0, -1e-5, 48.2), "EPSG:4326")),
    Case("across the antimeridian", *lying(Affine(1e-3, 0, 179.98, 0, -1e-3, 5.0), "EPSG:4326")),
    Case("at the pole", *lying(Affine(10, 0, -240, 0, -10, 200), "EPSG:3031")),
    Case("pixels wider than high", *lying(Affine(3, 0, 5e5, 0, -0.5, 5e6))),
    Case(
        "one pixel",
        scene(PIXELS[:, :1, :1]),
        CONTROL,
        works=is_map(PIXELS[:, :1, :1]),
    ),
    Case("one row", scene(PIXELS[:, :1]), CONTROL, works=is_map(PIXELS[:, :1])),
    Case("one column", scene(PIXELS[..., :1]), CONTROL, works=is_map(PIXELS[..., :1])),
    Case(
        "thirteen bands of uint16",
        scene(noise(13, 40, 48, dtype="uint16", high=250), names=()),
        f"{CONTROL} --bands 12,3,7",
        works=is_map(noise(13, 40, 48, dtype="uint16", high=250)[[11, 2, 6]]),
    ),
    Case(
        "nodata everywhere",
        scene(np.zeros((3, 40, 48), "uint8"), nodata=0),
        CONTROL,
        works=is_map(np.zeros((3, 40, 48)), hidden=np.s_[:]),
    ),
    Case(
        "NaN in places",
        scene(NAN),
        CONTROL,
        works=is_map(PIXELS, hidden=np.s_[3:9, 5:11]),
    ),
    Case(
        "NaN everywhere",
        scene(np.full((3, 40, 48), np.nan, "float32")),
        CONTROL,
        works=is_map(np.zeros((3, 40, 48)), hidden=np.s_[:]),
    ),
    Case("as a BigTIFF", scene(bigtiff="yes"), CONTROL, works=is_map()),
    Case("in large bytes first", scene(endianness="big"), CONTROL, works=is_map()),
    Case("band by band", scene(interleave="band", compress="lzw"), CONTROL, works=is_map()),
    Case("in tiles", scene(tiled=True, blockxsize=16, blockysize=16), CONTROL, works=is_map()),
    Case(
        "of a strange name",
        nested,
        "predict 'ein Ort/測繪 é#%/Straße 1.tif' -m model.safetensors -o 'ein Ort/Kärtchen.tif'",
        works=is_map(name="ein Ort/Kärtchen.tif"),
    ),
    Case(
        "with a line break in its name",
        broken_line,
        "predict 'a\nfolder/odd\n1.tif' -m model.safetensors -o 'a\nfolder/map.tif'",
        works=is_map(name="a\nfolder/map.tif"),
    ),
    Case(
        "predicted as 300 classes",
        many_channels,
        "predict odd.tif -m odd.safetensors -o out.tif",
        works=has_many_classes,
    ),
    Case(
        "in the home folder",
        scene(),
        "predict ~/odd.tif -m ~/model.safetensors -o ~/out.tif",
        works=is_map(),
    ),
    Case("by a way round", scene(), PREDICT.format("tiles/../odd.tif"), works=is_map()),
    Case("in a folder that is locked", locked, PREDICT.format("locked/odd.tif"), works=unlocked),
    Case(
        "a link to a scene",
        lambda folder: (folder / "odd.tif").symlink_to("scene.tif"),
        CONTROL,
        works=lambda folder: is_map(rasterio.open(folder / "scene.tif").read())(folder),
    ),
    Case(
        "nine thousand million pixels",
        sparse,
        "info odd.tif",
        works=far_corner,
    ),
    Case(
        "classes by the hundred",
        many_classes,
        "vectorize odd.tif -o out.gpkg",
        works=counts_many,
    ),
]
