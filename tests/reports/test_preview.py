from dataclasses import replace

import geopandas
import numpy as np
import pytest
import shapely
from PIL import Image

from geoseg.errors import ConfigError, LabelError, OutputError, SceneError
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.raster import Scene
from geoseg.reports import preview as module
from geoseg.reports.outlines import OUTLINE, outline_colors
from geoseg.reports.preview import PreviewOptions, preview
from geoseg_cli.main import main

COLORS = {0: (255, 255, 255), 1: (200, 30, 30), 2: (20, 120, 200)}
EMPTY = (0xF1, 0xF1, 0xEE)
LEGEND = Legend(
    classes=tuple(
        LegendClass(value=value, name=name, color="#" + bytes(COLORS[value]).hex())
        for value, name in enumerate(("ground", "house", "lake"))
    )
)
SIZE = PreviewOptions(size=400)


@pytest.fixture
def classes(make_scene):
    """Three quarters of 2 m pixels: ground, house, lake, and one without data."""
    data = np.zeros((1, 40, 40), np.uint8)
    data[0, :20, 20:], data[0, 20:, :20], data[0, 20:, 20:] = 1, 2, 255
    return make_scene(data, "classes.tif", nodata=255, colormap=COLORS)


@pytest.fixture
def scene(make_scene):
    return make_scene((4, 40, 40), "scene.tif", names=("red", "green", "blue", "nir"))


@pytest.fixture
def house(tmp_path):
    """A polygon in another CRS around rows and columns 10 to 30 of the scenes above."""
    frame = geopandas.GeoDataFrame(
        {"class_id": [1]},
        geometry=[shapely.box(500020, 5399940, 500060, 5399980)],
        crs="EPSG:32632",
    )
    path = tmp_path / "house.gpkg"
    frame.to_crs(3857).to_file(path)
    return path


def panel(path, size=400):
    """The pixels of the only panel of a square raster, as the picture shows them."""
    picture = np.array(Image.open(path).convert("RGB"))
    margin, title = module._MARGIN, module._PANEL_TITLE
    side = size - 2 * margin
    assert picture.shape[1] == size
    return picture[margin + title : margin + title + side, margin : margin + side]


def size_of(path):
    with Image.open(path) as picture:
        return picture.size


def at(pixels, row, col):
    """The colour at a place given in shares of the panel."""
    return tuple(pixels[int(row * len(pixels)), int(col * len(pixels))].tolist())


