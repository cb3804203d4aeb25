"""Bad scenes are refused in one line, by every command that reads them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint

from geoseg_cli.main import main

GEOSEG = Path(sys.executable).with_name("geoseg")
PREDICT = "predict {} -m model.safetensors -o out.tif"
TILE = "tile {} --labels roofs.gpkg --legend legend.toml --label-field kind --size 16 -o out"
READERS = {
    "predict": PREDICT,
    "tile": TILE,
    "vectorize": "vectorize {} -o out.gpkg",
    "evaluate": "evaluate {} --labels roofs.gpkg --legend legend.toml --label-field kind -o out",
    "preview": "preview {} -o out.png",
    "info": "info {}",
}


@pytest.fixture(params=READERS)
def reader(request):
    """Each command, with a place for the scene."""
    return READERS[request.param]


def cut(path, share):
    """Take the end off a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_missing(refuse, reader):
    refuse(reader.format("none.tif"), "none.tif", cure="Check the path")


def test_missing_among_good_ones(refuse):
    words = PREDICT.replace("out.tif", "out").format("scene.tif none.tif")
    refuse(words, "none.tif", cure="Check the path")


def test_empty(refuse, reader, place):
    (place / "empty.tif").touch()
    refuse(reader.format("empty.tif"), "empty.tif: is empty", cure="Restore the file")


def test_no_raster(refuse, reader, place):
    (place / "text.tif").write_text("this is no raster\n" * 99)
    refuse(reader.format("text.tif"), "text.tif: is not a raster", cure="Check the file")


def test_random_bytes(refuse, reader, place):
    (place / "noise.tif").write_bytes(b"II*\0" + np.random.default_rng(1).bytes(5000))
    refuse(reader.format("noise.tif"), "noise.tif: is not a raster", cure="Check the file")


def test_a_vector_file(refuse, reader, place):
    refuse(reader.format("roofs.gpkg"), "roofs.gpkg: is not a raster", cure="Check the file")


def test_cut_in_the_header(refuse, reader, place):
    cut(place / "classes.tif", 0.02)
    refuse(reader.format("classes.tif"), "classes.tif: is not a raster", cure="Check the file")


@pytest.mark.parametrize("job", ["predict", "tile"])
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "jpeg", "zstd", "packbits"])
def test_cut_in_the_pixels(refuse, make_scene, job, compress):
    cut(make_scene((3, 40, 48), "cut.tif", compress=compress), 0.6)
    refuse(READERS[job].format("cut.tif"), "cut.tif: cannot be read at rows", cure="restore it")


@pytest.mark.parametrize("job", ["vectorize", "evaluate"])
def test_cut_in_the_classes(refuse, place, job):
    cut(place / "classes.tif", 0.6)
    refuse(READERS[job].format("classes.tif"), "classes.tif: cannot be read", cure="estore")


def test_cut_where_no_look_was_taken(refuse, make_scene):
    """The first look reads samples; the end is missed only when the rows before are written."""
    cut(make_scene((3, 600, 20), "cut.tif"), 0.97)
    more = " -q --probabilities p.tif --polygons p.gpkg"  # the first polygons are told to compile
    refuse(PREDICT.format("cut.tif") + more, "cut.tif: cannot be read", cure="restore it")
    in_folders = "predict cut.tif -m model.safetensors -q -o a/b --probabilities c --polygons d"
    refuse(in_folders, "cut.tif: cannot be read", cure="restore it")


@pytest.mark.parametrize(("driver", "suffix"), [("PNG", "png"), ("JPEG", "jpg")])
@pytest.mark.parametrize("job", ["predict", "tile"])
def test_cut_plain_image(refuse, make_scene, make_labels, driver, suffix, job):
    path = make_scene((3, 64, 64), f"cut.{suffix}", driver=driver, crs=None, transform=None)
    cut(path, 0.5)
    make_labels("plain.gpkg", crs=None, corner=(0, 64))
    words = READERS[job].replace("roofs", "plain").format(path.name)
    refuse(words, f"cut.{suffix}: ", cure="estore")


