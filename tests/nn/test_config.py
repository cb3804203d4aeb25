"""The training configuration: what is taken, what is refused and how it is told."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from strategies import CONFIGS

from geoseg.errors import ConfigError
from geoseg.geo.dataset_description import open_description
from geoseg.geo.legend import Legend
from geoseg.nn.config import TrainConfig, dump_config, load_config, parse_config

MINIMAL = '[data]\ntiles = ["tiles"]\n'


@pytest.fixture
def write(tmp_path):
    def _write(text):
        path = tmp_path / "train.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return _write


def test_defaults_are_those_of_the_design(write):
    config = load_config(write(MINIMAL))
    assert (config.name, config.seed, config.data.crop) == ("model", 42, 256)
    assert (config.model.arch, config.model.encoder) == ("unet", "resnet18")
    assert [(t.name, t.weight) for t in config.loss.terms] == [("cross_entropy", 1), ("dice", 1)]
    assert (config.optimizer.name, config.optimizer.lr) == ("adamw", 1e-3)
    loop = config.train
    assert (loop.epochs, loop.steps, loop.minutes) == (30, None, None)
    assert (loop.batch_size, loop.precision, loop.workers) == (8, "auto", 2)
    assert (loop.monitor, loop.early_stop) == ("max val/mean_iou", 0)


def test_the_example_of_the_design_is_taken(write):
    text = """
name = "roofs"
seed = 42
[data]
tiles = ["tiles"]
crop = 256
[model]
arch = "unet"
encoder = "resnet18"
weights = "none"
[loss]
terms = [{ name = "cross_entropy", weight = 1.0 }, { name = "dice", weight = 1.0 }]
class_weights = "none"
[optimizer]
name = "adamw"
lr = 1e-3
[schedule]
name = "cosine"
[augment]
flip = 0.5
[train]
epochs = 30
batch_size = 8
precision = "auto"
monitor = "max val/mean_iou"
early_stop = 0
workers = 2
"""
    assert load_config(write(text)).name == "roofs"


def test_paths_start_at_the_file(write, tmp_path):
    text = """
