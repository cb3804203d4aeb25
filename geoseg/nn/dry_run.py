"""What a dry run tells: the network, the classes, and the first batch as it is and augmented."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geoseg.nn.augment import Augment
from geoseg.nn.counting import count_model, count_parameters
from geoseg.nn.dataset import Batch
from geoseg.nn.schedules import schedule_factor
from geoseg.nn.setup import TrainSetup

logger = logging.getLogger(__name__)

Figures = dict[str, Any]
"""What JSON can hold."""

_VERSIONS = 4
"""Augmented versions of each sample that are shown."""

_ROWS = 5
"""Samples that are shown."""

_RATES = 21
"""Points of the training at which the learning rate is told."""

_ANY_STEPS = 1000
"""Stands for the steps of a training by time."""


@dataclass(frozen=True, kw_only=True)
class ShownSample:
    """A sample as it is read, and then augmented versions of it."""

    name: str
    """Where it comes from."""

    images: npt.NDArray[np.float32]
    """(versions, bands, height, width), scaled; the first is as read."""

    masks: npt.NDArray[Any]
    """(versions, height, width) class values, the legend's ignore where no loss looks."""

    valid: npt.NDArray[np.bool_]
    """(versions, height, width), True where there is data."""


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """What a dry run found."""

    figures: Figures
    """Model, classes, first batch, schedule."""

    samples: tuple[ShownSample, ...]
    """Some of the first batch."""


def look(setup: TrainSetup) -> DryRun:
    """Read the first batch, augment it, and tell what would be trained on what.

    Nothing is trained, and the network computes nothing; all is done on the processor.

    Raises:
        GeosegError: If a sample cannot be read.
    """
    keys = list(islice(setup.sampler, _batch_size(setup)))
    read = [setup.train.sample(key) for key in keys]
    batch = {key: torch.stack([sample[key] for sample in read]) for key in read[0]}
    names = [setup.data.train.name(key.pair) for key in keys]
    figures = {
        "name": setup.config.name,
        "seed": setup.config.seed,
        "device": str(setup.device),
        "precision": setup.precision,
        "model": _model(setup),
        "classes": _classes(setup),
        "samples": {"train": len(setup.sampler), "validation": len(setup.val)},
        "first_batch": {"names": names, **_first_batch(setup, batch)},
        "schedule": _schedule(setup),
    }
    return DryRun(figures=figures, samples=_show(setup, batch, names))


def tell(figures: Figures) -> None:
    """Log the gist of a dry run, beside what `tell_setup` tells of every run."""
    model, batch = figures["model"], figures["first_batch"]
    logger.info("%.2f million of %.2f million parameters are trained; %.3g GMACs a sample",
                model["trained"] / 1e6, model["parameters"] / 1e6, model["gmacs"])  # fmt: skip
    if figures["classes"][0]["share"] is not None:
        shares = (f"{entry['name']} {entry['share']:.2%}" for entry in figures["classes"])
        logger.info("labelled pixels to learn from: %s", ", ".join(shares))
    logger.info("first batch: %.1f %% of the pixels hold data, %.1f %% are labelled",
                100 * batch["valid_share"], 100 * batch["labelled_share"])  # fmt: skip
    for band in batch["bands"]:
        raw, scaled = band["raw"], band["scaled"]
        if raw["mean"] is not None:
            logger.info("band %s: %.4g to %.4g becomes %.3g to %.3g (mean %.3g, deviation %.3g)",
                        band["name"], raw["min"], raw["max"], scaled["min"], scaled["max"],
                        scaled["mean"], scaled["std"])  # fmt: skip


def _batch_size(setup: TrainSetup) -> int:
    """Samples of the batch; where memory is to decide, those of a step."""
    size = setup.config.train.batch_size
    return setup.config.train.effective_batch if size == "auto" else size


