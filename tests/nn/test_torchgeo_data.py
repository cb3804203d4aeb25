"""Training data from torchgeo: LoveDA's layout in miniature, and data sets of the tests' own."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from geoseg.errors import ConfigError, LabelError, SceneError
from geoseg.nn.config import dump_config, load_config, parse_config
from geoseg.nn.setup import prepare
from geoseg.train import train

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what torchgeo imports
    import torchgeo.datasets
    from torchgeo.datasets import NonGeoDataset

LOVEDA = ("background", "building", "road", "water", "barren", "forest", "agriculture")


def make_loveda(root, side=64, counts=(4, 2)):
    """Images whose gray tells the class; a corner of each mask holds no data (0)."""
    for split, count in zip(("Train", "Val"), counts, strict=True):
        for scene in ("Urban", "Rural"):
            folder = root / split / scene
            (folder / "images_png").mkdir(parents=True)
            (folder / "masks_png").mkdir()
            for number in range(count):
                rng = np.random.default_rng(number)
                mask = np.kron(rng.integers(1, 8, (side // 8, side // 8)), np.ones((8, 8), int))
                mask[:8, :8] = 0
                image = (mask[..., None] * 30 + rng.integers(0, 5, (side, side, 3))).astype(
                    np.uint8
                )
                Image.fromarray(image).save(folder / "images_png" / f"{number}.png")
                Image.fromarray(mask.astype(np.uint8)).save(folder / "masks_png" / f"{number}.png")
    return root


def configure(name, arguments=None, **data):
    return parse_config(
        {
            "data": {"torchgeo": name, "torchgeo_args": arguments or {}, "crop": 32, **data},
            "model": {"arch": "linear"},
            "optimizer": {"lr": 0.3},
            "train": {"epochs": 2, "device": "cpu", "precision": "fp32", "workers": 0},
        }
    )


class Tiny(NonGeoDataset):
    """Random samples; `kind` makes them odd."""

    classes = ("dark", "light")
    splits = ("train", "val")
    sides = (24,)
    extra = 0

    def __init__(self, root="data", split="train", kind="plain", download=True):
        assert split in self.splits
        assert not download, "it must not be fetched"
        self.split, self.kind = split, kind

    def __len__(self):
        return 8 if self.split == "train" else 3

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        side = self.sides[index % len(self.sides)]
        mask = rng.integers(0, 2, (side, side)) + self.extra
        image = np.stack([mask * 100 + band + rng.random((side, side)) for band in range(4)])
        image = torch.from_numpy(image.astype(np.float32))
        mask = torch.from_numpy(mask)
        if self.kind == "label":
            return {"image": image, "label": torch.tensor(1)}
        if self.kind == "unlike":
            return {"image": image, "mask": mask[:, :5]}
        if self.kind == "fractions":
            return {"image": image, "mask": mask / 3}
        if self.kind == "broken":
            raise OSError("cannot be decoded")
        return {"image": image, "mask": mask[None] if self.kind == "deep" else mask}


@pytest.fixture
def offer(monkeypatch):
    """Let torchgeo list a data set of a test."""

    def add(**attributes):
        kind = type("Tiny", (Tiny,), attributes)
        monkeypatch.setattr(torchgeo.datasets, "Tiny", kind, raising=False)
        monkeypatch.setattr(torchgeo.datasets, "__all__", (*torchgeo.datasets.__all__, "Tiny"))

    return add


def test_loveda_has_its_splits_and_its_published_classes(tmp_path):
    root = make_loveda(tmp_path / "loveda")
    setup = prepare(configure("LoveDA", {"root": str(root)}))
    assert (len(setup.data.train), len(setup.data.val)) == (8, 4)
    assert setup.data.legend.names == LOVEDA
    assert setup.data.shape == (64, 64)
    pixels = np.zeros(8, int)
    for path in root.glob("Train/*/masks_png/*.png"):
        pixels += np.bincount(np.asarray(Image.open(path)).ravel(), minlength=8)
    assert setup.data.class_pixels == tuple(pixels[1:])  # 0 is no data
    sample = setup.val[0]
    raw = np.asarray(Image.open(root / "Val" / "Rural" / "masks_png" / "0.png"))
    expected = np.where(raw == 0, 255, raw - 1)
    np.testing.assert_array_equal(sample["target"].numpy(), expected)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_on_loveda_ends_with_a_bundle(tmp_path, workers):
    root = make_loveda(tmp_path / "loveda")
    config = configure("LoveDA", {"root": str(root), "scene": ["urban"]})
    loop = config.train.model_copy(update={"workers": workers})
    result = train(config.model_copy(update={"train": loop}), tmp_path / "run")
    assert result.bundle.is_file()
    assert result.metrics["val/mean_iou"] > 0
    told = load_config(tmp_path / "run" / "config.toml").data
    assert told.torchgeo_args == {"root": str(root), "scene": ["urban"]}


def test_paths_start_at_the_file_and_the_config_comes_back(tmp_path):
    text = (
        '[data]\ntorchgeo = "LoveDA"\ntorchgeo_args = { root = "sets/loveda", download = true }\n'
    )
    (tmp_path / "train.toml").write_text(text)
    config = load_config(tmp_path / "train.toml")
    expected = {"root": str(tmp_path / "sets" / "loveda"), "download": True}
    assert config.data.torchgeo_args == expected
    (tmp_path / "again.toml").write_text(dump_config(config))
    assert load_config(tmp_path / "again.toml") == config


def test_classes_are_those_that_a_data_set_tells(offer, caplog):
    offer(colormap=((1, 2, 3), (250, 128, 0)))
    setup = prepare(configure("Tiny"))
    legend = setup.data.legend
    assert legend.names == ("dark", "light")
    assert [entry.color for entry in legend.classes] == ["#010203", "#fa8000"]
    assert "in their order (0 dark, 1 light)" in caplog.text
    assert len(setup.data.stats.mean) == 4
    assert len(setup.val) == 3


def test_a_legend_says_what_values_mean(offer, tmp_path):
    offer(extra=5, classes=None)
    with pytest.raises(ConfigError, match=r"data\.legend: Tiny does not tell its classes"):
        prepare(configure("Tiny"))
    (tmp_path / "legend.toml").write_text(
        '[[classes]]\nvalue = 0\nname = "dark"\ncolor = "#000000"\nfrom = [5]\n'
        '[[classes]]\nvalue = 3\nname = "light"\ncolor = "#ffffff"\nfrom = [6]\n'
    )
    setup = prepare(configure("Tiny", legend=str(tmp_path / "legend.toml")))
    assert set(setup.train[0]["target"].unique().tolist()) <= {0, 1, 255}
    assert setup.data.legend.names == ("dark", "light")


def test_values_beyond_the_classes_are_refused(offer):
    offer(extra=1)
    with pytest.raises(LabelError, match=r"Tiny val \d: has values .*: 2 \(\d+ pixels\).*legend"):
        prepare(configure("Tiny"))


def test_without_a_split_to_validate_on_a_share_is_wanted(offer):
    offer(splits=("train", "test"))
    with pytest.raises(ConfigError, match=r"data\.val_share: Tiny has no split to validate on"):
        prepare(configure("Tiny"))
    setup = prepare(configure("Tiny", val_share=0.25))
    names = [part.source.name(i) for part in (setup.train, setup.val) for i in range(len(part))]
    numbers = sorted(int(name.split()[-1]) for name in names)
    assert numbers == list(range(8))
    assert len(setup.val) == 2


@pytest.mark.parametrize("mode", ["random", "center", "resize", "none"])
def test_samples_of_unlike_sizes_go_by_the_crop_mode(offer, mode):
    offer(sides=(24, 30, 20))
    setup = prepare(configure("Tiny", crop_mode=mode, crop=32))
    assert all(setup.train[index]["image"].shape == (4, 32, 32) for index in range(8))
    assert setup.data.shape == ((30, 30) if mode in {"random", "center"} else (32, 32))
    if mode == "none":
        with pytest.raises(SceneError, match="is 30 x 30 pixels, 24 x 24 is expected"):
            prepare(configure("Tiny", crop_mode=mode, crop=24))


@pytest.mark.parametrize("sampling", ["balanced", "rare", "hard"])
def test_sampling_goes_by_the_masks(offer, sampling):
    offer()
    setup = prepare(configure("Tiny", {"kind": "deep"}, sampling=sampling))
    assert len(setup.sampler) >= 8


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("label", "gives image, label, not image and mask"),
        ("unlike", r"an image \(4, 24, 24\) with a mask \(24, 5\)"),
        ("fractions", "a mask of fractions"),
        ("broken", r"cannot be read \(cannot be decoded\)"),
    ],
)
def test_samples_that_are_no_images_with_masks_are_refused(offer, kind, told):
    offer()
    with pytest.raises(SceneError, match=rf"Tiny (train|val) \d: .*{told}"):
        prepare(configure("Tiny", {"kind": kind}))


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("LoveDa", {}, "LoveDa: is no data set .*Did you mean LoveDA"),
        ("RasterDataset", {}, r"is a layer with a place.*data\.scenes"),
        ("LoveDA", {"roots": "x"}, r"takes no roots\. It takes root, split, scene"),
        ("LoveDA", {"root": "nowhere"}, r"LoveDA is not at nowhere.*download = true"),
        ("LoveDA", {"scene": ["sea"]}, r"does not open with scene = \['sea'\].*possible scenes"),
    ],
)
def test_what_torchgeo_cannot_open_is_refused(name, arguments, told):
    with pytest.raises(ConfigError, match=told):
        prepare(configure(name, arguments))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"scenes": ["a.tif"], "labels": "b.tif"}, "either tiles, scenes or torchgeo"),
        ({"labels": "b.tif"}, "labels: of scenes; torchgeo has its own"),
        ({"torchgeo": "", "tiles": ["t"], "torchgeo_args": {"root": "a"}}, "are of torchgeo"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(data, told):
    with pytest.raises(ConfigError, match=told):
        configure(data.pop("torchgeo", "LoveDA"), data.pop("torchgeo_args", None), **data)
