"""Looking through data sets: every encoding of labels, and what can be wrong with them."""

import json
import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning
from scipy.io import savemat

from geoseg.errors import LabelError, LegendError
from geoseg.geo.dataset_check import examine, open_image
from geoseg.geo.dataset_description import parse_description
from geoseg.geo.dataset_tables import ImageTable

MASK = np.array([[0, 1, 1, 0], [2, 2, 0, 1]], np.uint8)
COLORS = {0: (0, 0, 0), 1: (255, 0, 0), 2: (0, 0, 255)}
LEGEND = {
    "ignore": 255,
    "classes": [
        {"value": 0, "name": "ground", "color": "#000000"},
        {"value": 1, "name": "roof", "color": "#ff0000"},
        {"value": 2, "name": "water", "color": "#0000ff"},
    ],
}
BINARY = {"classes": LEGEND["classes"][:2]}
COUNTS = {"ground": 3, "roof": 3, "water": 2}
UTM = {"crs": "EPSG:32632", "transform": Affine(2, 0, 500_000, 0, -2, 5_400_000)}
DRIVERS = {".png": "PNG", ".tif": "GTiff", ".jpg": "JPEG"}


def describe(labels=None, legend=LEGEND, pattern="m/{stem}.png", **more):
    tables = {
        "title": "x",
        "labels": labels or {"encoding": "index"},
        "legend": legend,
        "splits": {"train": {"images": "i/*.*", "labels": pattern}},
    }
    return parse_description({**tables, **more}, "x")


@pytest.fixture
def write(tmp_path):
    """`write("i/a.png", data)`: a raster of (bands, height, width) by rasterio alone."""

    def make(path, data, palette=None, **profile):
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        data = np.asarray(data)
        data = data if data.ndim == 3 else data[None]
        shape = dict(zip(("count", "height", "width"), data.shape, strict=True))
        profile = {"driver": DRIVERS[file.suffix], "dtype": data.dtype, **shape, **profile}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(file, "w", **profile) as dataset:
                dataset.write(data)
                if palette is not None:
                    dataset.write_colormap(1, palette)
        return file

    return make


@pytest.fixture
def image(write):
    return write("i/a.png", np.full((3, *MASK.shape), 7, np.uint8))


def look(description, folder):
    report, samples = examine(description, folder, jobs=1)
    masks = [
        s.source.labels.mask(s.source.scene.grid) if s.source is not None else None for s in samples
    ]
    return report, masks


def good(description, folder):
    report, masks = look(description, folder)
    assert report.faults == ()
    return report, masks[0]


def fault(description, folder):
    report, masks = look(description, folder)
    assert masks == [None]
    (only,) = report.faults
    return only


def rgb(mask, colors=None):
    table = np.array([(colors or COLORS)[value] for value in range(3)], np.uint8)
    return table[mask].transpose(2, 0, 1)


def test_numbers_mean_classes(image, write, tmp_path):
    write("m/a.png", MASK)
    report, mask = good(describe(), tmp_path)
    np.testing.assert_array_equal(mask, MASK)
    assert report.class_pixels == {"train": COUNTS}
    assert (report.pairs, report.ignored) == ({"train": 1}, {"train": 0})
    assert (report.sizes, report.dtype) == ({"2 x 4": 1}, "uint8")
    json.dumps(report.to_dict())


def test_numbers_are_mapped_and_ignored(image, write, tmp_path):
    classes = [{**entry, "from": [10 * (entry["value"] + 1)]} for entry in LEGEND["classes"]]
    numbers = np.array([0, 10, 20, 30, 255, 70, 30, 10], np.uint8).reshape(2, 4)
    write("m/a.png", numbers)
    labels = {"encoding": "index", "ignore": [0, 70]}
    report, mask = good(describe(labels, {"classes": classes}), tmp_path)
    np.testing.assert_array_equal(mask.ravel(), [255, 0, 1, 2, 255, 255, 2, 0])
    assert report.ignored == {"train": 3}


def test_numbers_of_sixteen_bits(image, write, tmp_path):
    classes = [{"value": 0, "name": "a"}, {"value": 1, "name": "b", "from": [40_000]}]
    write("m/a.png", np.where(MASK == 1, 40_000, 0).astype(np.uint16))
    _, mask = good(describe(legend={"classes": classes}), tmp_path)
    np.testing.assert_array_equal(mask, MASK == 1)


