import hashlib
import json
import logging
import sqlite3
from collections import Counter
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely import box

from geoseg.errors import (
    ConfigError,
    LabelError,
    LegendError,
    OutputError,
    SceneError,
    WorkError,
)
from geoseg.geo.labels import LabelOptions
from geoseg.geo.tileset import TileSet
from geoseg.tile import TileOptions, tile

PLACE = Affine(2, 0, 500_000, 0, -2, 5_400_000)
WHOLE = (1.0, 0.0, 0.0)


@pytest.fixture
def make_pair(make_scene):
    """A scene and its labels on the same grid; classes are stripes of 3 pixels."""

    def make(data=(3, 64, 80), stem="a", **more):
        scene = make_scene(data, f"{stem}.tif", **more)
        with rasterio.open(scene) as file:
            shape = file.shape
        place = {key: more[key] for key in ("crs", "transform") if key in more}
        classes = (np.arange(shape[0] * shape[1]).reshape(shape) // 3 % 3).astype("uint8")
        return str(scene), str(make_scene(classes[None], f"{stem}_labels.tif", **place)), classes

    return make


def whole(**more):
    return TileOptions(split=WHOLE, **more)


def hashes(root):
    files = sorted(p for p in root.rglob("*") if p.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize(
    "transform",
    [
        PLACE,
        Affine(1e-5, 0, 7, 0, -1e-5, 49),
        PLACE @ Affine.rotation(30),
        Affine(2, 0, 9, 0, 2, 9),
    ],
    ids=["north-up", "degrees", "rotated", "south-up"],
)
def test_tiles_put_together_are_the_scene(make_pair, tmp_path, dtype, transform):
    crs = "EPSG:4326" if transform.a < 1e-3 else "EPSG:32632"
    place = {"transform": transform, "crs": crs}
    # Without this rasterio itself makes the fourth of four bytes an alpha band.
    path, labels, classes = make_pair((4, 50, 70), dtype=dtype, photometric="minisblack", **place)
    tiles = tile([path], labels, tmp_path / "t", whole(size=16, stride=11))
    with rasterio.open(path) as scene:
        expected = scene.read()
    seen = np.zeros((50, 70), int)
    for one in tiles.tiles:
        rows, cols = slice(one.row, one.row + 16), slice(one.col, one.col + 16)
        with rasterio.open(one.image) as image, rasterio.open(one.mask) as mask:
            assert np.array_equal(image.read(), expected[:, rows, cols])
            assert np.array_equal(mask.read(1), classes[rows, cols])
            assert image.dtypes == (dtype,) * 4
            # All six terms, exactly: the scene's transform at whole pixels.
            assert image.transform == transform @ Affine.translation(one.col, one.row)
            assert mask.transform == image.transform
            assert image.crs == mask.crs == rasterio.crs.CRS.from_string(crs)
            assert rasterio.enums.ColorInterp.alpha not in image.colorinterp
        seen[rows, cols] += 1
    assert seen.min() >= 1


def test_names_nodata_and_counts(make_pair, tmp_path):
    data = np.random.default_rng(0).integers(1, 1000, (2, 40, 40)).astype("uint16")
    data[:, :10, :10] = 0
    data[0, 30, 30] = 0
    path, labels, classes = make_pair(data, names=("red", "nir"), nodata=0)
    tiles = tile([path], labels, tmp_path / "t", whole(size=20))
    counts = np.zeros(3, int)
    values = []
    for one in tiles.tiles:
        with rasterio.open(one.image) as image, rasterio.open(one.mask) as mask:
            assert image.descriptions == ("red", "nir")
            assert image.nodata == 0
            written = mask.read(1)
        pixels, read_mask, valid = tiles.read_tile(one)
        assert np.array_equal(read_mask, written)
        counts += np.bincount(written[written != 255], minlength=3)
        values.append(pixels[:, valid])
    assert list(tiles.class_counts["train"].values()) == counts.tolist()
    values = np.concatenate(values, axis=1)
    assert values.shape[1] == 1500
    assert tiles.stats.mean == pytest.approx(values.mean(1), rel=1e-12)
    assert tiles.stats.count == (1500, 1500)
    first = tiles.tiles[0]
    assert (first.valid_share, first.labelled_share) == (0.75, 0.75)
    shares = np.bincount(
        np.where(data[0, :20, :20] | data[1, :20, :20], classes[:20, :20], 3).ravel()
    )
    assert first.class_shares == pytest.approx(shares[:3] / 300)
    assert tiles.class_counts["val"] == {"background": 0, "class_1": 0, "class_2": 0}
    assert tiles.resolution == 2.0
    assert tiles.dtype == "uint16"


@pytest.mark.parametrize("kind", ["nodata", "mask", "alpha", "nan", "nothing"])
@pytest.mark.parametrize("format_", ["tif", "npy", "png"])
def test_valid_survives_on_disk(make_pair, tmp_path, kind, format_):
    data = np.random.default_rng(0).integers(1, 200, (3, 24, 24)).astype("uint8")
    hidden = np.zeros((24, 24), bool)
    hidden[3:9, 5:15] = kind != "nothing"
    more = {}
    if kind == "nodata":
        data[:, hidden] = 7
        data[:, ~hidden] += 8
        more = {"nodata": 7}
    elif kind == "nan":
        data = np.where(hidden, np.float32("nan"), data.astype("float32"))
    elif kind == "mask":
        more = {"mask": ~hidden}
    elif kind == "alpha":
        data = np.concatenate([data, np.where(hidden, 0, 255).astype("uint8")[None]])
        more = {"colors": ["red", "green", "blue", "alpha"]}
    if kind == "nan" and format_ == "png":
        pytest.skip("PNG holds no floats")
    path, labels, classes = make_pair(data, **more)
    tiles = tile([path], labels, tmp_path / "t", whole(size=32, format=format_))
    (one,) = tiles.tiles
    pixels, mask, valid = tiles.read_tile(one)
    assert pixels.shape == (3, 32, 32)
    expected = np.zeros((32, 32), bool)
    expected[:24, :24] = ~hidden
    assert np.array_equal(valid, expected)
    assert (mask[~expected] == 255).all()
    assert np.array_equal(mask[:24, :24][~hidden], classes[~hidden])
    assert np.array_equal(pixels[:, valid], data[:3, ~hidden])
    assert one.valid_share == pytest.approx(1 - hidden.mean())
    assert (one.height, one.width) == (24, 24)


def test_unlabelled_but_valid_pixels_stay_valid(make_scene, tmp_path):
    scene = make_scene((3, 16, 16), "a.tif", nodata=0)
    classes = np.zeros((1, 16, 16), "uint8")
    classes[:, :5] = 255
    labels = make_scene(classes, "l.tif")
    tiles = tile([str(scene)], str(labels), tmp_path / "t", whole(size=16))
    _, mask, valid = tiles.read_tile(tiles.tiles[0])
    assert valid.all()
    assert (mask == 255).sum() == 80


def test_rejections_are_counted_and_told(make_pair, tmp_path, caplog):
    data = np.full((1, 32, 64), 9, "uint8")
    data[:, :16, :32] = 0
    path, labels, _ = make_pair(data, nodata=0)
    with caplog.at_level(logging.INFO):
        tiles = tile([path], labels, tmp_path / "t", whole(size=16))
    assert len(tiles.tiles) == 6
    assert tiles.rejected["invalid"] == 2
    assert "2 with too little data" in caplog.text
    extent = geopandas.GeoDataFrame(
        geometry=[box(500_000, 5_400_000 - 64, 500_000 + 64, 5_400_000)], crs="EPSG:32632"
    )
    extent.to_file(tmp_path / "extent.gpkg")
    options = whole(
        size=16,
        min_valid=0,
        min_labelled=0.2,
        labels=LabelOptions(extent=str(tmp_path / "extent.gpkg")),
    )
    tiles = tile([path], labels, tmp_path / "u", options)
    # A tile without any data is never kept.
    assert Counter(tiles.rejected) == Counter(
        straddling=0, overlapping=0, repeated=0, invalid=2, unlabelled=4
    )


@pytest.mark.parametrize("method", ["stride", "random", "balanced"])
def test_no_pixel_is_in_two_splits(make_pair, tmp_path, method):
    first = make_pair((1, 160, 160), "a")
    second = make_pair((1, 160, 160), "b", transform=PLACE @ Affine.translation(90, 40))
    options = TileOptions(
        method=method, size=24, stride=10, count=60, split=(0.5, 0.25, 0.25), seed=3
    )
    (tmp_path / "masks").mkdir()
    for pair, stem in ((first, "a"), (second, "b")):
        (tmp_path / f"{stem}_labels.tif").rename(tmp_path / "masks" / f"{stem}.tif")
        assert pair
    tiles = tile([first[0], second[0]], str(tmp_path / "masks"), tmp_path / "t", options)
    cover = {split: np.zeros((200, 250), bool) for split in ("train", "val", "test")}
    for one in tiles.tiles:
        with rasterio.open(one.image) as image:
            col, row = ~PLACE @ (image.transform.c, image.transform.f)
        cover[one.split][round(row) : round(row) + 24, round(col) : round(col) + 24] = True
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        assert cover[a].any() and cover[b].any()
        assert not (cover[a] & cover[b]).any()
    if method != "stride":
        assert Counter(t.scene for t in tiles.tiles) == {first[0]: 60, second[0]: 60}


def test_last_defence_drops_what_a_plan_would_leak(make_pair, tmp_path, monkeypatch):
    path, labels, _ = make_pair((1, 64, 64))
    monkeypatch.setattr(
        "geoseg.geo.splits.BlockPlan.assign",
        lambda self, scene, windows: ["train" if w.col_off < 32 else "val" for w in windows],
    )
    tiles = tile([path], labels, tmp_path / "t", TileOptions(size=16, stride=8, block=32))
    assert tiles.rejected["overlapping"] > 0
    train, val = ([t.footprint for t in tiles.split(s)] for s in ("train", "val"))
    assert max((a.intersection(b).area for a in train for b in val), default=0) == 0


@pytest.mark.parametrize("method", ["stride", "random", "balanced"])
@pytest.mark.parametrize("format_", ["tif", "npy"])
def test_same_bytes_for_any_number_of_threads(make_pair, tmp_path, method, format_):
    data = np.random.default_rng(0).normal(size=(2, 150, 150)).astype("float32")
    data[:, :50, :50] = np.nan
    path, labels, _ = make_pair(data)
    found = []
    for name, jobs in (("x", 1), ("y", 4), ("z", 3)):
        options = TileOptions(
            method=method, size=20, stride=10, count=30, jobs=jobs, seed=5, format=format_
        )
        tile([path], labels, tmp_path / name, options)
        found.append(hashes(tmp_path / name))
    assert found[0] == found[1] == found[2]
    other = TileOptions(method=method, size=20, stride=10, count=30, seed=6, format=format_)
    tile([path], labels, tmp_path / "o", other)
    assert hashes(tmp_path / "o") != found[0]


def test_groups_of_windows_read_the_same_as_single_ones(make_pair, tmp_path, monkeypatch):
    path, labels, _ = make_pair((2, 90, 90))
    tile([path], labels, tmp_path / "a", whole(size=16, stride=5))
    monkeypatch.setattr("geoseg.geo.cutting._PANEL_SIDE", 40)
    tile([path], labels, tmp_path / "b", whole(size=16, stride=5))
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_paths_may_be_text_or_paths(make_pair, tmp_path):
    path, labels, _ = make_pair((1, 40, 40))
    one = tile([path], labels, tmp_path / "text", whole(size=20))
    other = tile(Path(path), Path(labels), tmp_path / "paths", whole(size=20))
    assert len(one.tiles) == len(other.tiles) == 4
    assert {p.name for p in (tmp_path / "paths/images").iterdir()} == {
        p.name for p in (tmp_path / "text/images").iterdir()
    }


def test_random_takes_what_it_can_find(make_pair, tmp_path, caplog):
    data = np.zeros((1, 40, 40), "uint8")
    data[:, 10:19, 10:19] = 5
    path, labels, _ = make_pair(data, nodata=0)
    tiles = tile([path], labels, tmp_path / "t", whole(method="random", size=9, min_valid=0.99))
    assert [(t.row, t.col) for t in tiles.tiles] == [(10, 10)]
    assert "1 of 100 tiles" in caplog.text
    assert tiles.rejected["repeated"] > 0


def test_balanced_follows_weights(make_scene, tmp_path):
    classes = np.zeros((1, 100, 100), "uint8")
    classes[:, 40:44, 40:44] = 1
    scene, labels = make_scene((1, 100, 100), "a.tif"), make_scene(classes, "l.tif")
    options = whole(method="balanced", size=5, count=10, weights={"class_1": 1.0})
    tiles = tile([str(scene)], str(labels), tmp_path / "t", options)
    assert len(tiles.tiles) == 10
    for one in tiles.tiles:
        assert 40 <= one.row + 2 < 44 and 40 <= one.col + 2 < 44
    options = whole(method="balanced", size=5, weights={"roof": 1.0})
    with pytest.raises(LegendError, match="roof"):
        tile([str(scene)], str(labels), tmp_path / "u", options)
    assert not (tmp_path / "u").exists()


def test_index_opens_with_footprints_and_shares(make_pair, tmp_path):
    first = make_pair((1, 32, 32), "a")
    tiles = tile([first[0]], first[1], tmp_path / "t", whole(size=16))
    with sqlite3.connect(tiles.root / "index.gpkg") as database:
        assert database.execute("PRAGMA user_version").fetchone() == (10300,)
    frame = geopandas.read_file(tiles.root / "index.gpkg")
    assert frame.crs == "EPSG:32632"
    assert list(frame["name"]) == [t.name for t in tiles.tiles]
    for row, one in zip(frame.itertuples(), tiles.tiles, strict=True):
        with rasterio.open(tiles.root / row.image) as image:
            assert box(*image.bounds).symmetric_difference(row.geometry).area < 1e-3
        assert (tiles.root / row.mask).exists()
        assert (row.split, row.scene, row.valid) == ("train", first[0], 1.0)
        share = (row.share_background, row.share_class_1, row.share_class_2)
        assert share == one.class_shares
        assert sum(share) == pytest.approx(1)


def test_scenes_of_two_crss(make_scene, tmp_path):
    data = np.random.default_rng(0).integers(1, 9, (1, 60, 60)).astype("uint8")
    one = make_scene(data, "one.tif", transform=Affine(10, 0, 699_000, 0, -10, 5_400_000))
    other = make_scene(
        data, "other.tif", crs="EPSG:32633", transform=Affine(10, 0, 259_000, 0, -10, 5_402_000)
    )
    zones = geopandas.GeoDataFrame({"kind": ["x"]}, geometry=[box(5, 40, 20, 60)], crs=4326)
    zones.to_file(tmp_path / "zones.gpkg")
    options = TileOptions(size=10, labels=LabelOptions(field="kind"))
    tiles = tile([str(one), str(other)], str(tmp_path / "zones.gpkg"), tmp_path / "t", options)
    assert tiles.crs == rasterio.crs.CRS.from_epsg(32632)
    with rasterio.open(tiles.tiles[-1].image) as image:
        epsg = image.crs.to_epsg()
        ring = geopandas.GeoSeries([box(*image.bounds)], crs=epsg).to_crs(32632).iloc[0]
    assert ring.symmetric_difference(tiles.tiles[-1].footprint).area < 0.01 * ring.area


def test_plain_images(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        for kind, count, top in (("images", 3, 255), ("labels", 1, 2)):
            profile = {"driver": "PNG", "width": 40, "height": 30, "count": count}
            with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
                file = rasterio.open(tmp_path / kind / f"{i}.png", "w", dtype="uint8", **profile)
            with file:
                file.write(rng.integers(0, top, (count, 30, 40)).astype("uint8"))
    options = TileOptions(size=32, format="png")
    tiles = tile([str(tmp_path / "images")], str(tmp_path / "labels"), tmp_path / "t", options)
    assert {t.split for t in tiles.tiles} == {"train", "val", "test"}
    assert tiles.crs is None and tiles.resolution is None
    assert len(tiles.tiles) + tiles.rejected["straddling"] == 16
    data, mask, valid = tiles.read_tile(tiles.tiles[0])
    assert data.shape == (3, 32, 32) and mask.max() == 255
    assert valid.sum() == 30 * 32
    as_tif = tile(
        [str(tmp_path / "images")], str(tmp_path / "labels"), tmp_path / "u", TileOptions(size=32)
    )
    assert np.array_equal(as_tif.read_tile(as_tif.tiles[0])[0], data)


def test_names_of_scenes_are_safe_and_unique(make_scene, tmp_path):
    names = ["été 1.tif", "ÉTÉ 1.tif", "测.tif"]
    scenes = [str(make_scene((1, 8, 8), name)) for name in names]
    labels = str(make_scene(np.ones((1, 8, 8), "uint8"), "l.tif"))
    tiles = tile(scenes, labels, tmp_path / "t", whole(size=8))
    assert len({t.name.lower() for t in tiles.tiles}) == 3
    assert all(t.name.isascii() for t in tiles.tiles)
    assert [t.scene for t in tiles.tiles] == scenes


def test_coarser_resolution(make_pair, tmp_path):
    path, labels, _ = make_pair((1, 64, 64))
    tiles = tile([path], labels, tmp_path / "t", whole(size=16, resolution=4.0))
    assert tiles.resolution == pytest.approx(4)
    assert len(tiles.tiles) == 4
    with rasterio.open(tiles.tiles[0].image) as image:
        assert image.res == (4, 4)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"size": 0}, "--size: 0 is below"),
        ({"size": 8, "stride": 9}, "--stride: 9"),
        ({"split": (0.5, 0.2, 0.2)}, "--split: sums to 0.9"),
        ({"min_valid": 2}, "--min-valid: 2"),
        ({"min_labelled": -1}, "--min-labelled: -1"),
        ({"format": "jpg"}, "--format: 'jpg'"),
        ({"guard": -1}, "--guard: -1"),
        ({"block": 0}, "--block: 0"),
        ({"jobs": 0}, "--jobs: 0"),
        ({"method": "grid"}, "--method: 'grid'"),
    ],
)
def test_wrong_options_are_refused(wrong, named):
    with pytest.raises(ConfigError, match=f"^{named}"):
        TileOptions(**wrong)


