import pytest
import torch
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from geoseg.errors import ConfigError
from geoseg.nn.distributed import (
    Process,
    find_environment,
    largest_of_all,
    own_device,
    sum_over_processes,
    this_process,
    wait_for_all,
)
from geoseg.nn.loop_config import LoopConfig

TORCHRUN = {
    "RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "GROUP_RANK": "1",
    "MASTER_ADDR": "host", "MASTER_PORT": "29500",
}  # fmt: skip
SLURM = {
    "SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_LOCALID": "0", "SLURM_NODEID": "1",
    "SLURM_JOB_NAME": "train", "SLURM_JOB_ID": "7", "SLURM_NTASKS_PER_NODE": "2",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    for key in (*TORCHRUN, *SLURM):
        monkeypatch.delenv(key, raising=False)


@pytest.fixture
def started_by(monkeypatch):
    def set_variables(variables):
        for key, value in variables.items():
            monkeypatch.setenv(key, value)

    return set_variables


def test_a_process_alone_has_no_environment():
    assert find_environment(LoopConfig()) is None
    assert find_environment(LoopConfig(devices=2)) is None  # geoseg starts them itself
    assert this_process(None) == Process(rank=0, world=1, local_rank=0)
    assert this_process(None).is_first


def test_torchrun_is_joined(started_by):
    started_by(TORCHRUN)
    environment = find_environment(LoopConfig(devices=2, nodes=2))
    assert isinstance(environment, TorchElasticEnvironment)
    assert this_process(environment) == Process(rank=3, world=4, local_rank=1)
    assert not this_process(environment).is_first


def test_slurm_is_joined(started_by):
    started_by(SLURM)
    environment = find_environment(LoopConfig(devices=2, nodes=2))
    assert isinstance(environment, SLURMEnvironment)
    assert this_process(environment) == Process(rank=2, world=4, local_rank=0)


def test_a_job_of_slurm_may_train_on_one_device_or_start_its_own(started_by):
    started_by(SLURM)
    assert find_environment(LoopConfig()) is None
    started_by({"SLURM_NTASKS": "1"})
    assert find_environment(LoopConfig(devices=4)) is None


@pytest.mark.parametrize("wanted", [{}, {"devices": 2}, {"devices": 4, "nodes": 2}])
def test_another_number_of_processes_is_refused(started_by, wanted):
    started_by(TORCHRUN)
    with pytest.raises(ConfigError, match=r"train\.devices: 4 processes were started"):
        find_environment(LoopConfig(**wanted))


def test_machines_that_nothing_started_are_refused():
    with pytest.raises(ConfigError, match=r"train\.nodes: 2 machines .*torchrun or srun"):
        find_environment(LoopConfig(devices=2, nodes=2))


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    process = Process(rank=3, world=4, local_rank=1)
    assert own_device(LoopConfig(devices=2), process) == torch.device("cuda:1")
    assert own_device(LoopConfig(device="cuda:1"), Process()) == torch.device("cuda:1")
    with pytest.raises(ConfigError, match=r"train\.devices: 3 are wanted, 2 GPUs are there"):
        own_device(LoopConfig(devices=3), process)
    with pytest.raises(ConfigError, match=r"train\.device: cuda:1 is one GPU"):
        own_device(LoopConfig(devices=2, device="cuda:1"), process)


def test_processes_share_the_processor():
    process = Process(rank=1, world=2, local_rank=1)
    assert own_device(LoopConfig(devices=2, device="cpu"), process) == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"train\.sync_norm: needs GPUs"):
        own_device(LoopConfig(devices=2, device="cpu", sync_norm=True), process)


def test_alone_everything_is_decided_at_once():
    wait_for_all()
    assert largest_of_all(3, 0) == (3, 0)
    assert sum_over_processes(torch.tensor([1.5])).tolist() == [1.5]
