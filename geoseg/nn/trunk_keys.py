"""Trunks of other libraries under timm's names: the same network, other names and layouts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import ConfigError

State = dict[str, Tensor]

_SWIN_STEM = {"features.0.0.": "patch_embed.proj.", "features.0.2.": "patch_embed.norm."}
_SWIN_MLP = {r"\bmlp\.0\.": "mlp.fc1.", r"\bmlp\.3\.": "mlp.fc2."}
_SWIN_TABLES = ("relative_position_index", "relative_coords_table")
"""What torchvision keeps and timm computes."""

_DEEP_STEM = {
    "layer0.0.": "conv1.0.", "layer0.1.": "conv1.1.", "layer0.3.": "conv1.3.",
    "layer0.4.": "conv1.4.", "layer0.6.": "conv1.6.", "layer0.7.": "bn1.",
}  # fmt: skip
"""Of hszhao/semseg's ResNets, whose stem is timm's `deep` one in one sequence."""

_DOFA_TOKENS = "patch_embed.weight_generator.weight_tokens"
_PATCHES = "patch_embed.proj.weight"


def to_timm(state: Mapping[str, Tensor]) -> State:
    """Give a trunk timm's names and layouts; what is in timm's already stays as it is.

    Known are torchvision's Swin (v1 and v2), the deep-stem ResNets of hszhao/semseg, and
    transformers over several dates (Prithvi), of which the part for one date is taken.

    Args:
        state: Weights by name, with any prefix.
    """
    converted = dict(state)
    for mark, convert in _KNOWN.items():
        prefix = _prefix_of(converted, mark)
        if prefix is None:
            continue
        inside, outside = _split(converted, prefix)
        converted = {**outside, **{prefix + key: value for key, value in convert(inside).items()}}
    return converted


def is_dofa(state: Mapping[str, Tensor]) -> bool:
    """Whether weights are those of DOFA, arXiv 2403.15356, which makes its first layer."""
    return _prefix_of(state, _DOFA_TOKENS) is not None


def dofa_to_timm(state: Mapping[str, Tensor], wavelengths: Sequence[float]) -> State:
    """Let DOFA's generator make the first layer for given bands once and for all.

    DOFA lays its patches one pixel further up and left than timm does.

    Args:
        state: Weights of DOFA.
        wavelengths: Centre of each band in micrometres.

    Returns:
        A plain vision transformer's weights, `patch_embed.proj` for these bands in this order.

    Raises:
        ConfigError: If the generator is not of the known form.
    """
    from torchgeo.models.dofa import DOFAEmbedding  # seconds to import

    inside, _ = _split(state, _prefix_of(state, _DOFA_TOKENS) or "")
    own, rest = _split(inside, "patch_embed.")
    channels = inside["cls_token"].shape[-1]
    kernel = math.isqrt(own["weight_generator.fc_weight.weight"].shape[0] // channels)
    try:
        embedding = DOFAEmbedding(own["weight_generator.weight_tokens"].shape[1], kernel, channels)
        embedding.load_state_dict(own)
    except (RuntimeError, ValueError, AssertionError) as error:
        raise ConfigError(
            "model.weights", "are of another DOFA than torchgeo's", "Take torchgeo:DOFABase16_..."
        ) from error
    weight, bias = _dofa_kernels(embedding.eval(), wavelengths)
    return {**rest, _PATCHES: weight, "patch_embed.proj.bias": bias}


@torch.no_grad()
def _dofa_kernels(module: Any, wavelengths: Sequence[float]) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - untyped
    """Weight (channels, bands, kernel, kernel) and bias (channels,), as its forward makes them."""
    from torchgeo.models.dofa import position_embedding

    size, channels = int(module.kernel_size), int(module.embed_dim)
    waves = position_embedding(
        int(module.dynamic_embed_dim),
        torch.tensor(wavelengths, dtype=torch.float32) * 1000,
    )
    weight, bias = module.weight_generator(module.fclayer(waves))
    scale = float(module.scaler)
    kernels = weight.view(len(wavelengths), size, size, channels).permute(3, 0, 1, 2)
    return (kernels * scale).contiguous(), bias.view(channels) * scale


def scale_mae_positions(state: Mapping[str, Tensor], resolution: float | None) -> State:
    """Put Scale-MAE's positions, arXiv 2212.14532, in the place of a transformer's table.

    Its positions are a formula of the ground resolution, not weights.

    Args:
        state: Weights of Scale-MAE.
        resolution: Metres per pixel; 1, as in its paper's formula, where it is not known.
    """
    from torchgeo.models.scale_mae import get_2d_sincos_pos_embed_with_resolution as table

    old = state["pos_embed"]
    side = math.isqrt(old.shape[1] - 1)
    metres = torch.tensor([resolution or 1.0])
    return {**state, "pos_embed": table(old.shape[-1], side, metres, cls_token=True)}


def resample_patches(kernels: Tensor, shape: Sequence[int]) -> Tensor | None:
    """Fit the kernels of patches to patches of another size, as FlexiViT does (arXiv 2212.08013).

    Args:
        kernels: (channels, bands, height, width).
        shape: What is wanted; the same channels and bands.

    Returns:
        Kernels of that shape; None where it differs by more than the size of patches.
    """
    from timm.layers.patch_embed import resample_patch_embed

    if kernels.ndim != 4 or len(shape) != 4 or tuple(kernels.shape[:2]) != tuple(shape[:2]):
        return None
    resampled: Tensor = resample_patch_embed(kernels, [shape[2], shape[3]])
    return resampled


def resample_positions(positions: Tensor, shape: Sequence[int]) -> Tensor | None:
    """Fit a table of positions to another number of patches or without a class token.

    Args:
        positions: (1, tokens, channels), after a class token or without.
        shape: What is wanted; the same channels.

    Returns:
        (1, tokens, channels) of that shape; None where one of them is no square.
    """
    from timm.layers.pos_embed import resample_abs_pos_embed

    if positions.ndim != 3 or positions.shape[-1] != shape[-1]:
        return None
    old, new = (_grid(length) for length in (positions.shape[1], shape[1]))
    if old is None or new is None or new[1] > old[1]:
        return None
    resampled = resample_abs_pos_embed(
        positions[:, old[1] - new[1] :], [new[0], new[0]], [old[0], old[0]], new[1]
    )
    return resampled if tuple(resampled.shape) == tuple(shape) else None


def _grid(tokens: int) -> tuple[int, int] | None:
    """Side of the square of patches, and how many tokens stand before it (0 or 1)."""
    for extra in (0, 1):
        side = math.isqrt(tokens - extra)
        if side * side == tokens - extra:
            return side, extra
    return None


def _prefix_of(state: Mapping[str, Tensor], mark: str) -> str | None:
    """What stands before a name; None where it is not there."""
    found = (key[: -len(mark)] for key in state if key == mark or key.endswith("." + mark))
    return next(found, None)


def _split(state: Mapping[str, Tensor], prefix: str) -> tuple[State, State]:
    """What is below a prefix, without it, and all the rest."""
    inside = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    return inside, {key: value for key, value in state.items() if not key.startswith(prefix)}


def _from_torchvision_swin(state: State) -> State:
    """Torchvision counts stages and mergings in one sequence; timm merges within a stage."""
    renamed: State = {}
    for key, value in state.items():
        if not key.endswith(_SWIN_TABLES):
            renamed[_swin_key(key)] = value
    if not any("cpb_mlp" in key for key in state):  # the first version
        return renamed
    for key in [key for key in renamed if key.endswith("attn.qkv.bias")]:
        query, _, value = renamed.pop(key).chunk(3)  # the second version has no bias of keys
        stem = key.removesuffix("qkv.bias")
        renamed[f"{stem}q_bias"], renamed[f"{stem}v_bias"] = query, value
    return renamed


def _swin_key(key: str) -> str:
    for old, new in _SWIN_STEM.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    found = re.match(r"features\.(\d+)\.(.*)", key)
    if not found:
        return key
    place, rest = int(found[1]), found[2]
    if place % 2 == 0:
        return f"layers.{place // 2}.downsample.{rest}"
    for old, new in _SWIN_MLP.items():
        rest = re.sub(old, new, rest)
    return f"layers.{place // 2}.blocks.{rest}"


def _from_semseg(state: State) -> State:
    renamed: State = {}
    for key, value in state.items():
        stem = next((old for old in _DEEP_STEM if key.startswith(old)), "")
        renamed[_DEEP_STEM.get(stem, "") + key.removeprefix(stem)] = value
    return renamed


def _from_many_dates(state: State) -> State:
    """Take the first date of a transformer whose patches have a time axis of length 1."""
    patches = state[_PATCHES]
    if patches.ndim != 5 or patches.shape[2] != 1:
        return state
    converted = {**state, _PATCHES: patches[:, :, 0]}
    if "pos_embed" in state:
        converted["pos_embed"] = _first_date(state["pos_embed"])
    return converted


def _first_date(positions: Tensor) -> Tensor:
    """The class token and the patches of the first date.

    The latter channels of a table over dates tell rows and columns alone: they repeat.
    """
    patches, half = positions.shape[1] - 1, positions.shape[2] // 2
    for dates in (4, 3, 2):
        length = patches // dates
        if length * dates != patches or math.isqrt(length) ** 2 != length:
            continue
        first, second = positions[:, 1 : 1 + length], positions[:, 1 + length : 1 + 2 * length]
        if torch.allclose(first[..., half:], second[..., half:], atol=1e-5):
            return positions[:, : 1 + length]
    return positions


_KNOWN: dict[str, Callable[[State], State]] = {
    "features.0.2.weight": _from_torchvision_swin,
    "layer0.6.weight": _from_semseg,
    _PATCHES: _from_many_dates,
}
"""A name that tells a foreign trunk, and what gives it timm's names."""