def test_unlike_scenes_are_refused(make_pair, make_scene, tmp_path):
    first, labels, _ = make_pair((3, 16, 16))
    for data, dtype in (((4, 16, 16), "uint8"), ((3, 16, 16), "uint16")):
        other = str(make_scene(data, "other.tif", dtype=dtype, photometric="minisblack"))
        with pytest.raises(SceneError, match="other"):
            tile([first, other], labels, tmp_path / "t", whole(size=8))
    one = str(make_scene((2, 16, 16), "one.tif", names=("red", "nir")))
    two = str(make_scene((2, 16, 16), "two.tif", names=("nir", "red")))
    with pytest.raises(SceneError, match="bands nir, red"):
        tile([one, two], labels, tmp_path / "t", whole(size=8))
    tiles = tile([one, two], labels, tmp_path / "t", whole(size=8, bands=("red", "nir")))
    assert tiles.band_names == ("red", "nir")


def test_labels_elsewhere_are_refused_with_both_extents(make_pair, make_scene, tmp_path):
    path, _, _ = make_pair((1, 16, 16))
    far = str(
        make_scene(np.ones((1, 8, 8), "uint8"), "far.tif", transform=Affine(2, 0, 9, 0, -2, 9))
    )
    with pytest.raises(LabelError, match="500000") as caught:
        tile([path], far, tmp_path / "t", whole(size=8))
    assert "9 to 25" in str(caught.value)
    assert not (tmp_path / "t").exists()