def test_folder_without_scenes(refuse, reader, place):
    (place / "folder").mkdir()
    (place / "folder" / "notes.txt").write_text("none")
    cure = "Name the files" if reader == READERS["vectorize"] else "Check the path"
    refuse(reader.format("folder"), "folder: ", cure=cure)


def test_glob_without_scenes(refuse, reader):
    refuse(reader.format("'none*.tif'"), "none*.tif: ", cure="Check the path")


@pytest.mark.parametrize("job", ["predict", "tile", "evaluate"])
def test_lists(refuse, place, job):
    reader = READERS[job]
    refuse(reader.format("@none.txt"), "@none.txt: is no list", cure="Name a text file")
    (place / "empty.txt").write_text("# nothing\n\n")
    refuse(reader.format("@empty.txt"), "@empty.txt: holds no path", cure="Name a text file")
    (place / "list.txt").write_text("scene.tif\nnone.tif\n")
    refuse(reader.format("@list.txt"), "none.tif: stands for no scene", cure="Check the path")
    (place / "binary.txt").write_bytes(b"\xff\xfe\x00")
    refuse(reader.format("@binary.txt"), "@binary.txt: is no list", cure="Name a text file")


@pytest.mark.parametrize("job", ["predict", "tile"])
def test_no_crs(refuse, make_scene, job):
    make_scene((3, 40, 48), "bare.tif", crs=None)
    refuse(READERS[job].format("bare.tif"), "bare.tif: has no CRS", cure="--assume-crs EPSG:32632")


@pytest.mark.parametrize("job", ["predict", "tile"])
def test_no_place(refuse, make_scene, job):
    make_scene((3, 40, 48), "bare.tif", crs=None, transform=None)
    problem = "bare.tif: has no place on the ground"
    refuse(READERS[job].format("bare.tif"), problem, cure="--assume-crs none")


@pytest.mark.parametrize("job", ["predict", "tile", "vectorize", "evaluate"])
def test_wrong_assumed_crs(refuse, make_scene, job):
    make_scene((3 if job in {"predict", "tile"} else 1, 40, 48), "bare.tif", crs=None)
    words = READERS[job].format("bare.tif") + " --assume-crs EPSG:1"
    refuse(words, "--assume-crs: 'EPSG:1' is no CRS", cure="EPSG:32632")


@pytest.mark.parametrize("job", ["predict", "tile"])
def test_ground_control_points_only(refuse, place, job):
    corners = [(0, 0), (0, 48), (40, 0)]
    points = [GroundControlPoint(r, c, 5e5 + 2 * c, 54e5 - 2 * r) for r, c in corners]
    profile = {"driver": "GTiff", "width": 48, "height": 40, "count": 3, "dtype": "uint8"}
    with rasterio.open("gcp.tif", "w", gcps=points, crs="EPSG:32632", **profile) as file:
        file.write(np.ones((3, 40, 48), "uint8"))
    problem = "gcp.tif: has ground control points only"
    refuse(READERS[job].format("gcp.tif"), problem, cure="gdalwarp")


@pytest.mark.parametrize("job", ["predict", "tile"])
def test_palette(refuse, make_scene, job):
    make_scene((1, 40, 48), "colors.tif", colormap={n: (n, 0, 0, 255) for n in range(256)})
    refuse(READERS[job].format("colors.tif"), "colors.tif", cure="--expand-palette")


@pytest.mark.parametrize("count", [1, 2, 5, 13])
def test_band_count_unlike_the_models(refuse, make_scene, count):
    make_scene((count, 40, 48), "many.tif")
    parts = "many.tif: has", f"{count} band", "the model wants 3 (red, green, blue)"
    refuse(PREDICT.format("many.tif"), *parts, cure="--bands")


def test_bands_unlike_by_name(refuse, make_scene):
    make_scene((3, 40, 48), "nir.tif", names=("red", "green", "nir"))
    refuse(PREDICT.format("nir.tif"), "nir.tif: has no band blue", cure="--bands")


