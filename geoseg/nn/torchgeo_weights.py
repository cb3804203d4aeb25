"""The weights that torchgeo lists: what they are for, and how they are had."""

from __future__ import annotations

import difflib
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import ConfigError
from geoseg.nn.band_names import Sensor

PREFIX = "torchgeo:"
"""How weights of torchgeo are asked for: `torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO`."""

NETWORKS = "Unet_Weights"
"""The class of weights of whole segmentation networks; all others are of encoders."""

ENCODERS: dict[str, str] = {
    "ResNet18_Weights": "resnet18",
    "ResNet50_Weights": "resnet50",
    "ResNet152_Weights": "resnet152",
    "ViTSmall16_Weights": "vit_small_patch16_224",
    "ViTBase16_Weights": "vit_base_patch16_224",
    "ViTLarge16_Weights": "vit_large_patch16_224",
    "ViTHuge14_Weights": "vit_huge_patch14_224",
    "ViTSmall14_DINOv2_Weights": "vit_small_patch14_dinov2",
    "ViTBase14_DINOv2_Weights": "vit_base_patch14_dinov2",
    "Swin_T_Weights": "swin_tiny_patch4_window7_224",
    "Swin_S_Weights": "swin_small_patch4_window7_224",
    "Swin_B_Weights": "swin_base_patch4_window12_384",
    "Swin_V2_T_Weights": "swinv2_tiny_window8_256",
    "Swin_V2_B_Weights": "swinv2_base_window8_256",
    "ScaleMAELarge16_Weights": "vit_large_patch16_224",
    "DOFABase16_Weights": "vit_base_patch16_224",
    "DOFALarge16_Weights": "vit_large_patch16_224",
}
"""The encoder that each class of weights is for."""

_NOT_FOR_US: dict[str, str] = {
    "CROMABase_Weights": "two transformers for radar and optics with attention of their own",
    "CROMALarge_Weights": "two transformers for radar and optics with attention of their own",
    "Panopticon_Weights": "a transformer that is told the channel numbers with each image",
    "CopernicusFM_Base_Weights": "a transformer that makes its layers for each image anew",
    "Aurora_Weights": "a model of the atmosphere",
    "EarthLoc_Weights": "a network that tells places apart, not pixels",
}
"""Classes of weights that no encoder of geoseg can take, and why."""

_IN_SHARES = "Cityscapes - semantic segmentation"
"""The data set whose normalisation is told for values from 0 to 1, where pixels have 0 to 255."""

_SENSORS: tuple[tuple[str, Sensor], ...] = (
    ("SENTINEL2", "sentinel2"),
    ("SENTINEL1", "sentinel1"),
    ("LANDSAT_TM", "landsat_tm"),
    ("LANDSAT_ETM", "landsat_etm"),
    ("LANDSAT", "landsat_oli"),
)


