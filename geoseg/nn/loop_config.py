"""The table [train] of a training configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from geoseg.nn.config_tables import MOST_SAMPLES, Table

_BUDGETS = ("epochs", "steps", "minutes")
_DEFAULT_EPOCHS = 30


class LoopConfig(Table):
    """How long, how fast and on what the network learns; the table [train]."""

    epochs: int | None = Field(default=None, ge=1)
    """Passes over the samples; 30 where neither steps nor minutes are given."""

    steps: int | None = Field(default=None, ge=1)
    """Steps of the optimizer, instead of epochs."""

    minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Time to train, instead of epochs."""

    batch_size: Annotated[int, Field(ge=1, le=MOST_SAMPLES)] | Literal["auto"] = 8
    """Samples that one device takes at once; `auto` finds what fits the GPU's memory."""

    accumulate: int = Field(default=1, ge=1)
    """Batches whose gradients make one step of the optimizer."""

    effective_batch: int = Field(default=16, ge=1, le=MOST_SAMPLES)
    """Samples a step of the optimizer that `auto` aims at, over all devices."""

    devices: int = Field(default=1, ge=1)
    """GPUs, or processes on the processor, of one machine that train together."""

    nodes: int = Field(default=1, ge=1)
    """Machines that train together."""

    strategy: Literal["auto", "ddp"] = "auto"
    """How several devices share the work: each has the network, and gradients are averaged."""

    sync_norm: bool = False
    """Whether batch normalisation takes its statistics over all GPUs."""

    compile: bool = False
    """Whether torch compiles the network: minutes at the start, then faster steps."""

    deterministic: bool = False
    """Whether only algorithms are used that give the same numbers each time."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Numbers of the forward pass; auto takes bf16 where the processor computes with it."""

    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """auto, cpu, cuda or cuda:1."""

    monitor: str = Field(default="max val/mean_iou", pattern=r"^(max|min) \S+$")
    """Figure that tells the best epoch: max or min, and its name in metrics.csv."""

    average: Literal["none", "ema", "swa"] = "none"
    """Whether means of the weights over the steps (ema) or the epochs (swa) validate and are
    kept, instead of the weights as they are."""

    average_decay: float = Field(default=0.999, gt=0, lt=1)
    """Of ema: how much of the mean stays at each step."""

    average_start: float | None = Field(default=None, ge=0, lt=1)
    """Share of the training after which means are taken; None: 0 for ema, 0.75 for swa."""

    early_stop: int = Field(default=0, ge=0)
    """Epochs without a better figure after which training ends; 0 never ends early."""

    workers: int = Field(default=2, ge=0)
    """Processes that read samples; 0 reads in the training process."""

    @model_validator(mode="before")
    @classmethod
    def _fill_budget(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the user gave
        if isinstance(values, dict) and not any(values.get(key) for key in _BUDGETS):
            return {**values, "epochs": values.get("epochs", _DEFAULT_EPOCHS)}
        return values

    @model_validator(mode="after")
    def _check_budget(self) -> LoopConfig:
        if sum(getattr(self, key) is not None for key in _BUDGETS) > 1:
            raise ValueError(f"give one of {', '.join(_BUDGETS)}")
        return self
