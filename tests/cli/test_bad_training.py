"""Bad configurations, runs and tile sets are refused in one line."""

import json
from pathlib import Path

import pytest
import torch

from geoseg_cli.main import main


@pytest.mark.parametrize(
    ("change", "parts", "cure"),
    [
        (("[data]", "[data"), ["train.toml: is not valid TOML", "line 3"], "Mend that line"),
        (("epochs", "epoch"), ["train.toml: unknown key train.epoch"], "epochs"),
        (("[train]", "[trian]"), ["train.toml: unknown key trian"], "Did you mean train"),
        (("= 1\nb", '= "one"\nb'), ["train.toml: train.epochs = 'one'"], "Give another value"),
        (("= 1\nb", "= 0\nb"), ["train.toml: train.epochs = 0"], "Give another value"),
        (("= 1\nb", "= 1.5\nb"), ["train.toml: train.epochs = 1.5"], "Give another value"),
        (("linear", "unett"), ["train.toml: model.arch = 'unett': unknown architecture"], "unet,"),
        (("[data]", "[datas]"), ["train.toml: unknown key datas"], "Did you mean data"),
        (('["tiles"]', "[]"), ["train.toml: "], "tiles, scenes or torchgeo"),
        (('["tiles"]', "3"), ["train.toml: data.tiles = 3"], "Give another value"),
        (('["tiles"]', '["none"]'), ["none: is no tile set"], "Make one by geoseg tile"),
        (("crop = 16", "crop = 0"), ["train.toml: data.crop = 0"], "Give another value"),
        (('"cpu"', '"tpu"'), ["train.toml: train.device = 'tpu'"], "Give another value"),
        (('"cpu"', '"cuda:99"'), ["train.device: cuda:99 is not there"], "Give cpu"),
        (('"fp32"', '"fp16"'), ["train.precision: fp16 needs a GPU"], "fp32"),
        (('"fp32"', '"fp8"'), ["train.toml: train.precision = 'fp8'"], "Give another value"),
        (('"linear"', '"unet"\nencoder = "resnet9000"'), ["encoder", "resnet9000"], "resnet"),
        (('"linear"', '"linear"\nweights = "none.safetensors"'), ["none.safetensors"], "path"),
    ],
)
def test_config(refuse, place, change, parts, cure):
    text = (place / "train.toml").read_text()
    assert change[0] in text
    (place / "train.toml").write_text(text.replace(*change, 1))
    refuse("train train.toml -o out", *parts, cure=cure)


def test_config_missing(refuse):
    refuse("train none.toml -o out", "none.toml: does not exist", cure="Check the path")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"II*\0binary\0"])
def test_config_that_is_none(refuse, place, content):
    (place / "train.toml").write_bytes(content)
    refuse("train train.toml -o out", "train.toml: ")


@pytest.mark.parametrize(
    ("override", "parts", "cure"),
    [
        ("train.epoch=3", ["unknown key train.epoch"], "Did you mean epochs"),
        ("train.epochs", ["--set train.epochs: is not key.sub=value"], "For example"),
        ("train.epochs=", ["--set train.epochs="], "Quote"),
        ("model.arch=unett", ["model.arch = 'unett': unknown architecture"], "unet,"),
        ("augment.blurr=[0,1]", ["unknown key augment.blurr"], "Did you mean blur"),
        ("augment.scale=[2,1]", ["augment: scale: the smallest factor"], "Mend it"),
        ("augment.probability.nose=1", ["augment.probability.nose"], "Did you mean noise"),
        ("augment.elastic=30", ["augment: elastic is at most a third"], "Mend it"),
        ("data.sampling=random", ["data.sampling = 'random'", "'balanced', 'rare' or"], "Give"),
        ("data.bands=[1]", ["data: bands: of scenes; tile sets have their own"], "Mend it"),
        ("data.divisor=inf", ["data.divisor = inf: input should be a finite number"], "Give"),
        ("data.crop=99999999", ["data.crop = 99999999: input should be less than"], "Give"),
        ("data.samples=99999999999999999999", ["data.samples = 9999"], "Give another value"),
        ("train.batch_size=99999999999999999999", ["train.batch_size = 9999"], "Give another"),
        ("train.batch_size=0", ["train.toml: train.batch_size = 0: input"], "Give another value"),
        ("train.batch_size=autos", ["train.batch_size = 'autos': input should be 'auto'"], "Give"),
        ("model.freeze=[1]", ["model.freeze.0 = 1: input should be a valid string"], "Give"),
        ("train.minutes=inf", ["train.minutes = inf: input should be a finite"], "Give another"),
        ("seed=99999999999999999999", ["seed = 99999999999999999999"], "Give another value"),
        ("optimizer.options={betas=[0.9]}", ["betas is a list of 2 numbers"], "Mend it"),
        ("schedule.cycle_growth=1e200", ["4 cycles cannot grow 1e+200 times"], "Mend it"),
        ("data.ratios=[1,2]", ["data: ratios are 2, tile sets 1"], "Mend it"),
        ("data.tile_weights=none.csv", ["none.csv: cannot be read (No such file"], "Give a CSV"),
    ],
)
def test_overrides(refuse, override, parts, cure):
    refuse(f"train train.toml -o out --set {override}", *parts, cure=cure)


