"""Networks and windows that every run-time is tested with."""

from pathlib import Path

import numpy as np
import torch

from geoseg.engine.backends import TorchBackend, WindowKind
from geoseg.engine.window_network import Units
from geoseg.geo.legend import Legend
from geoseg.nn.bundle import ModelBundle
from geoseg.nn.card import ModelCard
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.scaling import Scaling

CPU = torch.device("cpu")
SIZE = 64
UNITS = Units(nodata=0)
STANDARDIZE = Scaling(kind="standardize", mean=(120.0,) * 3, std=(60.0,) * 3)
SAMPLES = Path(__file__).parents[1] / "sample_data"


def make_bundle(arch="unet", encoder="resnet18", scaling=STANDARDIZE, **card):
    torch.manual_seed(0)
    options = {"encoder_depth": 3, "decoder_channels": [16, 8, 8]} if arch == "unet" else {}
    spec = ModelSpec(arch=arch, encoder=encoder, in_channels=3, classes=4, options=options)
    card = ModelCard(
        spec=spec, legend=Legend.of_values(range(4)).to_dict(), bands=("", "", ""),
        dtype="uint8", window=SIZE, stride=SIZE // 2, scaling=scaling, **card,
    )  # fmt: skip
    return ModelBundle.of(build_model(spec), card)


def identity_bundle():
    """Scores that are the raw values of the bands, and a fourth class of 0."""
    bundle = make_bundle("linear", "none", Scaling(), activation="none")
    bundle.state["network.weight"][:] = torch.eye(4, 3)[:, :, None, None]
    bundle.state["network.bias"].zero_()
    return bundle


def trained_bundle():
    """The network of the sample data, which has 4 bands of uint16 and 5 classes."""
    return ModelBundle.open(SAMPLES / "demo.safetensors")


def kind(dtype="uint8", side=SIZE, size=SIZE):
    units = Units(nodata=0, is_float=np.dtype(dtype).kind == "f")
    return WindowKind(units=units, dtype=dtype, side=side, size=size)


def windows(dtype="uint8", count=3, side=SIZE):
    """Random windows, strided as those cut out of a strip are, and their validity."""
    draw = np.random.default_rng(1)
    strip = draw.integers(1, 255, (3, side + 2, count * side)).astype(dtype)
    valid = draw.random((count, side, side)) > 0.1
    pixels = torch.from_numpy(strip).unfold(2, side, side)[:, 1:-1].permute(2, 0, 1, 3)
    assert pixels.shape == (count, 3, side, side)
    assert not pixels.is_contiguous()
    return pixels, torch.from_numpy(valid)


def by_torch(bundle, kind, pixels, valid):
    """What the others are compared with: PyTorch in fp32."""
    backend = TorchBackend(bundle, kind.units, CPU, "fp32", size=kind.size)
    return backend.scores(pixels, valid).clone()


def agreement(scores, reference):
    """Share of the pixels with the same class."""
    return float((scores.argmax(1) == reference.argmax(1)).float().mean())
