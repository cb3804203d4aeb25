import numpy as np
import pytest
import rasterio

from geoseg.errors import SceneError
from geoseg.geo.raster import Scene, SceneOptions

COLORMAP = {0: (0, 0, 0, 255), 3: (230, 25, 75, 255), 250: (1, 2, 3, 0)}


def open_bands(path, *bands):
    return Scene.open(path, SceneOptions(bands=bands))


@pytest.fixture
def named(make_scene):
    return make_scene((4, 8, 9), dtype="uint16", names=("B02", "B03", "Near infrared", ""))


@pytest.mark.parametrize(
    ("wanted", "bands", "names"),
    [
        ((1,), (1,), ("B02",)),
        ((3, 1, 4), (3, 1, 4), ("Near infrared", "B02", "")),
        ((2, 2, 2), (2, 2, 2), ("B03", "B03", "B03")),  # grey as red, green and blue
        (("b03", " NEAR infrared "), (2, 3), ("B03", "Near infrared")),
        (("4", "B02"), (4, 1), ("", "B02")),  # numbers as the command line gives them
    ],
)
def test_bands_by_number_and_name(named, wanted, bands, names):
    scene = open_bands(named, *wanted)
    assert (scene.bands, scene.band_names, scene.count) == (bands, names, len(bands))
    with rasterio.open(named) as dataset:
        assert scene.read().data.tolist() == dataset.read(list(bands)).tolist()


@pytest.mark.parametrize("wanted", [0, 5, -1, "B04", "0", "", "1.5"])
def test_unknown_bands_are_refused_with_the_choice(named, wanted):
    message = r"has no band .*\. Its bands are: 1 B02, 2 B03, 3 Near infrared, 4\.$"
    with pytest.raises(SceneError, match=message):
        open_bands(named, 1, wanted)


def test_ambiguous_names_and_empty_choices(make_scene):
    path = make_scene(names=("red", "Red", "blue"))
    with pytest.raises(SceneError, match=r"several bands 'red'\. Choose --bands by number"):
        open_bands(path, "red")
    with pytest.raises(SceneError, match="no bands to read"):
        open_bands(path)


def test_names_by_colour(make_scene):
    rgb = ("red", "green", "blue")
    assert Scene.open(make_scene(photometric="RGB")).band_names == rgb
    assert (
        Scene.open(make_scene(name="b.tif", colors=("blue", "green", "red"))).band_names
        == (rgb[::-1])
    )
    assert Scene.open(make_scene(name="c.tif", photometric="minisblack")).band_names == ("",) * 3
    assert open_bands(make_scene(name="d.tif", photometric="RGB"), "Green").bands == (2,)
    assert Scene.open(make_scene(name="e.tif", names=("a", "", ""))).band_names == ("a", "", "")


def test_alpha_is_no_band_unless_its_number_is_named(make_scene):
    rgba = ("red", "green", "blue", "alpha")
    path = make_scene((4, 8, 9), colors=rgba)
    assert Scene.open(path).bands == (1, 2, 3)
    assert open_bands(path, 1, 4).bands == (1, 4)
    assert open_bands(path, "2", "4").bands == (2, 4)
    with pytest.raises(SceneError, match="has no band 'alpha'"):
        open_bands(path, "red", "alpha")
    with pytest.raises(SceneError, match="has no band 5"):
        open_bands(path, 4, 5)
    # a band's name goes before its number, as ever
    named = make_scene((4, 8, 9), "n.tif", colors=rgba, names=("4", "b", "c", "d"))
    assert open_bands(named, "4").bands == (1,)
    assert open_bands(named, 4).bands == (4,)


def test_bands_of_unlike_types_are_refused(tmp_path, make_scene):
    make_scene((1, 16, 20), "a.tif")
    make_scene((1, 16, 20), "b.tif", dtype="float32")
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><SimpleSource><SourceFilename '
        f'relativeToVRT="1">{name}</SourceFilename></SimpleSource></VRTRasterBand>'
        for band, (kind, name) in enumerate([("Byte", "a.tif"), ("Float32", "b.tif")], start=1)
    )
    place = "<SRS>EPSG:32632</SRS><GeoTransform>0,2,0,0,0,-2</GeoTransform>"
    (tmp_path / "m.vrt").write_text(
        f'<VRTDataset rasterXSize="20" rasterYSize="16">{place}{bands}</VRTDataset>'
    )
    with pytest.raises(SceneError, match=r"types float32, uint8\. Choose --bands of one\."):
        Scene.open(tmp_path / "m.vrt")
    assert open_bands(tmp_path / "m.vrt", 2).dtype == "float32"


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex_numbers_are_refused(make_scene, dtype):
    path = make_scene(np.ones((1, 4, 4), dtype))
    with pytest.raises(SceneError, match=f"holds {dtype} numbers"):
        Scene.open(path)


@pytest.fixture(params=["uint8", "uint16"])
def paletted(request, make_scene):
    data = np.random.default_rng(0).choice([0, 3, 250], (1, 8, 9)).astype(request.param)
    return make_scene(data, colormap=COLORMAP, photometric="palette", nodata=0)


def test_paletted_scenes(paletted):
    scene = Scene.open(paletted)
    assert scene.is_paletted
    assert scene.count == 1
    for value, color in COLORMAP.items():
        assert scene.colormap[value][:3] == color[:3]
    with rasterio.open(paletted) as dataset:
        raster = scene.read()
        assert raster.data.tolist() == dataset.read().tolist()
        assert raster.valid.tolist() == (dataset.read(1) != 0).tolist()


@pytest.mark.parametrize(
    ("wanted", "channels"), [(None, (1, 2, 3)), (("blue", 1), (3, 1)), ((2,), (2,))]
)
def test_expanded_palettes(paletted, wanted, channels):
    scene = Scene.open(paletted, SceneOptions(expand_palette=True, bands=wanted))
    assert not scene.is_paletted
    assert (scene.bands, scene.count, scene.dtype) == (channels, len(channels), "uint8")
    assert scene.band_names == tuple(("red", "green", "blue")[c - 1] for c in channels)
    raster = scene.read()
    with rasterio.open(paletted) as dataset:
        values = dataset.read(1)
    assert raster.data.dtype == np.uint8
    for value, color in COLORMAP.items():
        here = values == value
        assert ([color[c - 1] for c in channels] == raster.data[:, here].T).all()
    assert raster.valid.tolist() == (values != 0).tolist()  # told by the indices, not the colours


def test_expanding_what_has_no_palette_changes_nothing(make_scene):
    path = make_scene()
    expanded = Scene.open(path, SceneOptions(expand_palette=True))
    assert expanded.read().data.tolist() == Scene.open(path).read().data.tolist()
    with pytest.raises(SceneError, match="has no band 4"):
        Scene.open(path, SceneOptions(expand_palette=True, bands=(4,)))
