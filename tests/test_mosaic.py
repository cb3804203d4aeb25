"""Many scenes made into one are predicted as the one that they were cut from."""

import json
import shutil
from itertools import pairwise

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from exact_networks import make_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from range_server import serve

from geoseg.errors import ConfigError, GeosegError, OutputError, SceneError
from geoseg.geo.raster import Scene
from geoseg.geo.vrt import check_vrt
from geoseg.mosaic import MosaicOptions, mosaic
from geoseg.predict import PredictOptions, predict
from geoseg_cli.main import main

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", batch_size=4)
PLACE = Affine(2, 0, 500_000, 0, -2, 5_300_000)
HEIGHT, WIDTH = 150, 170
KINDS = ("nodata", "mask", "alpha", "none", "float")


def write(path, data, place, kind, hidden):
    """Write a raster by rasterio alone; `hidden` (height, width) has no data."""
    nodata = {"nodata": 0, "float": float("nan")}.get(kind)
    data = data.astype("float32" if kind == "float" else "uint8")
    if nodata is not None:
        data = np.where(hidden, np.asarray(nodata, data.dtype), data)
    if kind == "alpha":
        data = np.concatenate([data, np.where(hidden, 0, 255).astype("uint8")[None]])
    count, height, width = data.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width}
    profile |= {"dtype": data.dtype, "crs": "EPSG:32632", "transform": place, "nodata": nodata}
    blocks = {"tiled": True, "blockxsize": 32, "blockysize": 48}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(path, "w", **profile, **blocks) as file,
    ):
        file.write(data)
        if kind == "alpha":
            names = ["red", "green", "blue", "alpha"]
            file.colorinterp = [rasterio.enums.ColorInterp[name] for name in names]
        if kind == "mask":
            file.write_mask(~hidden)
    return path


def cut(folder, data, hidden, kind, tiles):
    """Write each tile, given by its rows and columns, of a scene."""
    paths = []
    for number, (rows, cols) in enumerate(tiles):
        place = PLACE @ Affine.translation(cols.start, rows.start)
        inner = (slice(rows.start, rows.stop), slice(cols.start, cols.stop))
        path = folder / f"{number:02}.tif"
        paths.append(write(path, data[:, *inner], place, kind, hidden[inner]))
    return paths


def covered(tiles, shape):
    seen = np.zeros(shape, dtype=bool)
    for rows, cols in tiles:
        seen[rows.start : rows.stop, cols.start : cols.stop] = True
    return seen