def test_nodata_of_a_label_file_hides_no_class(image, write, tmp_path):
    write("m/a.tif", MASK, nodata=0)
    report, mask = good(describe(pattern="m/{stem}.tif"), tmp_path)
    np.testing.assert_array_equal(mask, MASK)
    write("m/a.tif", np.where(MASK == 1, 99, MASK).astype(np.uint8), nodata=99)
    report, mask = good(describe(pattern="m/{stem}.tif"), tmp_path)
    assert report.ignored == {"train": 3}
    np.testing.assert_array_equal(mask == 255, MASK == 1)


def test_of_a_palette_the_numbers_count(image, write, tmp_path):
    write("m/a.png", MASK, palette={0: (9, 9, 9), 1: (0, 0, 255), 2: (255, 0, 0)})
    _, mask = good(describe(), tmp_path)
    np.testing.assert_array_equal(mask, MASK)


def test_of_a_palette_the_colours_count_where_colours_are_said(image, write, tmp_path):
    write("m/a.png", MASK, palette={0: (0, 0, 255), 1: (0, 0, 0), 2: (255, 0, 0)})
    _, mask = good(describe({"encoding": "color"}), tmp_path)
    np.testing.assert_array_equal(mask, np.array([2, 0, 1])[MASK])


def test_colours_mean_classes(image, write, tmp_path):
    colors = {**COLORS, 2: (1, 2, 3)}
    write("m/a.png", rgb(MASK, colors))
    labels = {"encoding": "color", "ignore": ["#010203"]}
    report, mask = good(describe(labels), tmp_path)
    np.testing.assert_array_equal(mask, np.array([0, 1, 255])[MASK])
    assert report.ignored == {"train": 2}
    assert report.notes == ("classes without a pixel: water",)


def test_blurred_colours_and_numbers_are_sharpened(image, write, tmp_path):
    noise = np.random.default_rng(1).integers(0, 100, (3, *MASK.shape)).astype(np.uint8)
    write("m/a.png", np.where(rgb(MASK) > 0, 255 - noise, noise))
    _, mask = good(describe({"encoding": "color", "threshold": 128}), tmp_path)
    np.testing.assert_array_equal(mask, MASK)
    write("m/a.png", np.where(MASK == 1, 255 - noise[0], noise[0]).astype(np.uint8))
    classes = [{"value": 0, "name": "a"}, {"value": 1, "name": "b", "from": [255]}]
    labels = {"encoding": "index", "threshold": 128}
    _, mask = good(describe(labels, {"classes": classes}), tmp_path)
    np.testing.assert_array_equal(mask, MASK == 1)


def test_transparent_labels_are_ignored(image, write, tmp_path):
    alpha = np.where(MASK == 2, 0, 255).astype(np.uint8)
    write("m/a.png", np.concatenate([rgb(MASK), alpha[None]]))
    report, mask = good(describe({"encoding": "color"}), tmp_path)
    np.testing.assert_array_equal(mask, np.array([0, 1, 255])[MASK])
    assert report.ignored == {"train": 2}


def test_one_band_of_several_equal_ones(image, write, tmp_path):
    write("m/a.png", np.stack([MASK] * 3))
    _, mask = good(describe({"encoding": "index", "band": 1}), tmp_path)
    np.testing.assert_array_equal(mask, MASK)


def test_run_lengths(image, write, tmp_path):
    # down the columns from 1: pixels 1 | 2, 3 | 4, 5 | 6, 7 | 8; ones at (0,1), (0,2), (1,3)
    (tmp_path / "t.csv").write_text("name,mask\na.png,3 1 5 1 8 1\n")
    labels = {"encoding": "rle", "columns": ["name", "mask"]}
    report, mask = good(describe(labels, BINARY, "t.csv"), tmp_path)
    np.testing.assert_array_equal(mask, MASK == 1)
    assert report.class_pixels["train"] == {"ground": 5, "roof": 3}


def test_matlab_files(image, tmp_path):
    (tmp_path / "m").mkdir()
    savemat(tmp_path / "m" / "a.mat", {"GTcls": {"Segmentation": MASK}})
    labels = {"encoding": "mat", "variable": "GTcls.Segmentation", "ignore": [7]}
    _, mask = good(describe(labels, pattern="m/{stem}.mat"), tmp_path)
    np.testing.assert_array_equal(mask, MASK)