@pytest.mark.parametrize("job", ["predict", "tile"])
@pytest.mark.parametrize("bands", ["1,2,9", "red,green,swir"])
def test_bands_that_are_not_there(refuse, job, bands):
    words = READERS[job].format("scene.tif") + f" --bands {bands}"
    refuse(words, "scene.tif: has no band", cure="Its bands are: ")


@pytest.mark.parametrize("bands", ["0,1,2", "1,,2", "-1"])
def test_bands_that_cannot_be(refuse, bands):
    words = PREDICT.format("scene.tif") + f" --bands={bands}"
    refuse(words, "'--bands'", cure="See geoseg predict --help")


def test_too_few_bands_chosen(refuse):
    words = PREDICT.format("scene.tif") + " --bands 1,2"
    refuse(words, "scene.tif: has 2 bands", "the model wants 3", cure="--bands")


def test_large_values_for_a_model_of_bytes(refuse, make_scene):
    make_scene(np.full((3, 40, 48), 9000, "uint16"), "wide.tif")
    refuse(PREDICT.format("wide.tif"), "wide.tif", "uint16", "uint8", cure="--scale")


def test_complex_numbers(refuse, make_scene):
    make_scene(np.ones((3, 40, 48), "complex64"), "radar.tif")
    refuse(PREDICT.format("radar.tif"), "radar.tif: holds complex64", cure="amplitude")


def test_scenes_unlike_each_other(refuse, make_scene):
    make_scene((2, 40, 48), "two.tif")
    parts = "two.tif: has 2 bands of uint8, scene.tif has 3"
    refuse(TILE.format("scene.tif two.tif"), parts, cure="--bands")


VRT = """<VRTDataset rasterXSize="48" rasterYSize="40">
<SRS>EPSG:32632</SRS><GeoTransform>500000, 2, 0, 5400000, 0, -2</GeoTransform>
<VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.mark.parametrize("source", ["../scene.tif", "/etc/passwd", "https://a.org/a.tif"])
def test_vrt_that_points_outside(refuse, reader, place, source):
    (place / "in").mkdir()
    relative = int(source.startswith(".."))
    (place / "in" / "a.vrt").write_text(VRT.format(source=source, relative=relative))
    cure = "--allow-remote" if "://" in source else "--trust-vrt"
    refuse(reader.format("in/a.vrt"), "in/a.vrt: has a source", source, cure=cure)


@pytest.mark.parametrize("words", ["info in/a.vrt", "preview in/a.vrt -o out.png --size 200"])
def test_what_looks_at_a_vrt_can_be_told_to_trust_it(place, words):
    (place / "in").mkdir()
    (place / "in" / "a.vrt").write_text(VRT.format(source="../scene.tif", relative=1))
    assert main([*words.split(), "-q"]) == 2
    assert main([*words.split(), "-q", "--trust-vrt"]) == 0


def test_vrt_of_a_missing_file(refuse, reader, place):
    (place / "a.vrt").write_text(VRT.format(source="none.tif", relative=1))
    refuse(reader.format("a.vrt"), "a.vrt: has a source that does not exist", cure="Restore it")


def test_vrt_of_a_cut_file(refuse, place):
    cut(place / "scene.tif", 0.5)
    (place / "a.vrt").write_text(VRT.format(source="scene.tif", relative=1))
    words = PREDICT.format("a.vrt") + " --bands 1,1,1"
    refuse(words, "a.vrt: cannot be read at rows", cure="restore it")


def test_vrt_that_is_no_xml(refuse, reader, place):
    (place / "a.vrt").write_text("<VRTDataset>")
    refuse(reader.format("a.vrt"), "a.vrt: is not a VRT", cure="Check the file")


@pytest.mark.parametrize("name", ["none.tif", "cut.tif"])
def test_as_a_process(place, make_scene, name):
    cut(make_scene((3, 40, 48), "cut.tif"), 0.6)
    before = sorted(place.iterdir())
    words = [GEOSEG, *PREDICT.format(name).split()]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {name}: ")
    assert done.stderr.count("\n") == 1
    assert sorted(place.iterdir()) == before