@dataclass(frozen=True, kw_only=True)
class TorchgeoWeights:
    """One entry of torchgeo's lists."""

    name: str
    """As the user wrote it, with the prefix."""

    entry: Any
    """The member of torchgeo's enumeration."""

    @property
    def kind(self) -> str:
        """The class of weights, such as `ResNet50_Weights`."""
        return type(self.entry).__name__

    @property
    def meta(self) -> dict[str, Any]:
        """What torchgeo tells of it."""
        return dict(self.entry.meta)

    @property
    def encoder(self) -> str:
        """The encoder it is for."""
        return ENCODERS.get(self.kind) or str(self.meta["encoder"])

    @property
    def sensor(self) -> Sensor:
        """What its bands are numbered by."""
        known = (sensor for word, sensor in _SENSORS if self.entry.name.startswith(word))
        return next(known, "rgb")

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of its bands in order; empty where it takes any (DOFA)."""
        told = self.meta.get("bands") or ()
        if not told and self.meta.get("in_chans") == 3:
            return ("R", "G", "B")
        return tuple(map(str, told))

    @property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation, one or per band, that it was trained with, in raw units.

        None where torchgeo tells none.
        """
        joined = _joined_normalization(self.entry.transforms)
        if joined is None or self.meta.get("dataset") != _IN_SHARES:
            return joined
        mean, std = (tuple(255 * value for value in values) for values in joined)
        return mean, std

    def state_dict(self) -> dict[str, Tensor]:
        """Download the weights, once; tensors and plain values only.

        Raises:
            ConfigError: If they cannot be had, or would need to run code.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                content = self.entry.get_state_dict(
                    progress=False, map_location="cpu", weights_only=True
                )
        except pickle.UnpicklingError as error:
            raise ConfigError(
                self.name, "need more than tensors and plain values to be read", "Take others"
            ) from error
        except (OSError, RuntimeError, ValueError, EOFError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            folder = Path(torch.hub.get_dir()) / "checkpoints"
            cure = f"Check the connection, or put the file {self.entry.url} into {folder}"
            raise ConfigError(self.name, f"cannot be downloaded ({reason})", cure) from error
        return {key: value for key, value in content.items() if isinstance(value, Tensor)}


def encoder_of(weights: str) -> str | None:
    """The encoder that weights of torchgeo are for, by their name alone; None if it is unknown.

    Args:
        weights: Such as `torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO`.
    """
    return ENCODERS.get(weights.removeprefix(PREFIX).partition(".")[0])


def find_weights(name: str) -> TorchgeoWeights:
    """Find an entry of torchgeo's lists, without downloading it.

    Args:
        name: Such as `torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO`.

    Raises:
        ConfigError: If there is none of that name (the nearest are listed), or if it is of a
            network that is no encoder of geoseg.
    """
    kind, _, entry = name.removeprefix(PREFIX).partition(".")
    if kind in _NOT_FOR_US:
        cure = f"Take one of {', '.join(sorted(ENCODERS))}"
        raise ConfigError(name, f"are of {_NOT_FOR_US[kind]}, which is no encoder here", cure)
    members = _members()
    found = members.get(f"{kind}.{entry}")
    if found is None:
        raise ConfigError(name, "torchgeo has no such weights", _nearest(kind, entry, members))
    return TorchgeoWeights(name=name, entry=found)


def _members() -> dict[str, Any]:
    """Every entry that can be taken, by `Class.ENTRY`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the libraries that torchgeo imports
        import torchgeo.models as listed
    kinds = [getattr(listed, kind) for kind in (*ENCODERS, NETWORKS) if hasattr(listed, kind)]
    return {f"{kind.__name__}.{member.name}": member for kind in kinds for member in kind}


def _nearest(kind: str, entry: str, members: dict[str, Any]) -> str:
    same = [name for name in members if name.startswith(f"{kind}.")]
    wanted = f"{kind}.{entry}"
    near = difflib.get_close_matches(wanted, same or members, n=4, cutoff=0.4)
    near += [name for name in same if name not in near][: 4 - len(near)]
    if not near:
        return f"Its classes are {', '.join((*ENCODERS, NETWORKS))}"
    return f"Near to it are: {', '.join(near)}"


def _joined_normalization(
    transforms: Any,  # noqa: ANN401 - a module of one of several libraries
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """All normalisations of a chain in one: `((x - a) / b - c) / d = (x - a - b c) / (b d)`."""
    steps = [step for step in transforms.modules() if type(step).__name__ == "Normalize"]
    if not steps:
        return None
    mean, std = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for step in steps:
        mean = mean + std * _numbers(step.mean)
        std = std * _numbers(step.std)
    count = max(len(mean), len(std))
    return tuple(mean.expand(count).tolist()), tuple(std.expand(count).tolist())


def _numbers(values: Any) -> Tensor:  # noqa: ANN401 - a list, a tuple or a tensor
    return torch.as_tensor(values, dtype=torch.float64).flatten()