def test_png_wants_bytes(make_pair, tmp_path):
    path, labels, _ = make_pair((4, 16, 16), photometric="minisblack")
    with pytest.raises(ConfigError, match=r"^--format: png holds 1 or 3 bands"):
        tile([path], labels, tmp_path / "t", whole(size=8, format="png"))
    tiles = tile([path], labels, tmp_path / "t", whole(size=8, format="png", bands=(1, 2, 3)))
    with rasterio.open(path) as scene:
        assert np.array_equal(tiles.read_tile(tiles.tiles[0])[0], scene.read()[:3, :8, :8])


def test_nothing_left_is_an_error_and_leaves_nothing(make_pair, tmp_path):
    path, labels, _ = make_pair(np.zeros((1, 16, 16), "uint8"), nodata=0)
    with pytest.raises(ConfigError, match="4 with too little data"):
        tile([path], labels, tmp_path / "t", whole(size=8))
    assert not (tmp_path / "t").exists()
    assert not list(tmp_path.glob(".geoseg*"))


def test_output_is_not_overwritten_unasked(make_pair, tmp_path):
    path, labels, _ = make_pair((1, 16, 16))
    tile([path], labels, tmp_path / "t", whole(size=8))
    with pytest.raises(OutputError, match="overwrite"):
        tile([path], labels, tmp_path / "t", whole(size=8))
    tile([path], labels, tmp_path / "t", whole(size=16, overwrite=True))
    assert len(TileSet.open(tmp_path / "t").tiles) == 1
    with pytest.raises(OutputError, match="input"):
        tile([path], labels, tmp_path, whole(size=8, overwrite=True))


def test_full_disk_is_told_and_leaves_nothing(make_pair, tmp_path, monkeypatch):
    path, labels, _ = make_pair((1, 64, 64))
    written = []

    def write(file, content):
        written.append(file)
        if len(written) > 5:
            raise OSError(28, "No space left on device")
        return len(content)

    monkeypatch.setattr("pathlib.Path.write_bytes", write)
    with pytest.raises(WorkError, match="No space left"):
        tile([path], labels, tmp_path / "t", whole(size=8, jobs=2))
    assert not (tmp_path / "t").exists()
    assert not list(tmp_path.glob(".geoseg*"))


def test_card_tells_how_it_was_made(make_pair, tmp_path):
    path, labels, _ = make_pair((3, 64, 64))
    tiles = tile([path], labels, tmp_path / "t", TileOptions(size=8, seed=4, jobs=2))
    card = json.loads((tiles.root / "tileset.json").read_text())
    assert card["options"]["seed"] == 4
    assert "jobs" not in card["options"]
    assert card["sources"][0]["scene"] == path
    assert card["sources"][0]["scene_bytes"] > 0
    assert sum(card["tiles"].values()) == len(tiles.tiles)
    assert card["block"] % 8 == 0
