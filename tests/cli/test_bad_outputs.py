"""Outputs that must not or cannot be written are refused before any work, in one line."""

import errno
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

GEOSEG = Path(sys.executable).with_name("geoseg")
LABELS = "--labels roofs.gpkg --legend legend.toml --label-field kind"
FILES = {
    "classes": "predict scene.tif -m model.safetensors -o {}",
    "probabilities": "predict scene.tif -m model.safetensors -o out.tif --probabilities {}",
    "polygons": "predict scene.tif -m model.safetensors -o out.tif --polygons {}",
    "vectorize": "vectorize classes.tif -o {}",
    "preview": "preview scene.tif -o {}",
    "import": "import linear.pth -o {} --arch linear",
}
SUFFIXES = dict.fromkeys(FILES, ".tif") | {
    "polygons": ".gpkg",
    "vectorize": ".gpkg",
    "preview": ".png",
    "import": ".safetensors",
}
FOLDERS = {
    "tile": f"tile scene.tif {LABELS} --size 16 -o {{}}",
    "train": "train train.toml -o {}",
    "evaluate": f"evaluate classes.tif {LABELS} -o {{}}",
}


SCENES = "scene.tif other.tif"


@pytest.fixture(params=FILES)
def file_output(request):
    """A command that writes a file, and the suffix of that file."""
    return FILES[request.param], SUFFIXES[request.param]


@pytest.fixture(params=FOLDERS)
def folder_output(request):
    """A command that writes a folder."""
    return FOLDERS[request.param]


@pytest.fixture
def read_only(monkeypatch):
    """Folders named `locked` cannot be written to; tests may run as root, who always can."""
    real = os.open

    def open_or_refuse(path, flags, *more, **named):
        if flags & os.O_CREAT and Path(os.fsdecode(path)).parent.name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", open_or_refuse)


def test_file_exists(refuse, file_output, place):
    words, suffix = file_output
    (place / f"old{suffix}").write_text("precious")
    refuse(words.format(f"old{suffix}"), f"old{suffix}: already exists", cure="--overwrite")


@pytest.mark.parametrize("job", ["vectorize", "preview", "import"])
def test_file_is_a_folder(refuse, job, place):
    """For predict a folder is where the files of several scenes go."""
    (place / "old").mkdir()
    refuse(FILES[job].format("old"), "old: is a folder", cure="Name a file in it")


def test_folder_of_a_file_is_missing(refuse, file_output):
    words, suffix = file_output
    problem = f"none/out{suffix}: folder none does not exist"
    refuse(words.format(f"none/out{suffix}"), problem, cure="Make it first")


def test_folder_of_a_file_is_a_file(refuse, file_output):
    words, suffix = file_output
    path = f"legend.toml/out{suffix}"
    refuse(words.format(path), "legend.toml", cure="folder")


def test_folder_of_a_file_is_read_only(refuse, file_output, place, read_only):
    words, suffix = file_output
    (place / "locked").mkdir()
    problem = "locked: cannot be written to (permission denied)"
    refuse(words.format(f"locked/out{suffix}"), problem, cure="Choose")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system of Linux")
def test_folder_of_a_file_is_none_of_a_disk(refuse, file_output):
    """Where nobody can make a file, though root has the permission."""
    words, suffix = file_output
    refuse(words.format(f"/proc/out{suffix}"), "/proc: cannot be written to (", cure="Choose")


@pytest.mark.parametrize("overwrite", ["", " --overwrite"])
@pytest.mark.parametrize("name", ["scene.tif", "./scene.tif", "link.tif", "hard.tif"])
def test_file_is_the_scene(refuse, place, name, overwrite):
    (place / "link.tif").symlink_to("scene.tif")
    (place / "hard.tif").hardlink_to(place / "scene.tif")
    for words in (FILES["classes"], FILES["probabilities"], FILES["preview"]):
        words = words.replace("-o out.tif", "-o new.tif").format(name) + overwrite
        refuse(words, f"{Path(name)}: is the input itself", cure="Name another output")


@pytest.mark.parametrize("output", ["classes", "probabilities"])
def test_file_is_the_model(refuse, make_bundle, output):
    make_bundle("model.tif")
    words = FILES[output].replace("model.safetensors", "model.tif").format("model.tif")
    refuse(f"{words} --overwrite", "model.tif: is the input itself", cure="Name another output")


def test_file_is_the_class_raster(refuse):
    words = FILES["vectorize"].format("classes.tif") + " --overwrite"
    refuse(words, "classes.tif: is the input itself", cure="Name another output")


def test_file_is_the_area(refuse):
    words = FILES["polygons"].format("roofs.gpkg") + " --aoi roofs.gpkg --overwrite"
    refuse(words, "roofs.gpkg: is the input itself", cure="Name another output")


def test_one_file_for_two_products(refuse):
    words = FILES["probabilities"].format("out.tif")
    refuse(words, "out.tif: would be written twice", cure="Name the outputs apart")


def test_one_file_for_two_scenes(refuse, make_scene):
    make_scene(name="other.tif")
    words = FILES["classes"].format("out.tif").replace("scene.tif", SCENES)
    refuse(words, "out.tif: is one file, several scenes are given", cure="Name a folder")


def test_scenes_of_the_same_name(refuse, place):
    (place / "more").mkdir()
    (place / "more" / "scene.tif").write_bytes((place / "scene.tif").read_bytes())
    words = FILES["classes"].format("out").replace("scene.tif", "scene.tif more/scene.tif")
    refuse(words, "out/scene.tif: would be written twice", cure="unlike names")


