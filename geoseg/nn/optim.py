"""Optimisers: torch's by their names, and which parameters go with which rate and decay."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator
from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from geoseg.errors import ConfigError
from geoseg.nn.models import SegmentationModel
from geoseg.nn.padam import Padam

_REFUSED = {
    "lbfgs": "needs the loss several times a step",
    "sparseadam": "takes sparse gradients only",
    "muon": "takes matrices only, and a network has convolutions and biases",
}
_OWN_KEYS = ("lr", "weight_decay")
_NOT_OFFERED = ("params", *_OWN_KEYS, "maximize", "differentiable", "capturable")

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "padam": Padam,
    **{
        name.lower(): kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type)
        and issubclass(kind, Optimizer)
        and kind is not Optimizer
        and name.lower() not in _REFUSED
    },
}
"""Every optimiser by name: those of torch.optim in small letters, and Padam."""

_WEIGHT_DECAY = {"sgd": 1e-4}
"""Where ours is another than the optimiser's own."""

_SWITCHES = ("foreach", "fused")
"""Options that are true or false, or torch's choice where they are not given."""

_MOMENTUM = 0.9
_NORMS = (
    nn.modules.batchnorm._BatchNorm,  # noqa: SLF001 - the base of all batch normalisations
    nn.modules.instancenorm._InstanceNorm,  # noqa: SLF001
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


class OptimizerConfig(BaseModel):
    """How weights follow the gradient."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "adamw"
    """A key of `OPTIMIZERS`, in any case."""

    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False)
    """Learning rate at its highest."""

    weight_decay: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """None takes 0.0001 for sgd, and what the optimiser itself has for others."""

    momentum: float | None = Field(default=None, ge=0, lt=1)
    """Of sgd (Nesterov's), or the first of the betas; None takes 0.9 for these, and for others
    what they have."""

    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Further arguments of the optimiser."""

    encoder_lr_factor: float = Field(default=1.0, gt=0, le=1e6)
    """What the encoder's rate is `lr` times."""

    decay_norms: bool = False
    """Whether weight decay also draws at normalisations and biases."""

    clip_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Longest gradient, as a norm over all parameters; a longer one is shortened to it."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        name = name.lower()
        if name in _REFUSED:
            raise ValueError(f"{name} {_REFUSED[name]}. The choices are: {_choices()}")
        if name not in OPTIMIZERS:
            raise ValueError(f"unknown optimizer. The choices are: {_choices()}")
        return name

    @model_validator(mode="after")
    def _check_arguments(self) -> Self:
        taken = _arguments_of(self.name)
        offered = [key for key in taken if key not in _NOT_OFFERED]
        for key, value in self.options.items():
            if key in _OWN_KEYS:
                raise ValueError(f"options.{key} is a key of its own: set optimizer.{key}")
            if key not in offered:
                raise ValueError(
                    f"options.{key} is not taken by {self.name}; it takes {', '.join(offered)}"
                )
            _check_kind(key, value, taken[key].default)
        if self.momentum is not None and not {"momentum", "betas"} & taken.keys():
            raise ValueError(f"{self.name} has no momentum; it takes {', '.join(offered)}")
        if self.momentum is not None and {"momentum", "betas"} & self.options.keys():
            raise ValueError("give momentum either in [optimizer] or in its options")
        if self.weight_decay is not None and "weight_decay" not in taken:
            raise ValueError(f"{self.name} has no weight_decay")
        _try_arguments(self)
        return self


def build_optimizer(network: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Build the optimiser of the parameters that are not frozen.

    They come in up to four groups: the rest and the encoder, each with and without decay.

    Args:
        network: Parameters that need no gradient are left out.
        config: The optimiser.

    Raises:
        ConfigError: If the encoder is to have its own rate, and there is no encoder; or if all
            is frozen.
    """
    groups = list(_groups(network, config))
    if not groups:
        raise ConfigError("model.freeze", "nothing is left to train", "Freeze less")
    return OPTIMIZERS[config.name](groups, lr=config.lr, **_arguments(config))


def _groups(network: nn.Module, config: OptimizerConfig) -> Iterator[dict[str, Any]]:
    encoder = _encoder_parameters(network, config)
    plain = set() if config.decay_norms else _plain_parameters(network)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for of_encoder in (False, True):  # the log tells the first group's rate
        for is_plain in (False, True):
            parameters = [
                parameter
                for parameter in trained
                if (parameter in encoder) == of_encoder and (parameter in plain) == is_plain
            ]
            group: dict[str, Any] = {"params": parameters}
            if of_encoder:
                group["lr"] = config.lr * config.encoder_lr_factor
            if is_plain and "weight_decay" in _arguments_of(config.name):
                group["weight_decay"] = 0.0
            if parameters:
                yield group


def _encoder_parameters(network: nn.Module, config: OptimizerConfig) -> set[Parameter]:
    if config.encoder_lr_factor == 1:
        return set()
    encoder = network.encoder if isinstance(network, SegmentationModel) else None
    if encoder is None:
        name = network.spec.arch if isinstance(network, SegmentationModel) else "the network"
        raise ConfigError("optimizer.encoder_lr_factor", f"{name} has no encoder", "Leave it at 1")
    return set(encoder.parameters())


def _plain_parameters(network: nn.Module) -> set[Parameter]:
    """Those of normalisations, and all with one axis: biases and scales."""
    norms = (module for module in network.modules() if isinstance(module, _NORMS))
    plain = {parameter for norm in norms for parameter in norm.parameters(recurse=False)}
    return plain | {parameter for parameter in network.parameters() if parameter.ndim <= 1}


def _arguments(config: OptimizerConfig) -> dict[str, Any]:
    """What the optimiser is called with beside parameters and rate."""
    taken = _arguments_of(config.name)
    found: dict[str, Any] = {}
    decay = _WEIGHT_DECAY.get(config.name) if config.weight_decay is None else config.weight_decay
    if decay is not None:
        found["weight_decay"] = decay
    if "betas" in taken:
        first = _MOMENTUM if config.momentum is None else config.momentum
        found["betas"] = (first, *taken["betas"].default[1:])
    elif config.name == "sgd":
        momentum = config.options.get("momentum", config.momentum)
        momentum = _MOMENTUM if momentum is None else momentum
        undamped = not config.options.get("dampening")
        found |= {"momentum": momentum, "nesterov": bool(momentum) and undamped}
    elif config.momentum is not None:
        found["momentum"] = config.momentum
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in config.options.items()}
    return found | options


def _check_kind(key: str, value: JsonValue, default: object) -> None:
    """Refuse what no optimiser looks at closely: words for switches, and lists of other lengths."""
    if (isinstance(default, bool) or key in _SWITCHES) and not isinstance(value, bool):
        message = f"options.{key} is true or false, not {value!r}"
        raise ValueError(message)
    if isinstance(default, tuple) and not (isinstance(value, list) and len(value) == len(default)):
        raise ValueError(f"options.{key} is a list of {len(default)} numbers, not {value!r}")


def _try_arguments(config: OptimizerConfig) -> None:
    """Let the optimiser itself judge its values; some it only meets in a step."""
    weight = Parameter(torch.zeros(1))
    try:
        optimizer = OPTIMIZERS[config.name]([weight], lr=config.lr, **_arguments(config))
        for _ in range(2):  # moments come in with the second
            weight.grad = torch.ones(1)
            optimizer.step()
    except (ValueError, TypeError, LookupError, RuntimeError, OverflowError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{config.name} refuses its options: {reason}") from error


def _arguments_of(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(OPTIMIZERS[name]).parameters


def _choices() -> str:
    common = ("adamw", "sgd", "adam", "rmsprop", "padam")
    return ", ".join([*common, *sorted(set(OPTIMIZERS) - set(common))])