@pytest.fixture
def scene(write):
    return write("i/a.tif", np.full((3, 4, 4), 7, np.uint8), **UTM)


def geojson(folder, *rings):
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [r]}}
        for r in rings
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32632"}}
    text = json.dumps({"type": "FeatureCollection", "crs": crs, "features": features})
    (folder / "a.geojson").write_text(text)


def square(col, row, size):
    left, top, side = 500_000 + 2 * col, 5_400_000 - 2 * row, 2 * size
    right, low = left + side, top - side
    return [[left, top], [right, top], [right, low], [left, low], [left, top]]


def test_polygons(scene, tmp_path):
    geojson(tmp_path, square(1, 1, 2))
    description = describe({"encoding": "polygons"}, BINARY, "{stem}.geojson")
    report, mask = good(description, tmp_path)
    expected = np.zeros((4, 4))
    expected[1:3, 1:3] = 1
    np.testing.assert_array_equal(mask, expected)
    assert report.class_pixels["train"] == {"ground": 12, "roof": 4}


def test_no_polygon_is_all_background(scene, tmp_path):
    geojson(tmp_path)
    description = describe({"encoding": "polygons"}, BINARY, "{stem}.geojson")
    report, mask = good(description, tmp_path)
    assert not mask.any()
    assert report.class_pixels["train"] == {"ground": 16, "roof": 0}


def test_polygons_elsewhere_are_a_fault(scene, tmp_path):
    geojson(tmp_path, square(100, 100, 2))
    found = fault(describe({"encoding": "polygons"}, BINARY, "{stem}.geojson"), tmp_path)
    assert (found.kind, found.path) == ("label", "a.geojson")
    assert "lies away from its image" in found.problem


def test_unlike_sizes_are_a_fault(image, write, tmp_path):
    write("m/a.png", MASK.T)
    found = fault(describe(), tmp_path)
    assert str(found) == "m/a.png: has 4 x 2 pixels, its image 2 x 4"
    assert found.kind == "size"


def test_labels_of_another_place_are_a_fault(scene, write, tmp_path):
    moved = {**UTM, "transform": Affine(2, 0, 500_004, 0, -2, 5_400_000)}
    write("m/a.tif", np.zeros((4, 4), np.uint8), **moved)
    found = fault(describe(pattern="m/{stem}.tif"), tmp_path)
    assert "begins 0 rows and 2 columns away from its image" in found.problem
    write("m/a.tif", np.zeros((4, 4), np.uint8), **UTM)
    good(describe(pattern="m/{stem}.tif"), tmp_path)


@pytest.mark.parametrize(
    ("data", "labels", "problem"),
    [
        (rgb(MASK), {"encoding": "index"}, "has 3 bands of uint8, numbers are expected"),
        (MASK, {"encoding": "color"}, "has 1 bands of uint8, colours are expected"),
        (rgb(MASK).astype(np.uint16), {"encoding": "color"}, "3 bands of uint16"),
        (rgb(MASK), {"encoding": "index", "band": 4}, "has no band 4"),
    ],
)
def test_labels_of_another_mode_are_a_fault(image, write, tmp_path, data, labels, problem):
    write("m/a.png", data)
    found = fault(describe(labels), tmp_path)
    assert found.kind == "label"
    assert problem in found.problem


def test_fractions_are_a_fault(image, write, tmp_path):
    write("m/a.tif", MASK + np.float32(0.5))
    assert "holds fractions" in fault(describe(pattern="m/{stem}.tif"), tmp_path).problem


def test_unknown_numbers_are_listed_with_their_pixels(image, write, tmp_path):
    write("i/b.png", np.full((3, *MASK.shape), 7, np.uint8))
    write("m/a.png", np.where(MASK == 1, 9, MASK).astype(np.uint8))
    write("m/b.png", np.where(MASK == 2, 9, MASK * 200).astype(np.uint8))
    report, masks = look(describe(), tmp_path)
    assert masks == [None, None]
    assert report.unknown == {"9": 5, "200": 3}
    assert [str(f) for f in report.faults] == [
        "m/a.png: values that are not in the legend: 9 (3 pixels)",
        "m/b.png: values that are not in the legend: 200 (3 pixels), 9 (2 pixels)",
    ]