def test_a_late_refusal_leaves_no_folder(refuse, make_scene):
    """The folders of several scenes are made only when everything is right."""
    make_scene((2, 16, 20), "two.tif")
    words = "predict scene.tif two.tif -m model.safetensors -o a/b --probabilities c --polygons d"
    refuse(words, "two.tif: has 2 bands", cure="--bands")


def test_folder_for_scenes_is_a_file(refuse, make_scene):
    make_scene(name="other.tif")
    words = FILES["classes"].format("legend").replace("scene.tif", SCENES)
    Path("legend").write_text("a file")
    refuse(words, "legend", cure="folder")


def test_folder_for_scenes_is_read_only(refuse, make_scene, place, read_only):
    make_scene(name="other.tif")
    (place / "locked").mkdir()
    for name in ("locked", "locked/new"):
        words = FILES["classes"].format(name).replace("scene.tif", SCENES)
        refuse(words, "locked: cannot be written to", cure="Choose a folder")


def test_folder_exists(refuse, folder_output, place):
    (place / "old").mkdir()
    (place / "old" / "report.json").write_text("precious")
    refuse(folder_output.format("old"), "old", "already exists", cure="--overwrite")


def test_folder_is_a_file(refuse, folder_output):
    refuse(folder_output.format("legend.toml"), "legend.toml: is a file", cure="another folder")


def test_folder_under_a_file(refuse, folder_output):
    refuse(folder_output.format("legend.toml/out"), "legend.toml", cure="another folder")


def test_folder_in_a_read_only_one(refuse, folder_output, place, read_only):
    (place / "locked").mkdir()
    refuse(folder_output.format("locked/a/b"), "locked: cannot be written to", cure="Choose")


@pytest.mark.parametrize("job", ["tile", "train"])
def test_folder_holds_the_input(refuse, job):
    words = FOLDERS[job].format(".") + " --overwrite"
    refuse(words, "holds", cure="Name a")


def test_tile_set_replaces_no_other_folder(refuse, place):
    (place / "photos").mkdir()
    (place / "photos" / "wedding.jpg").write_text("precious")
    words = FOLDERS["tile"].format("photos") + " --overwrite"
    refuse(words, "photos: holds other things", cure="Name another folder")


def test_training_replaces_not_its_tiles(refuse):
    words = FOLDERS["train"].format("tiles") + " --overwrite"
    refuse(words, "tiles: ", cure="Name another folder")


@pytest.mark.parametrize(
    ("output", "suffix"),
    [
        *(("vectorize", suffix) for suffix in ("", ".xyz", ".tif")),
        *(("polygons", suffix) for suffix in (".xyz", ".tif")),
    ],
)
def test_format_of_polygons(refuse, output, suffix):
    problem = f'out{suffix}: polygons cannot be written as "{suffix}"'
    words = FILES[output].replace("-o out.tif", "-o classes2.tif")
    refuse(words.format(f"out{suffix}"), problem, cure="Use one of .gpkg")


@pytest.mark.parametrize("suffix", [".jpg", ".gpkg", ""])
def test_format_of_a_preview(refuse, suffix):
    refuse(FILES["preview"].format(f"out{suffix}"), f"out{suffix}: ", cure=".png")


@pytest.mark.parametrize("suffix", [".png", ".gpkg", ".safetensors"])
@pytest.mark.parametrize("output", ["classes", "probabilities"])
def test_format_of_rasters(refuse, suffix, output):
    words = FILES[output].replace("-o out.tif", "-o classes2.tif")
    refuse(words.format(f"out{suffix}"), f"out{suffix}: ", cure=".tif")


def test_name_too_long(refuse, file_output):
    words, suffix = file_output
    refuse(words.format("a" * 300 + suffix), "aaa", "file name too long", cure="Choose another")


def test_compression_that_changes_classes(refuse):
    words = FILES["classes"].format("out.tif") + " --co COMPRESS=JPEG"
    refuse(words, "--co COMPRESS: JPEG may change class values", cure="Choose DEFLATE")


def test_creation_option_without_a_value(refuse):
    words = FILES["classes"].format("out.tif") + " --co COMPRESS"
    refuse(words, "'--co'", "KEY=VALUE", cure="See geoseg predict --help")


@pytest.mark.parametrize(
    ("option", "told", "cure"),
    [
        ("BLOCKSIZE=7", "--co BLOCKSIZE: '7' is unknown", "a multiple of 16 from 128"),
        ("COMPRESS=NONSENSE", "--co COMPRESS: 'NONSENSE' is unknown", "DEFLATE"),
        ("NONSENSE=1", "--co NONSENSE: is no option", "Known are COMPRESS"),
        ("TARGET_SRS=EPSG:4326", "--co TARGET_SRS: would move pixels", "Leave it out"),
        ("PREDICTOR=3", "--co PREDICTOR=3: GDAL cannot write", "Leave it out"),
    ],
)
def test_creation_options_are_checked_before_any_pixel(refuse, monkeypatch, option, told, cure):
    scene_run = importlib.import_module("geoseg.engine.scene_run")
    monkeypatch.setattr(scene_run, "predict_windows", None)  # nothing may come so far
    words = FILES["classes"].format("out.tif") + f" --co {option}"
    refuse(words, told, cure=cure)


@pytest.mark.parametrize(
    "words",
    [FILES["classes"].format("none/out.tif"), FOLDERS["tile"].format("legend.toml")],
)
def test_as_a_process(place, words):
    before = sorted(place.iterdir())
    done = subprocess.run([GEOSEG, *words.split()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1
    assert sorted(place.iterdir()) == before
