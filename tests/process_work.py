"""What tests have several processes do; each imports this file anew."""

import logging
import os
import signal
import sys
import time
from pathlib import Path

import torch

from geoseg.errors import ConfigError
from geoseg.nn.distributed import (
    find_environment,
    joined,
    largest_of_all,
    sum_over_processes,
    this_process,
    wait_for_all,
)
from geoseg.nn.epoch_losses import EpochLosses
from geoseg.nn.loop_config import LoopConfig


def add_up(progress):
    """Exchange numbers, log and report."""
    environment = find_environment(LoopConfig(devices=2))
    process = this_process(environment)
    with joined(environment, torch.device("cpu")):
        logging.getLogger("geoseg.work").warning("rank %d", process.rank)
        with progress.task("add", 2, "step") as task:
            total = sum_over_processes(torch.tensor([1.0, 10.0**process.rank]))
            task.advance(2)
        progress.event("added", total=total.tolist())
        losses = EpochLosses()
        for step in range(3):
            losses.add(torch.tensor(10.0 * step + process.rank))
        state = losses.state_dict()
        losses.load_state_dict(state)
        losses.add(torch.tensor(100.0 + process.rank))
        largest = largest_of_all(process.rank, -process.rank)
        return process, total.tolist(), largest, state["losses"], losses.mean()


def fail(how, progress):
    """Have the second process fail while the first waits for it."""
    del progress
    environment = find_environment(LoopConfig(devices=2))
    with joined(environment, torch.device("cpu")):
        if environment.global_rank() == 1:
            if how == "error":
                raise ConfigError("data.tiles", "is broken", "Mend it")
            if how == "defect":
                raise ZeroDivisionError("0 / 0")
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            sys.exit(3)
        wait_for_all()


def wait_for_signal(folder, progress):
    """Tell that it waits, and end as a run does when Ctrl-C comes."""
    del progress
    (Path(folder) / os.environ["RANK"]).touch()
    time.sleep(300)