def test_resume_without_a_run(refuse, place):
    refuse("train train.toml -o out --resume", "out: is no run that can be resumed", cure="without")
    (place / "out").mkdir()
    refuse("train train.toml -o out --resume", "out: is no run that can be resumed", cure="without")


def test_a_dry_run_names_what_it_wrote(place, capsys):
    words = ["train", "train.toml", "-o", "out", "--dry-run"]
    assert main(words) == 0
    assert capsys.readouterr().out.split() == [
        "train.toml", "->", str(Path("out/dry_run.png")) + ",", str(Path("out/dry_run.json")),
    ]  # fmt: skip
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bundle"] is None and told["run"] == "out"
    assert told["figures"] == json.loads((place / "out" / "dry_run.json").read_text())


@pytest.fixture
def run(place, capfd):
    """A run that is done, in the folder `run`."""
    assert main(["train", "train.toml", "-o", "run", "-q"]) == 0
    return place / "run"


def test_resume_with_another_config(refuse, run):
    words = "train train.toml -o run --resume --set optimizer.lr=0.5"
    refuse(words, "config.toml: ", "optimizer.lr was 0.001, is 0.5", cure="Resume with the same")


@pytest.mark.parametrize("damage", ["cut", "empty", "burglar"])
def test_resume_from_a_damaged_checkpoint(refuse, run, burglar, damage):
    last = run / "checkpoints" / "last.ckpt"
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    if damage == "burglar":
        torch.save({"state_dict": {}, "callbacks": burglar}, last)
    words = "train train.toml -o run --resume -q"
    refuse(words, "last.ckpt: is no checkpoint", cure="without --resume")
    assert not Path("burgled").exists()


TRAIN, INFO = "train train.toml -o out", "info tiles"


@pytest.fixture(params=[TRAIN, INFO])
def tiles_reader(request):
    """Each command that reads a tile set."""
    return request.param


def change_card(place, **changes):
    """Write other values into tileset.json."""
    path = place / "tiles" / "tileset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"format_version": 1}', "\udcff"])
def test_tile_set_with_a_broken_card(refuse, tiles_reader, place, text):
    path = place / "tiles" / "tileset.json"
    path.write_text(text, errors="surrogateescape")
    refuse(tiles_reader, "tiles/tileset.json: ")


@pytest.mark.parametrize(
    "changes",
    [
        {"size": "large"},
        {"legend": None},
        {"legend": {"classes": []}},
        {"bands": 3},
        {"dtype": "colour"},
        {"stats": {}},
        {"format": "exe"},
        {"crs": "nowhere"},
        {"class_counts": None},
        {"format_version": 2},
        {"nodata": "none"},
        {"size": -1},
    ],
)
def test_tile_set_with_a_wrong_entry(refuse, tiles_reader, place, changes):
    change_card(place, **changes)
    refuse(tiles_reader, "tiles/tileset.json: ")


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "..", "a/b", ".hidden"])
def test_tile_set_that_leads_elsewhere(refuse, tiles_reader, place, name):
    with (place / "tiles" / "train.txt").open("a") as file:
        file.write(f"{name}\n")
    refuse(tiles_reader, f"tiles: {name!r} is no name of a tile", cure="Restore the lists")


