"""Processes that train one network together: who each is, and what all decide as one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor, distributed

from geoseg.errors import ConfigError
from geoseg.nn.device import resolve_device
from geoseg.nn.loop_config import LoopConfig

PATIENCE = timedelta(hours=2)
"""How long processes wait for another: whole scenes may be validated meanwhile."""

_TORCHRUN_KEYS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class Process:
    """One of the processes that train together."""

    rank: int = 0
    """Its number among all, from 0; the first one alone writes files and messages."""

    world: int = 1
    """How many there are."""

    local_rank: int = 0
    """Its number on its machine, from 0; also that of its GPU."""

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0


def find_environment(config: LoopConfig) -> ClusterEnvironment | None:
    """What started this process together with others: torchrun, SLURM or geoseg itself.

    Args:
        config: Tells how many devices and machines there shall be.

    Returns:
        None where this process stands alone.

    Raises:
        ConfigError: If the launcher started another number of processes, or started none of
            the other machines'.
    """
    wanted = config.devices * config.nodes
    if all(key in os.environ for key in _TORCHRUN_KEYS):
        _check_count("WORLD_SIZE", wanted)
        return TorchElasticEnvironment()
    if wanted > 1 and SLURMEnvironment.detect() and os.environ["SLURM_NTASKS"] == str(wanted):
        return SLURMEnvironment(auto_requeue=False)  # the job script tells what comes after
    if config.nodes > 1:
        raise ConfigError(
            "train.nodes",
            f"{config.nodes} machines are wanted, and nothing started {wanted} processes on them",
            "Start geoseg on each by torchrun or srun",
        )
    return None


def _check_count(key: str, wanted: int) -> None:
    started = int(os.environ[key])
    if started != wanted:
        raise ConfigError(
            "train.devices",
            f"{started} processes were started, train.devices x train.nodes is {wanted}",
            "Set both to what the launcher starts",
        )


def this_process(environment: ClusterEnvironment | None) -> Process:
    """Which of all processes this is."""
    if environment is None:
        return Process()
    return Process(
        rank=environment.global_rank(),
        world=environment.world_size(),
        local_rank=environment.local_rank(),
    )


def environment_of_one() -> ClusterEnvironment:
    """For one process: a SLURM job around it is none of its business."""
    return LightningEnvironment()


def own_device(config: LoopConfig, process: Process) -> torch.device:
    """The device of one of the processes.

    Raises:
        ConfigError: If there is no such device, or one GPU is named where several are wanted.
    """
    device = resolve_device(config.device, "train.device")
    if device.type == "cpu":
        if config.sync_norm:
            raise ConfigError(
                "train.sync_norm",
                "needs GPUs",
                "Set it to false",
            )
        return device
    if config.devices == 1:
        return device
    if ":" in config.device:
        raise ConfigError(
            "train.device", f"{config.device} is one GPU, train.devices is {config.devices}",
            "Set it to cuda",
        )  # fmt: skip
    count = torch.cuda.device_count()
    if config.devices > count:
        raise ConfigError(
            "train.devices", f"{config.devices} are wanted, {count} GPUs are there", "Set fewer"
        )
    return torch.device("cuda", process.local_rank)


@contextmanager
def joined(environment: ClusterEnvironment | None, device: torch.device) -> Iterator[None]:
    """Meet the other processes, if there are any, and part in the end.

    Tensors in main memory are exchanged by gloo, those of GPUs by NCCL: what is decided after
    each step does not wait for the GPUs.
    """
    if environment is None:
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    os.environ["MASTER_ADDR"] = environment.main_address
    os.environ["MASTER_PORT"] = str(environment.main_port)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo",
        rank=environment.global_rank(),
        world_size=environment.world_size(),
        timeout=PATIENCE,
    )
    try:
        yield
    except Exception:
        raise  # without leave: others may never answer
    except BaseException:  # a signal, which all obey at the same batch
        distributed.destroy_process_group()
        raise
    wait_for_all()
    distributed.destroy_process_group()


@contextmanager
def only_first_tells(process: Process) -> Iterator[None]:
    """Keep what processes but the first log to themselves, errors apart."""
    own = logging.getLogger("geoseg")
    level = own.level
    if not process.is_first:
        own.setLevel(logging.ERROR)
    try:
        yield
    finally:
        own.setLevel(level)


def is_joined() -> bool:
    """Whether there are other processes."""
    return distributed.is_available() and distributed.is_initialized()


def wait_for_all() -> None:
    """Go on when all processes are here."""
    if is_joined():
        distributed.all_reduce(torch.zeros(1))  # in main memory, unlike NCCL's own barrier


def sum_over_processes(values: Tensor) -> Tensor:
    """Sum a tensor over all processes; each gets the sum."""
    if is_joined():
        values = values.clone()
        distributed.all_reduce(values)
    return values


def gather_from_all(values: Tensor) -> Tensor:
    """Join the tensors (n, ...) of all processes, equally long: all firsts, all seconds, ...

    So they come in the order in which one process alone would have had them.
    """
    if not is_joined():
        return values
    parts = [torch.empty_like(values) for _ in range(distributed.get_world_size())]
    distributed.all_gather(parts, values.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)


def own_share(values: list[float]) -> list[float]:
    """Of what `gather_from_all` joined, what this process gave."""
    if not is_joined():
        return values
    return values[distributed.get_rank() :: distributed.get_world_size()]


def largest_of_all(*values: int) -> tuple[int, ...]:
    """Of each number the largest that any process tells; each gets them."""
    if not is_joined():
        return values
    asked = torch.tensor(values, dtype=torch.int64)
    distributed.all_reduce(asked, distributed.ReduceOp.MAX)
    return tuple(asked.tolist())


def copy_of_first(tensors: list[Tensor]) -> None:
    """Give all processes what the first one has, in place."""
    if is_joined():
        for tensor in tensors:
            distributed.broadcast(tensor, 0)
