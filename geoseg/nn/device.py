"""Where networks run and with what numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from geoseg.errors import ConfigError

PrecisionName = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Precision = Literal["fp32", "bf16", "fp16", "int8"]


def resolve_device(name: str | torch.device, key: str = "--device") -> torch.device:
    """The device that a user named.

    Args:
        name: `auto` (the first GPU, else the processor), `cpu`, `cuda` or `cuda:<index>`; or a
            device.
        key: Where the user named it, for the error.

    Raises:
        ConfigError: If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(key, f"{name!r} is no device", "Give auto, cpu or cuda") from error
    if device.type not in {"cpu", "cuda"}:
        raise ConfigError(key, f"{name!r} is not supported", "Give auto, cpu or cuda")
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ConfigError(key, f"{name} is not there, {count} GPUs are", "Give cpu")
    return device


def resolve_precision(
    name: PrecisionName, device: torch.device, key: str = "--precision"
) -> Precision:
    """The numbers of a forward pass.

    `auto` takes bf16 where the device computes with it at more than the speed of fp32: GPUs from
    compute capability 8, processors with AVX-512 BF16 or AMX.

    Args:
        name: What the user asked for.
        device: Where the network runs.
        key: Where the user asked for it, for the error.

    Raises:
        ConfigError: If the device does not compute with the numbers asked for.
    """
    if name == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    if name == "bf16" and not has_bf16(device):
        raise ConfigError(key, f"this {device.type} has no bf16", "Give auto or fp32")
    if name == "fp16" and device.type != "cuda":
        raise ConfigError(key, "fp16 needs a GPU", "Give auto, bf16 or fp32")
    if name == "int8" and device.type != "cpu":
        raise ConfigError(key, "int8 needs the processor", "Give --device cpu, or bf16")
    return name


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes with bf16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    # Newer than the oldest torch that geoseg takes; without it bf16 is left to the user.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def autocast(
    precision: Precision, device: torch.device, *, cache: bool = True
) -> AbstractContextManager[object]:
    """A context in which networks compute with these numbers.

    Args:
        precision: Which numbers.
        device: Where.
        cache: Whether weights that were converted are kept until the context ends, which serves
            weights that are used twice.
    """
    if precision in {"fp32", "int8"}:  # int8 is a matter of the network itself
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype, cache_enabled=cache)