def test_tile_set_with_an_unknown_tile(refuse, tiles_reader, place):
    with (place / "tiles" / "train.txt").open("a") as file:
        file.write("more\n")
    refuse(tiles_reader, "tiles: train.txt lists more", cure="ile again")


def test_tile_set_with_a_tile_in_two_splits(refuse, tiles_reader, place):
    lists = [place / "tiles" / f"{split}.txt" for split in ("train", "val")]
    lists[1].write_text(lists[0].read_text())
    refuse(tiles_reader, "tiles: ", "is listed twice", cure="Keep it in one list")


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_tile_set_without_a_file(refuse, tiles_reader, place, kind):
    next((place / "tiles" / kind).iterdir()).unlink()
    refuse(tiles_reader, f"tiles: 1 {kind} are missing", cure="Tile again")


@pytest.mark.parametrize("content", [None, b"", b"no database" * 99])
def test_tile_set_without_an_index(refuse, tiles_reader, place, content):
    index = place / "tiles" / "index.gpkg"
    index.unlink()
    if content is not None:
        index.write_bytes(content)
    refuse(tiles_reader, "tiles/index.gpkg: cannot be read", cure="Tile again")


def test_tile_set_without_tiles(refuse, place):
    for split in ("train", "val"):
        (place / "tiles" / f"{split}.txt").write_text("")
    refuse(TRAIN, "tiles: has no train tiles", cure="Tile again")


@pytest.mark.parametrize("kind", ["images", "masks"])
@pytest.mark.parametrize("share", [0, 0.02, 0.5])
def test_tile_set_with_a_damaged_file(place, capfd, kind, share):
    """Found while training: the run folder is there by then, as after any stop."""
    for path in (place / "tiles" / kind).iterdir():
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
    assert main([*TRAIN.split(), "-q"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1), err
    assert err.startswith("Error: ")
    assert f"tiles/{kind}/" in err
    assert "Tile again" in err
    assert not (place / "out" / "model.safetensors").exists()


def test_tile_sets_of_unlike_classes(refuse, place):
    text = (place / "legend.toml").read_text().replace("roof", "barn")
    (place / "barns.toml").write_text(text)
    words = "tile scene.tif --labels roofs.gpkg --label-field kind --legend barns.toml -o other"
    assert main([*words.split(), "--size", "16", "--split", "1,0,0", "-q"]) == 0
    words = TRAIN + """ --set 'data.tiles=["tiles", "other"]'"""
    refuse(words, "other: has the classes", "barn", cure="Tile both with one legend")


@pytest.mark.parametrize(
    ("override", "parts", "cure"),
    [
        ('scenes=["none.tif"]', ["none.tif: stands for no scene"], "Check the path"),
        ('labels="none.gpkg"', ["none.gpkg: does not exist"], "Give a label file"),
        ('legend="none.toml"', ["none.toml: does not exist"], "Give a legend"),
        ('label_field="sort"', ['roofs.gpkg: has no field "sort"'], "Its fields are: kind"),
        ('scenes=["roofs.gpkg"]', ["roofs.gpkg: is not a raster"], "Check the file"),
        ('bands=["red", "nir"]', ["scene.tif: has no band 'nir'"], "Its bands are: "),
        ("block=15", ["data.block: 0 blocks of 15 pixels"], "data.block or data.crop, or change"),
        ('split="scene"', ["data.split: 1 scenes cannot fill"], "data.split or data.val_share"),
        ("resolution=1e5", ["data.resolution: pixels of 100000 m"], "Give fewer metres"),
        ('labels="{stem}.shp"', ["scene.tif: has no labels"], "Check data.labels"),
        ('labels=""', ["train.toml: data: scenes need labels"], "Mend it"),
        ('tiles=["tiles"]', ["train.toml: data: give either tiles, scenes or torchgeo"], "Mend it"),
    ],
)
def test_training_from_scenes(refuse, place, override, parts, cure):
    scenes = 'scenes = ["scene.tif"]\nlabels = "roofs.gpkg"\nlabel_field = "kind"\n'
    text = (place / "train.toml").read_text()
    (place / "train.toml").write_text(text.replace('tiles = ["tiles"]\n', scenes))
    refuse(f"train train.toml -o out --set data.legend=legend.toml --set 'data.{override}'",
           *parts, cure=cure)  # fmt: skip