def _model(setup: TrainSetup) -> Figures:
    crop = setup.config.data.crop
    trained = (p.numel() for p in setup.network.parameters() if p.requires_grad)
    return {
        "arch": setup.spec.arch,
        "encoder": setup.spec.encoder,
        "bands": setup.spec.in_channels,
        "classes": setup.spec.classes,
        "parameters": count_parameters(setup.network),
        "trained": sum(trained),
        "gmacs": count_model(setup.spec, crop).macs / 1e9,
        "gmacs_size": crop,
    }


def _classes(setup: TrainSetup) -> list[Figures]:
    """Pixels of the training part, and the weight that the loss gives each class."""
    counts = setup.data.class_pixels
    weights = setup.class_weights or (1.0,) * len(counts)
    total = sum(counts)
    return [
        {
            "name": name,
            "pixels": int(pixels),
            "share": pixels / total if total else None,
            "weight": float(weight),
        }
        for name, pixels, weight in zip(setup.data.legend.names, counts, weights, strict=True)
    ]


def _first_batch(setup: TrainSetup, batch: Batch) -> Figures:
    image, target, valid = batch["image"], batch["target"], batch["valid"]
    scaled = setup.scaling.apply(image)
    labelled = target != setup.data.legend.ignore_index
    counts = torch.bincount(target[labelled].long(), minlength=setup.data.legend.count)
    shares = (counts / max(1, int(labelled.sum()))).tolist()
    names = setup.data.band_names
    return {
        "height": image.shape[-2],
        "width": image.shape[-1],
        "valid_share": float(valid.float().mean()),
        "labelled_share": float(labelled.float().mean()),
        "class_shares": dict(zip(setup.data.legend.names, shares, strict=True)),
        "bands": [
            {
                "name": (names[number] if number < len(names) else "") or str(number + 1),
                "raw": _spread(image[:, number][valid]),
                "scaled": _spread(scaled[:, number][valid]),
            }
            for number in range(image.shape[1])
        ],
    }


def _spread(values: Tensor) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(("min", "max", "mean", "std"))
    exact = values.double()
    return {
        "min": float(exact.min()),
        "max": float(exact.max()),
        "mean": float(exact.mean()),
        "std": float(exact.std(correction=0)),
    }


def _schedule(setup: TrainSetup) -> Figures:
    """The learning rate from the first step to the last, and how many steps there are."""
    loop, config = setup.config.train, setup.config
    batches = max(1, len(setup.sampler) // (_batch_size(setup) * loop.devices * loop.nodes))
    epoch_steps = -(-batches // loop.accumulate)
    steps = loop.steps or (loop.epochs or 0) * epoch_steps or None
    last = (steps or _ANY_STEPS) - 1
    places = sorted({round(last * place / (_RATES - 1)) for place in range(_RATES)})
    rates = [
        {
            "share": step / last if last else 0.0,
            "step": step if steps else None,
            "lr": config.optimizer.lr * schedule_factor(config.schedule, step, last + 1),
        }
        for step in places
    ]
    return {"name": config.schedule.name, "steps_per_epoch": epoch_steps, "steps": steps,
            "minutes": loop.minutes, "rates": rates}  # fmt: skip


def _show(setup: TrainSetup, batch: Batch, names: Sequence[str]) -> tuple[ShownSample, ...]:
    """Augment the batch as the first steps of the training would, each another time."""
    legend, config = setup.data.legend, setup.config
    image = setup.scaling.apply(batch["image"])
    fill = setup.scaling.fill(image.shape[1])
    augment = Augment(config.augment, fill=fill, ignore=legend.ignore_index)
    versions = [(image, batch["target"], batch["valid"])]
    for step in range(_VERSIONS):
        # As the task draws it, so that the first version is what the first step sees.
        seed = np.random.SeedSequence((config.seed, 0, step, 0)).generate_state(2)[1]
        augment.generator = torch.Generator().manual_seed(int(seed))
        versions.append(augment(image, batch["target"], batch["valid"]))
    images, targets, valids = (
        torch.stack([version[part] for version in versions], dim=1).numpy() for part in range(3)
    )  # (n, versions, ...)
    return tuple(
        ShownSample(name=name, images=images[n], masks=legend.decode(targets[n]), valid=valids[n])
        for n, name in enumerate(names[:_ROWS])
    )
