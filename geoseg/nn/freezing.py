"""Parts of a network that stay as they are: for the whole training, or until an epoch."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.nn import Parameter
from torch.optim import Optimizer

from geoseg.errors import ConfigError
from geoseg.nn.config_tables import ModelConfig
from geoseg.nn.models import SegmentationModel

logger = logging.getLogger(__name__)

BATCH_NORM = nn.modules.batchnorm._BatchNorm  # noqa: SLF001 - the base of all, SyncBatchNorm too
"""What keeps statistics of the batches it sees."""

_NEVER = math.inf


@dataclass(frozen=True, kw_only=True)
class FreezePlan:
    """From which epoch on each part of a network trains.

    Names are those of `SegmentationModel.network`; what has none trains from the first epoch.
    """

    parameters: dict[str, float]
    """Epoch, from 1, by the names of parameters that are frozen at first; infinite for those
    that are so to the end."""

    norms: dict[str, float]
    """The same for batch normalisations, which keep their statistics until then."""

    def settle(self, network: SegmentationModel) -> None:
        """Freeze what never trains, before an optimizer takes it."""
        for name, parameter in network.network.named_parameters():
            if self.parameters.get(name) == _NEVER:
                parameter.requires_grad_(False)

    def waiting(self, network: SegmentationModel, epoch: int) -> Iterator[tuple[Parameter, bool]]:
        """Parameters that train at some time but not always, and whether they yet wait.

        Args:
            network: The network of the plan.
            epoch: From 1.
        """
        for name, parameter in network.network.named_parameters():
            first = self.parameters.get(name, 0)
            if 0 < first < _NEVER:
                yield parameter, first > epoch

    def held_norms(self, network: SegmentationModel, epoch: int) -> list[nn.Module]:
        """Batch normalisations that keep their statistics in an epoch, from 1."""
        modules = dict(network.network.named_modules())
        return [modules[name] for name, first in self.norms.items() if first > epoch]


def plan_freezing(network: SegmentationModel, config: ModelConfig) -> FreezePlan:
    """Plan what stays as it is, and log it.

    Frozen modules keep the statistics of their batch normalisations too: nothing in them changes.

    Args:
        network: The network.
        config: What is frozen, and from which epoch on it is not.

    Raises:
        ConfigError: If a module is unknown (the choices are listed), is to be unfrozen though it
            is not frozen, or nothing would be left to train.
    """
    bare = network.network
    frozen = _modules(network, "model.freeze", _frozen_names(network, config))
    parameters = dict.fromkeys(_below(frozen, (n for n, _ in bare.named_parameters())), _NEVER)
    all_norms = [name for name, module in bare.named_modules() if isinstance(module, BATCH_NORM)]
    norms = dict.fromkeys(_below(frozen, all_norms), _NEVER)
    for stage in sorted(config.unfreeze, key=lambda stage: -stage.epoch):
        for module in _modules(network, "model.unfreeze", stage.modules):
            released = list(_below([module], parameters))
            if not released:
                raise ConfigError("model.unfreeze", f"{module} is not frozen", "Freeze it first")
            parameters |= dict.fromkeys(released, stage.epoch)
            norms |= dict.fromkeys(_below([module], norms), stage.epoch)
    if config.freeze_norm:
        norms = dict.fromkeys(all_norms, _NEVER)
    plan = FreezePlan(parameters=parameters, norms=norms)
    if all(parameters.get(name, 0) > 1 for name, _ in bare.named_parameters()):
        raise ConfigError("model.freeze", "nothing is left to train", "Freeze less")
    _tell(network, config, plan)
    return plan


class Freezing(Callback):
    """Keeps frozen parts as they are, and lets them train when their epoch comes.

    The optimizer holds from the start all that trains at some time: what has no gradient is not
    moved by it, decay included, and checkpoints of all stages are of one form.

    Args:
        plan: What trains when.
    """

    def __init__(self, plan: FreezePlan) -> None:
        self._plan = plan
        self._held: list[nn.Module] = []
        self._waiting: list[Parameter] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Freeze; a run that is resumed within an epoch does not start that epoch."""
        self._turn_to(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let go what trains from this epoch on."""
        self._turn_to(trainer, pl_module)

    def on_train_batch_start(self, *_: object) -> None:
        """Hold batch normalisations, which Lightning has turned to training after validation."""
        for norm in self._held:
            norm.training = False

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Drop the gradients of what waits, where several processes had to compute them."""
        del trainer, pl_module, optimizer
        for parameter in self._waiting:
            parameter.grad = None

    def _turn_to(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network, epoch = pl_module.network, trainer.current_epoch + 1
        assert isinstance(network, SegmentationModel)
        still_waiting = []
        released = 0
        for parameter, waits in self._plan.waiting(network, epoch):
            if waits:
                still_waiting.append(parameter)
            elif not parameter.requires_grad:
                released += parameter.numel()
            # DDP decides at its start of which parameters it gathers gradients.
            if trainer.world_size == 1:
                parameter.requires_grad_(not waits)
        if released:
            logger.info("epoch %d: %.1f million more parameters train", epoch, released / 1e6)
        self._waiting = still_waiting
        for norm in self._held:  # Lightning restores the mode it found before a validation
            norm.training = True
        self._held = self._plan.held_norms(network, epoch)


def _frozen_names(network: SegmentationModel, config: ModelConfig) -> tuple[str, ...]:
    if config.freeze == "none":
        return ()
    if config.freeze != "encoder":
        return config.freeze
    if network.encoder is None:
        raise ConfigError(
            "model.freeze", f"{network.spec.arch} has no encoder", _choices(network.network, "")
        )
    return ("encoder",)


def _modules(network: SegmentationModel, key: str, names: Iterable[str]) -> list[str]:
    """The names, all of which must be modules."""
    known = {name for name, _ in network.network.named_modules() if name}
    for name in names:
        if name not in known:
            spec = network.spec
            problem = f"{name!r} is no module of {spec.arch} with {spec.encoder}"
            raise ConfigError(key, problem, _choices(network.network, name))
    return list(names)


def _choices(network: nn.Module, name: str) -> str:
    """The modules where a name begins to be wrong."""
    module, way = network, ""
    for part in name.split("."):
        children = dict(module.named_children())
        if part not in children:
            break
        module, way = children[part], f"{way}{part}."
    return f"Known are {', '.join(way + child for child, _ in module.named_children()) or way[:-1]}"


def _below(modules: Iterable[str], names: Iterable[str]) -> list[str]:
    """Those of the names that are modules or lie within them."""
    heads = tuple(f"{module}." for module in modules)
    return [name for name in names if f"{name}.".startswith(heads)] if heads else []


def _tell(network: SegmentationModel, config: ModelConfig, plan: FreezePlan) -> None:
    if not plan.parameters:
        return
    sizes = {name: p.numel() for name, p in network.network.named_parameters()}
    frozen = sum(sizes[name] for name in plan.parameters)
    logger.info(
        "frozen: %s, %.1f of %.1f million parameters",
        config.freeze if isinstance(config.freeze, str) else ", ".join(config.freeze),
        frozen / 1e6, sum(sizes.values()) / 1e6,
    )  # fmt: skip
    for stage in sorted(config.unfreeze, key=lambda stage: stage.epoch):
        logger.info("from epoch %d on trains also %s", stage.epoch, ", ".join(stage.modules))
    if config.weights == "none":
        logger.warning("what is frozen begins at random, and stays so: give model.weights")