def test_unknown_colours_are_listed_with_their_pixels(image, write, tmp_path):
    write("m/a.png", rgb(MASK, {**COLORS, 2: (1, 2, 3)}))
    report, _ = look(describe({"encoding": "color"}), tmp_path)
    assert report.unknown == {"#010203": 2}


@pytest.mark.parametrize(
    ("runs", "problem"),
    [
        ("1 2 2 1", "overlaps"),
        ("1", "odd count"),
        ("7 3", "leaves the 2 x 4 pixels"),
        ("0 1", "leaves the 2 x 4 pixels"),
        ("1 x", "'x'"),
    ],
)
def test_broken_run_lengths_are_a_fault(image, tmp_path, runs, problem):
    (tmp_path / "t.csv").write_text(f"a.png\t{runs}\n")
    found = fault(describe({"encoding": "rle"}, BINARY, "t.csv"), tmp_path)
    assert found.path.endswith("t.csv, a.png")
    assert problem in found.problem


def test_a_table_without_the_header_is_refused(image, tmp_path):
    (tmp_path / "t.csv").write_text("a.png,1 2\n")
    labels = {"encoding": "rle", "columns": ["name", "mask"]}
    with pytest.raises(LabelError, match="has no column 'name'"):
        examine(describe(labels, BINARY, "t.csv"), tmp_path)


def test_run_lengths_want_two_classes(image, tmp_path):
    (tmp_path / "t.csv").write_text("a.png,1 2\n")
    with pytest.raises(LegendError, match="one class from background"):
        examine(describe({"encoding": "rle"}, LEGEND, "t.csv"), tmp_path)


def test_a_number_cannot_be_class_and_ignored(image, write, tmp_path):
    write("m/a.png", MASK)
    with pytest.raises(LegendError, match=r'^x: .* lists 1, which also means class "roof"'):
        examine(describe({"encoding": "index", "ignore": [1]}), tmp_path)


def test_damaged_files_are_faults(image, write, tmp_path):
    write("m/a.png", MASK).write_bytes(b"no image")
    assert fault(describe(), tmp_path).kind == "label"
    image.write_bytes(b"")
    assert fault(describe(), tmp_path).kind == "image"


def test_images_of_another_type_than_most_are_a_fault(write, tmp_path):
    for name in "abc":
        dtype = np.uint16 if name == "b" else np.uint8
        write(f"i/{name}.png", np.full((3, *MASK.shape), 7, dtype))
        write(f"m/{name}.png", MASK)
    report, _ = look(describe(), tmp_path)
    assert [str(f) for f in report.faults] == ["i/b.png: is of uint16, most images are of uint8"]
    assert report.sizes == {"2 x 4": 2}


def test_published_counts_are_compared(image, write, tmp_path):
    write("m/a.png", MASK)
    part = {"images": "i/*.png", "labels": "m/{stem}.png", "pairs": 5}
    report, _ = good(describe(splits={"train": part}), tmp_path)
    assert report.notes == ("1 pairs of train, 5 were published",)


def test_gray_images_among_colour_ones_are_repeated(write):
    data = np.arange(8, dtype=np.uint8).reshape(2, 4)
    scene = open_image(str(write("i/a.png", data)), ImageTable())
    np.testing.assert_array_equal(scene.read().data, np.stack([data] * 3))
    assert scene.band_names == ("red", "green", "blue")


def test_bands_are_chosen_by_number(write):
    data = np.arange(32, dtype=np.uint8).reshape(4, 2, 4)
    path = str(write("i/a.tif", data, photometric="minisblack"))
    table = ImageTable(bands=("nir", "red"), numbers=(4, 1))
    np.testing.assert_array_equal(open_image(path, table).read().data, data[[3, 0]])


@pytest.mark.parametrize(("axes", "order"), [("bhw", (0, 1, 2)), ("hwb", (1, 2, 0))])
def test_arrays_of_numpy(tmp_path, axes, order):
    data = np.arange(16, dtype=np.float32).reshape(2, 2, 4)
    for folder in "im":
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "i" / "a.npy", data.transpose(order))
    np.save(tmp_path / "m" / "a.npy", MASK)
    images = {"bands": ["vv", "vh"], "npy_axes": axes}
    description = describe(pattern="m/{stem}.npy", images=images)
    _, samples = examine(description, tmp_path, jobs=1)
    np.testing.assert_array_equal(samples[0].source.scene.read().data, data)
    _, mask = good(description, tmp_path)
    np.testing.assert_array_equal(mask, MASK)