def pixels(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A network that looks far enough around to see the borders of tiles."""
    path = tmp_path_factory.mktemp("bundle") / "unet.safetensors"
    make_bundle().save(path)
    return path


@pytest.fixture
def picture():
    return np.random.default_rng(3).integers(1, 255, (3, HEIGHT, WIDTH))


@st.composite
def layouts(draw):
    """Tiles that meet, overlap, and leave holes, but fill the corners."""
    rows = [0, *sorted(draw(st.sets(st.integers(20, HEIGHT - 20), max_size=2))), HEIGHT]
    cols = [0, *sorted(draw(st.sets(st.integers(20, WIDTH - 20), max_size=2))), WIDTH]
    more = draw(st.integers(0, 12))
    tiles = [
        (range(top, min(bottom + more, HEIGHT)), range(left, min(right + more, WIDTH)))
        for top, bottom in pairwise(rows)
        for left, right in pairwise(cols)
    ]
    corners = {0, len(tiles) - 1}
    dropped = draw(st.sets(st.sampled_from(range(len(tiles))), max_size=2)) - corners
    kept = [tile for number, tile in enumerate(tiles) if number not in dropped]
    return draw(st.permutations(kept))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(tiles=layouts())
def test_a_mosaic_is_read_as_the_whole(tmp_path, picture, kind, tiles):
    _make(tmp_path, picture, kind, tiles)


APART = [
    *[(range(70), range(60)), (range(70), range(60, 110)), (range(60, HEIGHT), range(50, 120))],
    *[(range(90), range(130, WIDTH)), (range(80, HEIGHT), range(115, WIDTH))],
]
"""They meet, overlap, and leave holes of several widths."""


@pytest.mark.parametrize("kind", ["nodata", "none"])
def test_a_mosaic_is_predicted_as_the_whole(tmp_path, bundle, picture, kind):
    folder = _make(tmp_path, picture, kind, APART)
    for name in ("whole.tif", "made.vrt"):
        target = (folder / name).with_suffix(".classes.tif")
        predict(folder / name, bundle, target, FP32)
    classes = pixels(folder / "whole.classes.tif")
    np.testing.assert_array_equal(pixels(folder / "made.classes.tif"), classes)
    assert len(np.unique(classes)) > 2
    # A test that cannot fail is none: the borders of files are seen where each is alone.
    alone = folder / "04.classes.tif"
    predict(folder / "04.tif", bundle, alone, FP32)
    assert (pixels(alone) != classes[:, 80:, 115:]).any()


def _make(tmp_path, picture, kind, tiles):
    """Cut tiles, make a mosaic of them, and compare it with the whole; gives their folder."""
    folder = tmp_path / "tiles"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    holes = np.random.default_rng(5).random((HEIGHT, WIDTH)) < (0 if kind == "none" else 0.2)
    seen = covered(tiles, holes.shape)
    whole_kind = "mask" if kind == "none" else kind  # what no tile covers has to be told
    whole = write(folder / "whole.tif", picture, PLACE, whole_kind, holes | ~seen)
    paths = cut(folder, picture, holes, kind, tiles)
    made = mosaic(paths, folder / "made.vrt")
    check_vrt(folder / "made.vrt")
    own, one = made.read(), Scene.open(whole).read()
    np.testing.assert_array_equal(own.valid, one.valid)
    np.testing.assert_array_equal(own.data[:, one.valid], one.data[:, one.valid])
    assert own.grid == one.grid
    return folder


HALVES = [(range(HEIGHT), range(100)), (range(HEIGHT), range(80, WIDTH))]


def test_the_later_tile_lies_on_top_where_it_has_data(tmp_path):
    empty = np.zeros((10, 10), dtype=bool)
    half = empty.copy()
    half[:, 5:] = True
    for kind in ("nodata", "mask", "alpha"):
        first = write(tmp_path / "a.tif", np.full((3, 10, 10), 1), PLACE, kind, empty)
        later = write(tmp_path / "b.tif", np.full((3, 10, 10), 2), PLACE, kind, half)
        options = MosaicOptions(overwrite=True)
        read = mosaic([first, later], tmp_path / "m.vrt", options).read()
        assert read.valid.all()
        assert read.data[0, 0].tolist() == [2] * 5 + [1] * 5
        read = mosaic([later, first], tmp_path / "m.vrt", options).read()
        assert read.data[0, 0].tolist() == [1] * 10


def odd(tmp_path, picture, **more):
    path = write(tmp_path / "odd.tif", picture, PLACE, "nodata", picture[0] < 0)
    with rasterio.open(path) as file:
        profile, data = file.profile, file.read()
    profile.update(more)
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.resize(data, (profile["count"], HEIGHT, WIDTH)).astype(profile["dtype"]))
    return path


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"crs": "EPSG:32633"}, "is in EPSG:32633, .* in EPSG:32632"),
        ({"crs": None}, "has no CRS"),
        ({"count": 2}, "bands: 2, those of .* are 3"),
        ({"dtype": "uint16"}, "type: uint16, those of .* are uint8"),
        ({"nodata": 7}, r"nodata: 7\.0, those of .* are 0\.0"),
        ({"nodata": None}, r"nodata: None, those of .* are 0\.0"),
        ({"transform": PLACE @ Affine.scale(2)}, "has pixels of 4 x -4, those of .* are 2 x -2"),
        ({"transform": PLACE @ Affine.translation(0.5, 0)}, r"lies \+0.5 columns"),
        ({"transform": PLACE @ Affine.translation(2**31, 0)}, "would make a mosaic of"),
    ],
)
def test_tiles_of_another_making_are_refused(tmp_path, picture, more, told):
    first = cut(tmp_path, picture, picture[0] < 0, "nodata", HALVES)[0]
    with pytest.raises(SceneError, match=rf"odd\.tif: {told}"):
        mosaic([first, odd(tmp_path, picture, **more)], tmp_path / "m.vrt")
    assert not (tmp_path / "m.vrt").exists()


def test_outputs_that_must_not_be_are_refused(tmp_path, picture):
    tiles = cut(tmp_path, picture, picture[0] < 0, "nodata", HALVES)
    with pytest.raises(OutputError, match=r"Name it \.vrt"):
        mosaic(tiles, tmp_path / "m.tif")
    mosaic(tiles, tmp_path / "m.vrt")
    with pytest.raises(OutputError, match="already exists"):
        mosaic(tiles, tmp_path / "m.vrt")
    with pytest.raises(OutputError, match="input"):
        mosaic([tmp_path / "m.vrt"], tmp_path / "m.vrt", MosaicOptions(overwrite=True))


def index(path, locations, **columns):
    shapes = [shapely.box(0, 0, 1, 1)] * len(locations)
    frame = geopandas.GeoDataFrame({"location": locations, **columns}, geometry=shapes, crs=32632)
    frame.to_file(path)
    return path


@pytest.mark.parametrize("suffix", ["gpkg", "fgb"])
def test_a_tile_index_is_a_mosaic(tmp_path, picture, suffix):
    tiles = cut(tmp_path, picture, picture[0] < 0, "nodata", HALVES)
    made = mosaic(index(tmp_path / f"i.gti.{suffix}", [p.name for p in tiles]), tmp_path / "m.vrt")
    np.testing.assert_array_equal(made.read().data, picture)


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("../x.tif", "outside its folder"),
        ("/etc/passwd", "outside its folder"),
        ("gone.tif", r"does not exist: gone\.tif"),
        ("https://e.org/x.tif", "give --allow-remote"),
        ("/vsizip//home/me/x.zip/x.tif", "give --allow-remote"),
        ("", "row without a file"),
        ("note.tif", "is not a raster"),
    ],
)
def test_a_tile_index_names_its_own_folder_only(tmp_path, location, told):
    (tmp_path / "note.tif").write_text("a note")
    with pytest.raises(GeosegError, match=f"(?i){told}"):
        mosaic(index(tmp_path / "i.gti.gpkg", [location]), tmp_path / "m.vrt")


@pytest.mark.parametrize(
    "location",
    [
        "/vsizip//home/me/x.zip/x.tif",
        "/vsisubfile/0_9,/home/me/x.tif",
        "/vsicurl?url=file:///x.tif",
    ],
)
def test_leave_for_urls_is_none_for_other_files_of_this_machine(tmp_path, location):
    made = index(tmp_path / "i.gti.gpkg", [location])
    with pytest.raises(SceneError, match="no file of a server"):
        mosaic(made, tmp_path / "m.vrt", MosaicOptions(allow_remote=True))


def item(name, assets, **more):
    return {
        "type": "Feature", "stac_version": "1.1.0", "id": name, "links": [], "assets": assets,
        "geometry": {"type": "Point", "coordinates": [9, 48]}, "bbox": [9, 48, 9, 48],
        "properties": {"datetime": "2024-05-01T10:00:00Z"}, **more,
    }  # fmt: skip


def asset(href, *bands, kind="image/tiff; application=geotiff; profile=cloud-optimized"):
    named = {"bands": [{"name": band} for band in bands]} if bands else {}
    return {"href": href, "type": kind, "roles": ["data"], **named}


def save(path, *items):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def test_items_are_a_mosaic_of_the_named_assets(tmp_path, picture):
    """One file a band, as Sentinel-2 comes, and one file of named bands."""
    items = []
    for number, (rows, cols) in enumerate(HALVES):
        part = picture[:, rows.start : rows.stop, cols.start : cols.stop]
        place = PLACE @ Affine.translation(cols.start, rows.start)
        assets = {"thumbnail": asset("t.png", kind="image/png")}
        for key, data in {"B04": part[:1], "B03": part[1:2], "image": part}.items():
            name = f"{number}-{key}.tif"
            write(tmp_path / name, data, place, "nodata", data[0] < 0)
            bands = ("red", "green", "blue") if key == "image" else ()
            assets[key] = asset(name, *bands)
        items.append(item(f"item-{number}", assets))
    file = save(tmp_path / "items.json", *items)
    for wanted, bands in ((("B03", "B04"), [1, 0]), (("blue", "B04"), [2, 0]), (("image",), None)):
        options = MosaicOptions(assets=wanted, overwrite=True)
        made = mosaic(file, tmp_path / "m.vrt", options)
        np.testing.assert_array_equal(made.read().data, picture[bands or [0, 1, 2]])
        assert made.band_names == (wanted if bands else ("red", "green", "blue"))
    with pytest.raises(SceneError, match=r"has 3 rasters: B04, B03, image\. Choose by --assets"):
        mosaic(file, tmp_path / "n.vrt")
    with pytest.raises(SceneError, match=r"has no assets or bands 'B08'\. Its assets are: thumb"):
        mosaic(file, tmp_path / "n.vrt", MosaicOptions(assets=("B08",)))


@pytest.mark.parametrize("kinds", [("mask", "mask"), ("none", "mask"), ("alpha", "none")])
def test_what_one_of_several_assets_lacks_is_not_valid(tmp_path, picture, kinds):
    """Each file of an item hides what its own mask or alpha hides, and no more."""
    items, lacks = [], np.zeros(picture.shape[1:], dtype=bool)
    for number, (rows, cols) in enumerate(HALVES):
        part = np.s_[rows.start : rows.stop, cols.start : cols.stop]
        place, assets = PLACE @ Affine.translation(cols.start, rows.start), {}
        for key, kind in zip(("a", "b"), kinds, strict=True):
            data, hidden = picture[(slice(None), *part)], np.zeros(lacks[part].shape, dtype=bool)
            start = 20 if key == "a" else 30
            hidden[start : start + 15, start : start + 15] = kind != "none"
            lacks[part] |= hidden
            write(tmp_path / f"{number}{key}.tif", data, place, kind, hidden)
            assets[key] = asset(f"{number}{key}.tif")
        items.append(item(f"item-{number}", assets))
    file = save(tmp_path / "items.json", *items)
    made = mosaic(file, tmp_path / "m.vrt", MosaicOptions(assets=("a", "b"))).read()
    np.testing.assert_array_equal(made.valid, ~lacks)
    np.testing.assert_array_equal(made.data[:3][:, made.valid], picture[:, ~lacks])


def test_an_item_below_shows_what_the_files_of_another_hide(tmp_path, picture):
    """The upper one covers the lower one's right half: what it hides there the lower one shows."""
    width = picture.shape[2]
    assets, hidden = [{}, {}], [np.zeros(picture.shape[1:], dtype=bool) for _ in range(2)]
    hidden[0][5:15, 5:15] = True  # of the lower one, where nothing lies above
    hidden[1][20:30, width // 2 + 5 : width // 2 + 15] = True
    for number, start in enumerate((0, width // 2)):
        place = PLACE @ Affine.translation(start, 0)
        for key in "ab":
            data, mask = picture[:, :, start:], hidden[number][:, start:]
            if key == "a" and number == 0:
                mask = np.zeros_like(mask)
            write(tmp_path / f"{number}{key}.tif", data, place, "mask", mask)
            assets[number][key] = asset(f"{number}{key}.tif")
    file = save(tmp_path / "items.json", item("lower", assets[0]), item("upper", assets[1]))
    made = mosaic(file, tmp_path / "m.vrt", MosaicOptions(assets=("a", "b"))).read()
    np.testing.assert_array_equal(made.valid, ~hidden[0])
    np.testing.assert_array_equal(made.data[:3], picture)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "holds no STAC items"),
        ("[]", "holds no STAC items"),
        ('{"type": "Catalog"}', "is of type 'Catalog'"),
        ('{"type": "FeatureCollection", "features": []}', "holds no item"),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature"}]}', "holds no STAC items"),
        (json.dumps(item("i", {})), r"items\.json \(i\): has 0 rasters: none"),
        (json.dumps(item("i", {"a": asset("/etc/passwd")})), "outside its folder"),
        (json.dumps(item("i", {"a": asset("https://e.org/a.tif")})), "Give --allow-remote"),
    ],
)
def test_what_is_no_item_is_refused(tmp_path, text, told):
    (tmp_path / "items.json").write_text(text)
    with pytest.raises(SceneError, match=told):
        mosaic(tmp_path / "items.json", tmp_path / "m.vrt")


def test_assets_are_of_items(tmp_path, picture):
    tiles = cut(tmp_path, picture, picture[0] < 0, "nodata", HALVES)
    with pytest.raises(ConfigError, match="there is no STAC item"):
        mosaic(tiles, tmp_path / "m.vrt", MosaicOptions(assets=("red",)))


def test_items_at_urls_are_one_scene(tmp_path, picture, bundle, capsys):
    """From a search's answer to a map by the command line: blocks are asked for about once."""
    write(tmp_path / "whole.tif", picture, PLACE, "nodata", picture[0] < 0)
    (tmp_path / "served").mkdir()
    tiles = cut(tmp_path / "served", picture, picture[0] < 0, "nodata", HALVES)
    with serve(tmp_path / "served") as server:
        items = [item(path.stem, {"image": asset(server.fresh(path.name))}) for path in tiles]
        file, made = save(tmp_path / "items.json", *items), tmp_path / "m.vrt"
        server.plan(503, 3, 4)
        assert main(["mosaic", str(file), "-o", str(made), "--allow-remote"]) == 0
        assert "170 x 150 pixels, 3 bands" in capsys.readouterr().out
        words = ["-m", str(bundle), "--device", "cpu", "--backend", "torch", "--precision", "fp32"]
        words += ["--batch-size", "4", "-q"]
        assert main(["predict", str(made), *words, "-o", str(tmp_path / "no.tif")]) == 2
        assert "--allow-remote" in capsys.readouterr().err
        out = str(tmp_path / "remote.tif")
        assert main(["predict", str(made), *words, "-o", out, "--allow-remote"]) == 0
        assert main(["predict", str(tmp_path / "whole.tif"), *words, "-o", out[:-4] + "2.tif"]) == 0
        np.testing.assert_array_equal(pixels(out), pixels(out[:-4] + "2.tif"))
        read = server.asked()[1] / sum(path.stat().st_size for path in tiles)
        assert read <= 2.3
