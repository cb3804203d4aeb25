"""Everything a training run needs before its first step: data, network, scaling, device."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment

from geoseg.errors import ConfigError
from geoseg.nn.architectures import ARCHITECTURES
from geoseg.nn.config import TrainConfig
from geoseg.nn.dataset import SampleDataset, SampleForm
from geoseg.nn.device import Precision, resolve_precision
from geoseg.nn.distributed import Process, own_device, this_process
from geoseg.nn.freezing import FreezePlan, plan_freezing
from geoseg.nn.losses import resolve_class_weights, tell_class_weights
from geoseg.nn.models import ModelSpec, SegmentationModel
from geoseg.nn.optim import build_optimizer
from geoseg.nn.sampling import EpochSampler
from geoseg.nn.scaling import Scaling
from geoseg.nn.sources import TrainingData, open_tiles
from geoseg.nn.torchgeo_data import open_torchgeo
from geoseg.nn.validation import check_monitor
from geoseg.nn.weights import Start, start_network
from geoseg.nn.window_sources import open_scenes

logger = logging.getLogger(__name__)

_NARROW, _WIDE = 0.03, 10.0
"""Scaled values that span less, or reach further, are of other units than the weights'."""


@dataclass(frozen=True, kw_only=True)
class TrainSetup:
    """All that is fixed before the first step."""

    config: TrainConfig
    """What the user asked for."""

    data: TrainingData
    """Both parts of the data."""

    spec: ModelSpec
    """What the network is."""

    network: SegmentationModel
    """The network with its first weights."""

    freezing: FreezePlan
    """Which of its parts train when."""

    scaling: Scaling
    """From raw units to what the network sees."""

    device: torch.device
    """Where it runs."""

    precision: Precision
    """With what numbers."""

    train: SampleDataset
    """Samples to learn from."""

    val: SampleDataset
    """Samples to validate on."""

    sampler: EpochSampler
    """The order of the training samples."""

    class_weights: tuple[float, ...] | None
    """Weights of the classes in the loss, in legend order; None where all weigh the same."""

    environment: ClusterEnvironment | None = None
    """What started this process together with others; None where it trains alone."""

    process: Process = Process()  # noqa: RUF009 - it is frozen
    """Which of them it is."""

    @property
    def epoch_steps(self) -> int:
        """Steps of the optimizer in an epoch; the last one may take fewer batches."""
        batches = max(1, len(self.sampler) // self.batch_size)
        return -(-batches // self.config.train.accumulate)

    @property
    def batch_size(self) -> int:
        """Samples that one process takes at once."""
        size = self.config.train.batch_size
        assert size != "auto", "found when the loop begins"
        return size


def prepare(config: TrainConfig, environment: ClusterEnvironment | None = None) -> TrainSetup:
    """Open the data and build the network.

    Args:
        config: What the user asked for.
        environment: What started this process together with others, if it does not train alone.

    Raises:
        InputError: If data, weights, device or network cannot be had, or do not fit.
    """
    process = this_process(environment)
    device = own_device(config.train, process)
    precision = resolve_precision(config.train.precision, device, "train.precision")
    data = _open_data(config)
    check_monitor(config, data.legend.names)
    spec = _spec(config, data)
    start = start_network(
        spec,
        config.model.weights,
        bands=data.band_names,
        classes=data.legend.names,
        resolution=data.resolution,
    )
    scaling = _scaling(config, data, start)
    means = tuple(float(np.nan_to_num(mean)) for mean in data.stats.mean)
    fill = scaling.mean or means  # missing pixels are the same in training and in prediction
    crop, (height, width) = config.data.crop, data.shape
    mode = config.data.crop_mode
    train_form = SampleForm(
        height=crop, width=crop, fill=fill, seed=config.seed, random=mode == "random",
        cat_max_ratio=config.data.cat_max_ratio, resize=mode == "resize",
    )  # fmt: skip
    val_form = replace(train_form, height=height, width=width, random=False, cat_max_ratio=1.0)
    return TrainSetup(
        config=config,
        data=data,
        spec=spec,
        network=start.network,
        freezing=_freeze(config, start.network),
        scaling=scaling,
        device=device,
        precision=precision,
        train=SampleDataset(data.train, train_form),
        val=SampleDataset(data.val, val_form),
        sampler=_sampler(config, data, process),
        class_weights=resolve_class_weights(
            config.loss, classes=data.legend.count, class_pixels=data.class_pixels
        ),
        environment=environment,
        process=process,
    )


def _open_data(config: TrainConfig) -> TrainingData:
    if config.data.tiles:
        return open_tiles(config.data)
    if config.data.torchgeo:
        return open_torchgeo(config.data, config.seed)
    return open_scenes(config.data, config.seed)


def _sampler(config: TrainConfig, data: TrainingData, process: Process) -> EpochSampler:
    samples = config.data.samples or data.samples
    for part, count in (("train on", samples), ("validate on", len(data.val))):
        if count < process.world:
            raise ConfigError(
                "train.devices",
                f"{process.world} processes want samples, and there are {count} to {part}",
                "Set fewer",
            )
    return EpochSampler(data.drawing, samples, config.seed, rank=process.rank, world=process.world)


def _spec(config: TrainConfig, data: TrainingData) -> ModelSpec:
    model = config.model
    return ModelSpec(
        arch=model.arch,
        encoder=model.encoder if ARCHITECTURES[model.arch].has_encoder else "none",
        in_channels=len(data.stats.mean),
        classes=data.legend.count,
        options=model.options,
    )


def _freeze(config: TrainConfig, network: SegmentationModel) -> FreezePlan:
    """Freeze what never trains; what cannot be trained so is refused before anything is written."""
    plan = plan_freezing(network, config.model)
    plan.settle(network)
    build_optimizer(network, config.optimizer)
    return plan


def _divisor(config: TrainConfig, data: TrainingData) -> float | None:
    """What `divide` divides by: as told, else the largest value of 8 or 16 bit."""
    if config.data.divisor is not None:
        return config.data.divisor
    return {"uint8": 255.0, "uint16": 65535.0}.get(data.dtype)


def _scaling(config: TrainConfig, data: TrainingData, start: Start) -> Scaling:
    """As told; by `auto` that of the weights where they have one, else by statistics."""
    kind = config.data.scaling
    own = start.scaling(data.stats) if kind in ("auto", "weights") else None
    if own is not None:
        _tell_scaling(config.model.weights, own, data)
        return own
    if kind == "weights":
        raise ConfigError(
            "data.scaling",
            f"the weights {config.model.weights!r} tell no scaling",
            'Set it to "standardize"',
        )
    chosen = "standardize" if kind == "auto" else kind
    return Scaling.from_stats(chosen, data.stats, divisor=_divisor(config, data))


def _tell_scaling(weights: str, scaling: Scaling, data: TrainingData) -> None:
    """Log what the weights' scaling makes of the data, and doubt what is far off."""
    ends = torch.tensor([data.stats.p2, data.stats.p98], dtype=torch.float32)  # (2, bands)
    scaled = scaling.apply(ends[..., None, None])
    low, high = float(scaled.min()), float(scaled.max())
    logger.info("scaling of %s (%s): 2 to 98 %% of values become %.3g to %.3g",
                weights, scaling.kind, low, high)  # fmt: skip
    if high - low < _NARROW or max(-low, high) > _WIDE:
        logger.warning(
            "values become %.3g to %.3g by the scaling of %s: it was made for other units; "
            'data.scaling = "standardize" goes by the data instead',
            low, high, weights,
        )  # fmt: skip


def tell_setup(setup: TrainSetup) -> None:
    """Log what will be trained on what."""
    parameters = sum(p.numel() for p in setup.network.parameters())
    logger.info(
        "%s with %s: %.1f million parameters, %d bands, %d classes; %s on %s",
        setup.spec.arch, setup.spec.encoder, parameters / 1e6, setup.spec.in_channels,
        setup.spec.classes, setup.precision, setup.device,
    )  # fmt: skip
    logger.info(
        "%d samples of %d x %d pixels an epoch in %d steps; %d to validate",
        len(setup.sampler), setup.train.form.height, setup.train.form.width,
        setup.epoch_steps, len(setup.val),
    )  # fmt: skip
    if setup.class_weights is not None:
        tell_class_weights(setup.class_weights, setup.data.legend.names, setup.data.class_pixels)
