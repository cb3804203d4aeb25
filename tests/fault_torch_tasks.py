"""What writers that need torch write in the tests of full disks; see `fault_tasks.py`."""

from pathlib import Path

import torch
from fault_work import save_model

from geoseg.nn.checkpoints import write_checkpoint
from geoseg.nn.journal import write_csv

TASKS = {
    "bundle": lambda: save_model("out.safetensors", overwrite=True, arch="linear"),
    "checkpoint": lambda: write_checkpoint({"state_dict": {"a": torch.zeros(50_000)}}, "out.ckpt"),
    "csv": lambda: write_csv([{"epoch": 1}], Path("out.csv")),
}