[data]
scenes = ["a/*.tif", "/abs/b.tif", "https://host/c.tif", "@list.txt"]
labels = "labels/{stem}.gpkg"
legend = "legend.toml"
[model]
weights = "old.safetensors"
"""
    config = load_config(write(text))
    assert config.data.scenes == (
        str(tmp_path / "a/*.tif"), "/abs/b.tif", "https://host/c.tif", f"@{tmp_path}/list.txt",
    )  # fmt: skip
    assert config.data.labels == str(tmp_path / "labels/{stem}.gpkg")
    assert config.data.legend == str(tmp_path / "legend.toml")
    assert config.data.split == "block"
    assert config.model.weights == str(tmp_path / "old.safetensors")


def test_a_legend_may_be_that_of_a_data_set(write, tmp_path):
    text = '[data]\nscenes = ["a.tif"]\nlabels = "m"\nlegend = "{}"\n'
    for name in ("voc-2012", "LoveDA"):
        config = load_config(write(text.format(name)))
        assert config.data.legend == name
        assert Legend.open(config.data.legend).names == open_description(name).legend.names
        assert load_config(write(dump_config(config))) == config
    assert load_config(write(text.format("voc-2013"))).data.legend == str(tmp_path / "voc-2013")
    # a file of that name goes first
    (tmp_path / "loveda").write_text("")
    assert load_config(write(text.format("loveda"))).data.legend == str(tmp_path / "loveda")


def test_paths_of_overrides_start_here(write, tmp_path, monkeypatch):
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    config = load_config(write(MINIMAL), ['data.tiles=["mine"]', "model.weights=imagenet"])
    assert config.data.tiles == (str(here / "mine"),)
    assert config.model.weights == "imagenet"


@pytest.mark.parametrize(
    ("override", "table", "key", "value"),
    [
        ("train.epochs=3", "train", "epochs", 3),
        ("optimizer.lr = 3e-4", "optimizer", "lr", 3e-4),
        ("optimizer.name=sgd", "optimizer", "name", "sgd"),
        ('optimizer.name="sgd"', "optimizer", "name", "sgd"),
        ("train.monitor=min val/loss", "train", "monitor", "min val/loss"),
        ("loss.class_weights=[1.0, 2]", "loss", "class_weights", (1.0, 2.0)),
    ],
)
def test_overrides_are_toml_values(write, override, table, key, value):
    config = load_config(write(MINIMAL), [override])
    assert getattr(getattr(config, table), key) == value


def test_a_later_override_wins(write):
    config = load_config(write(MINIMAL), ["train.epochs=3", "train.epochs=4"])
    assert config.train.epochs == 4


def test_steps_take_the_place_of_epochs(write):
    config = load_config(write(MINIMAL), ["train.steps=100"])
    assert (config.train.epochs, config.train.steps) == (None, 100)


def test_dump_then_load_is_the_same(write, tmp_path):
    text = MINIMAL + 'label_field = "größe \\"x\\" 🌲\\n"\n[model]\narch = "linear"\n'
    config = load_config(write(text), ["loss.class_weights=[1, 0.5]", "train.minutes=2.5"])
    again = tmp_path / "elsewhere" / "config.toml"
    again.parent.mkdir()
    again.write_text(dump_config(config), encoding="utf-8")
    assert load_config(again) == config


def test_losses_make_the_round_trip(write):
    terms = [{"name": "focal", "gamma": 3.0}, {"name": "tversky", "weight": 0.5, "beta": 0.9}]
    config = parse_config(
        {"data": {"tiles": ["/t"]}, "loss": {"terms": terms, "class_weights": "inverse_log"}}
    )
    focal, tversky = config.loss.terms
    assert (focal.weight, focal.gamma, tversky.weight, tversky.beta) == (1, 3, 0.5, 0.9)
    assert load_config(write(dump_config(config))) == config


def test_dumped_options_are_toml():
    config = parse_config({"data": {"tiles": ["/t"]}, "model": {"options": {"a b": {"c": [1, 2]}}}})
    assert tomllib.loads(dump_config(config))["model"]["options"] == {"a b": {"c": [1, 2]}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\ntiles = [", "line 2"),
        (MINIMAL + "crp = 3", "unknown key data.crp. Did you mean crop"),
        (MINIMAL + "[trian]", "unknown key trian. Did you mean train"),
        (MINIMAL + "zzz = 1", "unknown key data.zzz. Known there are tiles"),
        (MINIMAL + "[train]\nepoch = 3", "unknown key train.epoch. Did you mean epochs"),
        (MINIMAL + '[[loss.terms]]\nnam = "dice"', "unknown key loss.terms.0.nam. Did you mean"),
        (MINIMAL + '[[loss.terms]]\nname = "dicee"', "loss.terms.0.name = 'dicee'"),
        (MINIMAL + '[[loss.terms]]\nname = "dicee"', "Choose one of cross_entropy, binary_cross"),
        (MINIMAL + "[[loss.terms]]\nweight = 2.0", "key loss.terms.0.name is missing"),
        (
            MINIMAL + '[[loss.terms]]\nname = "focal"\ngama = 2.0',
            "unknown key loss.terms.0.gama. Did you mean gamma",
        ),
        (
            MINIMAL + '[[loss.terms]]\nname = "dice"\nzzz = 2.0',
            "unknown key loss.terms.0.zzz. Known there are weight, name.",
        ),
        (
            MINIMAL + '[[loss.terms]]\nname = "ohem"\nthreshold = 2',
            "loss.terms.0.threshold = 2: input should be less than or equal to 1",
        ),
        (
            MINIMAL + '[loss]\nterms = [{ name = "binary_cross_entropy" }, { name = "ohem" }]',
            "loss: the activation is sigmoid, ohem is of a softmax alone",
        ),
        (MINIMAL + '[loss]\nclass_weights = "inverze"', "'none', 'inverse', 'inverse_sqrt'"),
        (MINIMAL + '[loss]\nclass_weights = [1, "a"]', "loss.class_weights.1 = 'a'"),
        (
            MINIMAL + '[train]\nepochs = "30"',
            "train.epochs = '30': input should be a valid integer",
        ),
        (MINIMAL + "[train]\nepochs = 0", "train.epochs = 0"),
        (MINIMAL + "[train]\nepochs = true", "train.epochs = True"),
        (MINIMAL + "[train]\nepochs = 3\nsteps = 5", "give one of epochs, steps, minutes"),
        (MINIMAL + '[train]\nprecision = "half"', "'auto', 'fp32', 'bf16' or 'fp16'"),
        (MINIMAL + '[train]\nmonitor = "val/loss"', "train.monitor = 'val/loss'"),
        (MINIMAL + '[train]\ndevice = "tpu"', "train.device = 'tpu'"),
        (
            MINIMAL + '[model]\narch = "unett"',
            "model.arch = 'unett': unknown architecture. Did you mean 'unet'? The choices are: ",
        ),
        (MINIMAL + "train = 3", "unknown key data.train"),
        ("train = 3\n" + MINIMAL, "train = 3"),
        ("[data]\nbands = [1.5]\n", "data.bands.0 = 1.5"),
        ("", "key data is missing"),
        ("[data]", "either tiles, scenes or torchgeo"),
        (MINIMAL + 'scenes = ["s.tif"]', "either tiles, scenes or torchgeo"),
        ('[data]\nscenes = ["s.tif"]', "scenes need labels"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(write, text, message):
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert message in told
    assert "\n" not in told
    assert "linear" in told or "architecture" not in told


@pytest.mark.parametrize(
    "override", ["train.epochs", "=3", "a b=3", "train.epochs=", "x=[1", "x='"]
)
def test_a_garbled_override_is_refused(write, override):
    with pytest.raises(ConfigError, match="--set"):
        load_config(write(MINIMAL), [override])


def test_an_override_is_checked_like_the_file(write):
    with pytest.raises(ConfigError, match=r"unknown key train\.epoch"):
        load_config(write(MINIMAL), ["train.epoch=3"])


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.toml")


def test_a_binary_file_is_told(tmp_path):
    path = tmp_path / "train.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(path)


def test_every_key_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text(encoding="utf-8")
    tables = [*TrainConfig.model_fields.values()]
    models = [f.annotation for f in tables if hasattr(f.annotation, "model_fields")]
    assert len(models) == 9
    for model in (TrainConfig, *models):
        for name, field in model.model_fields.items():
            key = field.alias or name
            assert f"`{key}`" in page or f"[{key}]" in page, f"{model.__name__}.{key}"


def test_validation_and_log_make_the_round_trip(write):
    text = """
