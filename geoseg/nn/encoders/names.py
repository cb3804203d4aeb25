"""Names of encoders: those of segmentation-models-pytorch, of timm and ours, under one spelling."""

from __future__ import annotations

import difflib
import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

import timm
import torch
from segmentation_models_pytorch.encoders import encoders as smp_encoders

from geoseg.errors import ConfigError
from geoseg.nn.blank import Blank
from geoseg.nn.encoders.own import add_to_library

# Whoever builds an encoder or looks for one does it by this module, so ours are known by then.
add_to_library()

TIMM_PREFIX = "tu-"
"""How segmentation-models-pytorch marks an encoder that timm builds."""


def list_encoders() -> list[str]:
    """Names of all encoders; those that only timm has bear the prefix `tu-`."""
    own = [name for name in smp_encoders if not name.startswith("timm-")]
    return [*own, *(TIMM_PREFIX + name for name in _timm_names() if name not in smp_encoders)]


def encoder_choices(name: str) -> str:
    """Tell the encoders that somebody may have meant, for an error."""
    known = list_encoders()
    matches = difflib.get_close_matches(name, known, n=4, cutoff=0.5)
    matches += [n for n in known if name.lower() in n and n not in matches][:4]
    if not matches:
        return "Take one of segmentation-models-pytorch or timm, such as resnet18"
    return f"Near to it are: {', '.join(matches)}"


def resolve_encoder(name: str, *, from_timm: bool = False) -> str:
    """Find the encoder that a name means.

    A name that both libraries know means the one of segmentation-models-pytorch; `tu-` before
    it asks for timm's.

    Args:
        name: Such as `resnet18`, `tu-convnext_tiny`, `convnext_tiny` or
            `convnext_tiny.fb_in22k` (with the tag of its pretrained weights).
        from_timm: Whether only timm's will do.

    Returns:
        The name as segmentation-models-pytorch takes it.

    Raises:
        ConfigError: If neither library knows it; the nearest names are listed. If only timm's
            will do and it is another's.
    """
    plain = name.removeprefix(TIMM_PREFIX)
    if plain == name and name in smp_encoders and not from_timm:
        return name
    if _is_timm(plain):
        return TIMM_PREFIX + plain
    if name in smp_encoders:
        cure = "Take a transformer of timm, such as vit_small_patch16_224"
        raise ConfigError("model.encoder", f"{name!r} is no encoder of timm", cure)
    raise ConfigError("model.encoder", f"{name!r} is no encoder", encoder_choices(name))


def size_options(name: str) -> dict[str, bool]:
    """What timm must be told so that an encoder takes images of any size.

    Args:
        name: As `resolve_encoder` returns it.

    Returns:
        Keyword arguments of `timm.create_model`; none where the encoder does so by itself.
    """
    if not name.startswith(TIMM_PREFIX):
        return {}
    parameters = timm_traits(name.removeprefix(TIMM_PREFIX)).parameters
    return {"dynamic_img_size": True} if "dynamic_img_size" in parameters else {}


def fixed_size(name: str) -> int:
    """Height and width that an encoder is made for, where it does not take any size; else 0.

    Args:
        name: As `resolve_encoder` returns it.
    """
    plain = name.removeprefix(TIMM_PREFIX)
    if plain == name or "dynamic_img_size" in (parameters := timm_traits(plain).parameters):
        return 0
    if "img_size" not in parameters:
        return 0
    config: Any = timm.get_pretrained_cfg(plain)
    return int(config.input_size[-1])


def is_plain(name: str) -> bool:
    """Whether all features of an encoder have one resolution, as those of a plain ViT have.

    Args:
        name: As `resolve_encoder` returns it.
    """
    return name.startswith(TIMM_PREFIX) and timm_traits(name.removeprefix(TIMM_PREFIX)).cell > 0


@dataclass(frozen=True, kw_only=True)
class TimmTraits:
    """What must be known of a timm network before it is built."""

    parameters: frozenset[str]
    """Names of the arguments that its class takes."""

    cell: int
    """Pixels a side of the cells of all its features; 0 where these have several sizes."""


@cache
def timm_traits(name: str) -> TimmTraits:
    """Build a timm network without its numbers and look at it.

    Args:
        name: As timm knows it.
    """
    try:
        with torch.device("meta"), Blank():
            network: Any = timm.create_model(name)
    except (RuntimeError, NotImplementedError):  # some compute with tensors while they are built
        network = timm.create_model(name)
    info = getattr(network, "feature_info", None)
    sizes = [level["reduction"] for level in info] if isinstance(info, list) else []
    plain = len(sizes) > 3 and len(set(sizes)) == 1 and hasattr(network, "forward_intermediates")
    return TimmTraits(
        parameters=frozenset(inspect.signature(type(network).__init__).parameters),
        cell=int(sizes[0]) if plain else 0,
    )


@cache
def _timm_names() -> tuple[str, ...]:
    return tuple(timm.list_models())


def _is_timm(name: str) -> bool:
    arch, _, tag = name.partition(".")
    if arch not in _timm_names():
        return False
    return not tag or name in timm.list_pretrained(f"{arch}.*")