class TestClasses:
    def test_each_class_has_its_color(self, classes, tmp_path):
        shown = panel(preview([classes], tmp_path / "a.png", options=SIZE))
        assert at(shown, 0.25, 0.25) == COLORS[0]
        assert at(shown, 0.25, 0.75) == COLORS[1]
        assert at(shown, 0.55, 0.25) == COLORS[2]
        assert at(shown, 0.75, 0.75) == EMPTY

    def test_borders_of_classes_lie_where_they_are(self, classes, tmp_path):
        shown = panel(preview([classes], tmp_path / "a.png", options=SIZE))
        half = len(shown) / 2
        row = shown[len(shown) // 4]
        first_house = np.flatnonzero((row == COLORS[1]).all(axis=1))[0]
        assert abs(first_house - half) <= 1

    def test_a_legend_replaces_the_colors_of_the_file(self, classes, tmp_path):
        entries = [LegendClass(value=c.value, name=c.name, color="#123456") for c in LEGEND.classes]
        legend = Legend(classes=tuple(entries))
        shown = panel(preview([classes], tmp_path / "a.png", legend=legend, options=SIZE))
        assert at(shown, 0.25, 0.75) == (0x12, 0x34, 0x56)

    def test_a_band_of_other_values_than_the_legend_is_a_scene(self, make_scene, tmp_path):
        gray = make_scene((1, 40, 40), "gray.tif")
        shown = panel(preview([gray], tmp_path / "a.png", legend=LEGEND, options=SIZE))
        assert (shown[60:200, 60:200].std(axis=2) < 1).all()  # gray
        assert len(np.unique(shown[60:200, 60:200])) > 50

    def test_shares_are_of_valid_pixels(self, classes):
        one = module._open_panel(str(classes), LEGEND, 400, SIZE)
        assert module._shares([one], LEGEND) == pytest.approx([1 / 3] * 3)
        assert module._shares([one, one], LEGEND) == [None] * 3

    def test_a_long_legend_lists_what_is_seen(self, classes):
        more = [LegendClass(value=v, name=f"c{v}", color="#000000") for v in range(3, 30)]
        legend = Legend(classes=(*LEGEND.classes, *more))
        one = module._open_panel(str(classes), legend, 400, SIZE)
        labels = [patch.get_label() for patch in module._legend_patches([one], legend)]
        assert labels == ["ground  33.3%", "house  33.3%", "lake  33.3%"]


class TestScenes:
    def test_red_green_blue_are_found_by_name(self, make_scene, tmp_path):
        data = np.zeros((4, 40, 40), np.uint16)
        data[2, :, :20], data[0, :, 20:] = 1000, 1000
        names = ("blue", "nir", "red", "green")
        path = preview([make_scene(data, "bgr.tif", names=names)], tmp_path / "a.png", options=SIZE)
        assert at(panel(path), 0.3, 0.25) == (255, 0, 0)
        assert at(panel(path), 0.3, 0.75) == (0, 0, 255)

    @pytest.mark.parametrize("count", [1, 2, 3, 7])
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
    def test_any_count_of_bands_and_type(self, make_scene, tmp_path, count, dtype):
        path = make_scene((count, 12, 17), "any.tif", dtype=dtype)
        assert preview([path], tmp_path / "a.png", options=SIZE).stat().st_size > 1000

    def test_a_palette_of_an_image_is_kept(self, make_scene, tmp_path):
        data = np.tile(np.array([5, 9], np.uint8).repeat(20), (1, 40, 1))
        path = make_scene(data, "map.tif", colormap={5: (10, 200, 30), 9: (250, 0, 90)})
        shown = panel(preview([path], tmp_path / "a.png", options=SIZE))
        assert at(shown, 0.3, 0.25) == (10, 200, 30)
        assert at(shown, 0.3, 0.75) == (250, 0, 90)

    def test_large_rasters_are_read_small(self, make_scene):
        scene = Scene.open(make_scene(np.ones((1, 600, 3000), np.uint8), "large.tif"))
        raster = module._read(scene, 300)
        assert raster.data.shape == (1, 60, 300)
        assert raster.grid.bounds == pytest.approx(scene.grid.bounds)

    def test_narrow_rasters_stay_one_pixel_wide(self, make_scene, tmp_path):
        path = make_scene((1, 900, 1), "narrow.tif")
        preview([path], tmp_path / "a.png", options=SIZE)
        assert size_of(tmp_path / "a.png")[1] < 1000

    def test_plain_images_have_no_scale_bar(self, tmp_path):
        Image.fromarray(np.full((40, 40), 90, np.uint8)).save(tmp_path / "plain.png")
        shown = panel(preview([tmp_path / "plain.png"], tmp_path / "a.png", options=SIZE))
        assert len(np.unique(shown[5:-5, 5:-5])) == 1

    def test_several_rasters_stand_side_by_side(self, scene, classes, tmp_path):
        one = size_of(preview([scene], tmp_path / "1.png", options=SIZE))
        two = size_of(preview([scene, classes], tmp_path / "2.png", options=SIZE))
        four = size_of(preview([scene] * 4, tmp_path / "4.png", options=SIZE))
        assert one[0] == two[0] == four[0] == 400
        assert two[1] < one[1]


class TestPolygons:
    def test_they_lie_on_a_single_raster(self, classes, house, tmp_path):
        shown = panel(
            preview([classes], tmp_path / "a.png", polygons=house, legend=LEGEND, options=SIZE)
        )
        assert at(shown, 0.15, 0.15) == COLORS[0]
        red, green, blue = at(shown, 0.35, 0.35)  # inside, on white ground: a tint of the house
        assert (red, green, blue) == pytest.approx(
            [255 + 0.22 * (c - 255) for c in COLORS[1]], abs=2
        )
        edge = shown[int(0.4 * len(shown)), : len(shown) // 2]
        outline = np.flatnonzero(np.abs(edge.astype(int) - COLORS[1]).sum(axis=1) < 60)
        assert abs(outline.mean() - 0.25 * len(shown)) < 2

    def test_beside_several_rasters_they_get_a_panel(self, scene, classes, house):
        panels = [module._open_panel(str(p), None, 200, SIZE) for p in (scene, classes)]
        more = module._cover(panels, None, str(house), LEGEND, SIZE)
        assert [p.polygons is not None for p in more] == [False, False, True]
        assert more[-1].scene.path == str(scene)

    def test_the_background_is_left_out(self, classes, house):
        frame = geopandas.read_file(house)
        frame = frame.loc[[0, 0]].assign(class_id=[0, 1])
        frame.to_file(house)
        panel_of_classes = module._open_panel(str(classes), LEGEND, 200, SIZE)
        (one,) = module._cover([panel_of_classes], None, str(house), LEGEND, SIZE)
        assert one.polygons["class_id"].tolist() == [1]

    def test_labels_take_their_colors_from_the_legend(self):
        entries = [
            LegendClass(value=1, name="house", color="#c81e1e", sources=("barn", 7)),
            LegendClass(value=2, name="lake", color="#1478c8"),
        ]
        boxes = [shapely.box(0, 0, 1, 1)] * 3
        frame = geopandas.GeoDataFrame(
            {"fid": [10, 11, 12], "kind": ["barn", "lake", "other"]}, geometry=boxes
        )
        colors = outline_colors(frame, Legend(classes=tuple(entries)))
        assert colors == ["#c81e1e", "#1478c8", OUTLINE]
        assert outline_colors(frame, None) == [OUTLINE] * 3

    def test_without_a_crs_they_are_refused(self, classes, house, tmp_path):
        frame = geopandas.read_file(house).set_crs(None, allow_override=True)
        frame.to_parquet(tmp_path / "bare.parquet")
        with pytest.raises(LabelError, match="has no CRS"):
            preview([classes], tmp_path / "a.png", polygons=tmp_path / "bare.parquet")


class TestClassesOverAScene:
    def test_they_shine_through_and_their_background_is_left_out(self, make_scene, tmp_path):
        gray = np.full((3, 40, 40), 50, np.uint8)
        gray[:, 0, 0], gray[:, 0, 1] = 0, 100
        values = np.zeros((1, 40, 40), np.uint8)
        values[:, :, 20:] = 1
        scene = make_scene(gray, "scene.tif", names=("red", "green", "blue"))
        classes = make_scene(values, "classes.tif", nodata=255, colormap=COLORS)
        entries = [replace(entry, name="background") for entry in LEGEND.classes[:1]]
        legend = Legend(classes=(*entries, *LEGEND.classes[1:]))
        options = PreviewOptions(size=400, opacity=0.4, stretch=(0, 100))
        path = preview([scene], tmp_path / "a.png", classes=classes, legend=legend, options=options)
        below = round(255 * 0.5**0.8)
        mixed = [0.6 * below + 0.4 * color for color in COLORS[1]]
        assert at(panel(path), 0.5, 0.25) == (below,) * 3
        assert at(panel(path), 0.5, 0.75) == pytest.approx(mixed, abs=1)

    def test_the_legend_tells_their_shares(self, scene, classes):
        bare = [module._open_panel(str(scene), LEGEND, 200, SIZE)]
        (one,) = module._cover(bare, str(classes), None, LEGEND, SIZE)
        assert one.title == "scene.tif with classes"
        assert module._shares([one], LEGEND) == pytest.approx([1 / 3] * 3)

    def test_beside_several_rasters_both_share_a_panel(self, scene, classes, house):
        panels = [module._open_panel(str(p), None, 200, SIZE) for p in (scene, classes)]
        more = module._cover(panels, str(classes), str(house), LEGEND, SIZE)
        assert [p.title for p in more[2:]] == ["scene.tif with classes and polygons"]

    def test_a_wider_stretch_is_paler(self, make_scene, tmp_path):
        ramp = np.arange(1600, dtype=np.uint16).reshape(1, 40, 40)
        scene = make_scene(ramp, "ramp.tif")
        shown = [
            panel(preview([scene], tmp_path / f"{low}.png", options=options))
            for low in (0, 30)
            for options in [PreviewOptions(size=400, stretch=(low, 100 - low))]
        ]
        inner = np.s_[20:250, 20:-20]
        assert shown[0][inner].std() < shown[1][inner].std()

    @pytest.mark.parametrize("options", [{"opacity": 1.5}, {"stretch": (50, 50)}])
    def test_foolish_numbers(self, options):
        with pytest.raises(ConfigError, match=f"--{next(iter(options))}"):
            PreviewOptions(**options)


class TestRefusals:
    def test_an_existing_picture(self, classes, tmp_path):
        (tmp_path / "a.png").write_bytes(b"mine")
        with pytest.raises(OutputError, match="already exists"):
            preview([classes], tmp_path / "a.png")
        preview([classes], tmp_path / "a.png", overwrite=True, options=SIZE)

    def test_the_raster_itself(self, classes):
        with pytest.raises(OutputError, match="is the input itself"):
            preview([classes], classes, overwrite=True)

    def test_no_raster(self, tmp_path):
        with pytest.raises(ConfigError, match="none are given"):
            preview([], tmp_path / "a.png")

    def test_a_raster_that_is_not_there(self, tmp_path):
        with pytest.raises(SceneError, match=r"gone\.tif"):
            preview([tmp_path / "gone.tif"], tmp_path / "a.png")
        assert not list(tmp_path.iterdir())

    def test_a_foolish_size(self):
        with pytest.raises(ConfigError, match="200 to 20000"):
            PreviewOptions(size=3)


class TestCommand:
    def test_it_writes_the_picture(self, scene, classes, house, tmp_path, capsys):
        (tmp_path / "legend.toml").write_text(LEGEND.to_toml())
        words = ["preview", str(scene), str(classes), "--polygons", str(house), "--size", "600"]
        words += ["--legend", str(tmp_path / "legend.toml"), "--title", "Ours"]
        words += ["-o", str(tmp_path / "look.png")]
        assert main(words) == 0
        assert capsys.readouterr().out == f"Wrote {tmp_path / 'look.png'}\n"
        assert size_of(tmp_path / "look.png")[0] == 600

    def test_it_lays_classes_over_the_scene(self, scene, classes, tmp_path):
        output = tmp_path / "look.png"
        words = ["preview", str(scene), "--classes", str(classes), "--opacity", "0.7"]
        assert main([*words, "--stretch", "2,98", "--size", "300", "-o", str(output)]) == 0
        assert size_of(output)[0] == 300

    def test_one_percentile_is_too_few(self, scene, tmp_path, capsys):
        words = ["preview", str(scene), "--stretch", "2", "-o", str(tmp_path / "a.png")]
        assert main(words) == 2
        assert "two percentiles" in capsys.readouterr().err

    def test_a_missing_raster_is_told_in_a_line(self, tmp_path, capsys):
        assert main(["preview", str(tmp_path / "no.tif"), "-o", str(tmp_path / "a.png")]) == 2
        assert capsys.readouterr().err.count("\n") == 1