[data]
tiles = ["tiles"]
[validate]
every = 3
scenes = ["west/*.tif"]
labels = "west/{stem}.gpkg"
bands = ["red", 4]
window = 512
[log]
wandb = "roofs"
name = "first try"
"""
    path = write(text)
    config = load_config(path)
    assert config.validation.scenes == (str(path.parent / "west/*.tif"),)
    assert config.validation.labels == str(path.parent / "west/{stem}.gpkg")
    assert (config.validation.every, config.validation.bands) == (3, ("red", 4))
    assert (config.log.tensorboard, config.log.wandb, config.log.mlflow) == (True, "roofs", None)
    assert load_config(write(dump_config(config))) == config


@pytest.mark.parametrize(
    ("table", "key", "cure"),
    [
        ("[validate]\nevry = 2", "validate.evry", "every"),
        ("[validat]\nevery = 2", "validat", "validate"),
        ("[validate]\nscenes = ['a.tif']", "validate: scenes need labels", "Mend"),
        ("[validate]\nevery = 0", "validate.every = 0", "greater than or equal to 1"),
        ("[validate]\nblend = 'taper'", "validate.blend", "hann"),
        ("[log]\nwand = 'x'", "log.wand", "wandb"),
    ],
)
def test_wrong_keys_of_validation_and_log_are_named(write, table, key, cure):
    with pytest.raises(ConfigError) as caught:
        load_config(write(f"[data]\ntiles = ['a']\n{table}\n"))
    assert key in str(caught.value) and cure in str(caught.value)


def test_a_password_is_refused_and_not_repeated(write):
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        load_config(write('[data]\ntiles = ["t"]\n[log]\nmlflow = "https://me:hush@here"\n'))
    assert "hush" not in str(caught.value)
    load_config(write('[data]\ntiles = ["t"]\n[log]\nmlflow = "https://me@here:5000"\n'))


def test_the_rate_is_that_of_the_architecture_where_none_is_told():
    data = {"tiles": ["tiles"]}
    assert parse_config({"data": data}).optimizer.lr == 1e-3
    assert parse_config({"data": data, "model": {"arch": "refinenet"}}).optimizer.lr == 1e-4
    told = {"data": data, "model": {"arch": "refinenet"}, "optimizer": {"lr": 0.01}}
    assert parse_config(told).optimizer.lr == 0.01


@given(tables=CONFIGS)
def test_any_configuration_makes_the_round_trip(tables, tmp_path_factory):
    config = parse_config(tables)
    path = tmp_path_factory.getbasetemp() / "drawn.toml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config
