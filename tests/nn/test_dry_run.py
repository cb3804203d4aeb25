"""What a dry run tells, against numpy on the same tiles."""

import logging
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small_land import configure_land, make_land

from geoseg.geo.tileset import TileSet
from geoseg.nn.augment import Augment
from geoseg.nn.dry_run import look, tell
from geoseg.nn.setup import prepare


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    return make_land(tmp_path_factory.mktemp("land"))


@pytest.fixture
def configure(land):
    return partial(configure_land, land)


def test_the_first_batch_is_that_of_the_training(configure):
    setup = prepare(configure(train={"batch_size": 6}))
    batch = look(setup).figures["first_batch"]
    keys = [key for key, _ in zip(setup.sampler, range(6), strict=False)]
    pairs = [setup.data.train.read(key.pair, np.random.default_rng(0)) for key in keys]
    assert [Path(name).stem for name in batch["names"]] == [pair.name for pair in pairs]
    assert (batch["height"], batch["width"]) == (16, 16)
    values = np.stack([pair.image for pair in pairs], axis=1).astype(np.float64)  # (bands, n, ...)
    valid = np.stack([pair.valid for pair in pairs])
    masks = np.stack([pair.mask for pair in pairs])
    for number, band in enumerate(batch["bands"]):
        seen = values[number][valid]
        figures = {"min": seen.min(), "max": seen.max(), "mean": seen.mean(), "std": seen.std()}
        assert band["raw"] == pytest.approx(figures, rel=1e-5)
        mean, std = setup.data.stats.mean[number], setup.data.stats.std[number]
        scaled = {key: (value - mean) / std for key, value in figures.items()}
        scaled["std"] = figures["std"] / std
        assert band["scaled"] == pytest.approx(scaled, rel=1e-3, abs=1e-4)
    assert [band["name"] for band in batch["bands"]] == ["red", "nir"]
    labelled = valid & (masks != setup.data.legend.ignore)
    assert batch["valid_share"] == pytest.approx(valid.mean())
    assert batch["labelled_share"] == pytest.approx(labelled.mean())
    for value, share in zip(setup.data.legend.values, batch["class_shares"].values(), strict=True):
        assert share == pytest.approx((masks[labelled] == value).mean(), abs=1e-6)


def test_classes_have_their_pixels_and_weights(configure, land):
    found = look(prepare(configure(loss={"class_weights": "inverse"}))).figures["classes"]
    tiles = TileSet.open(land / "tiles")
    masks = np.stack([tiles.read_tile(tile)[1] for tile in tiles.split("train")])
    counts = np.array([(masks == value).sum() for value in tiles.legend.values])
    assert [entry["pixels"] for entry in found] == counts.tolist()
    assert [entry["share"] for entry in found] == pytest.approx(counts / counts.sum())
    inverse = counts.sum() / counts
    assert [entry["weight"] for entry in found] == pytest.approx(inverse / inverse.mean())
    plain = look(prepare(configure())).figures["classes"]
    assert [entry["weight"] for entry in plain] == [1, 1, 1]


def test_the_network_is_counted(configure):
    setup = prepare(configure(model={"arch": "linear"}))
    model = look(setup).figures["model"]
    weights = sum(p.numel() for p in setup.network.parameters())
    assert model["parameters"] == weights == model["trained"]
    convolution = next(p for p in setup.network.parameters() if p.ndim == 4)
    assert model["gmacs"] == pytest.approx(convolution.numel() * 16 * 16 / 1e9)
    frozen = prepare(configure(model={"arch": "unet", "encoder": "resnet18", "freeze": "encoder"}))
    model = look(frozen).figures["model"]
    assert 0 < model["trained"] < model["parameters"]


def test_the_schedule_is_sampled_from_the_first_step_to_the_last(configure):
    setup = prepare(
        configure(
            train={"steps": 101, "epochs": None, "batch_size": 4}, optimizer={"lr": 0.02},
            schedule={"name": "cosine", "warmup": 0},
        )
    )  # fmt: skip
    found = look(setup).figures["schedule"]
    assert found["steps"] == 101 and found["steps_per_epoch"] == len(setup.sampler) // 4
    rates = found["rates"]
    assert (rates[0]["step"], rates[-1]["step"], len(rates)) == (0, 100, 21)
    for rate in rates:
        cosine = (1 + math.cos(math.pi * rate["step"] / 101)) / 2
        assert rate["lr"] == pytest.approx(0.02 * cosine)
    timed = look(prepare(configure(train={"minutes": 3, "epochs": None}))).figures["schedule"]
    assert timed["steps"] is None and timed["minutes"] == 3
    assert timed["rates"][10] == {
        "share": pytest.approx(0.5, abs=0.01), "step": None, "lr": timed["rates"][10]["lr"],
    }  # fmt: skip


def test_shown_are_the_samples_as_read_and_as_the_first_steps_see_them(configure):
    setup = prepare(configure(train={"batch_size": 3}, augment={"noise": [0.1, 0.3]}))
    samples = look(setup).samples
    assert len(samples) == 3 and samples[0].images.shape == (5, 2, 16, 16)
    read = [setup.train.sample(key) for key, _ in zip(setup.sampler, range(3), strict=False)]
    image, target, valid = (
        torch.stack([sample[key] for sample in read]) for key in ("image", "target", "valid")
    )
    image = setup.scaling.apply(image)
    augment = Augment(setup.config.augment, fill=setup.scaling.fill(2), seed=0)
    seed = np.random.SeedSequence((setup.config.seed, 0, 0, 0)).generate_state(2)[1]
    augment.generator.manual_seed(int(seed))  # as the task does at the first step
    first = augment(image, target, valid)
    for n, sample in enumerate(samples):
        np.testing.assert_array_equal(sample.images[0], image[n])
        np.testing.assert_array_equal(sample.valid[0], valid[n])
        np.testing.assert_array_equal(sample.images[1], first[0][n])
        np.testing.assert_array_equal(
            sample.masks[1], setup.data.legend.decode(first[1][n].numpy())
        )
    assert not np.array_equal(samples[0].images[1], samples[0].images[2])


def test_the_gist_is_told(configure, caplog):
    setup = prepare(configure())
    with caplog.at_level(logging.INFO, "geoseg"):
        tell(look(setup).figures)
    assert "GMACs" in caplog.text and "field " in caplog.text and "band nir" in caplog.text


def test_a_batch_that_memory_decides_is_of_the_size_aimed_at(configure):
    config = configure(train={"batch_size": "auto", "effective_batch": 7})
    assert len(look(prepare(config)).figures["first_batch"]["names"]) == 7
