"""What a validation counts, scene by scene, and the figures that come of it."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from geoseg.errors import ConfigError
from geoseg.geo.comparing import Comparison
from geoseg.geo.confusion import scores
from geoseg.geo.legend import Legend
from geoseg.nn.config import TrainConfig
from geoseg.nn.dataset import Batch, PairSource
from geoseg.nn.distributed import sum_over_processes
from geoseg.nn.metrics import ConfusionMatrix

Counts = dict[str, Tensor]
"""What is known of several scenes, as a checkpoint can keep it: `matrices` (scenes, classes,
classes) int64, and `pixels` (scenes, 3) int64: all, those with a prediction, those with a label."""

SUMMARY = ("mean_iou", "pixel_accuracy", "mean_f1", "mean_accuracy", "fw_iou", "mean_dice", "kappa")
"""Scores of all pixels that are figures of an epoch."""

SCENE_SUMMARY = ("mean_iou", "pixel_accuracy")
"""Those of whole scenes."""

_OF_TRAINING = (
    *("epoch", "step", "seconds", "lr", "train/loss"),
    *("time/data", "time/step", "samples_per_second"),
)
"""Columns of metrics.csv that do not come of validation."""

_MOST_COUNTS = 1 << 24
"""Of all matrices together: with more, scenes are counted as one."""


class Validation(nn.Module):
    """Counts what is predicted for the validation samples.

    A module, so that it moves to the device with the network.

    Args:
        legend: The classes.
        source: Tells the scene of each pair; without it all are of one.
    """

    scene_of_pair: Tensor
    """(pairs,) int64, the number of each pair's scene."""

    loss: Tensor
    """(2,) float64: the sum of the losses of all labelled pixels, and their number."""

    def __init__(self, legend: Legend, source: PairSource | None = None) -> None:
        super().__init__()
        self._legend = legend
        self.scenes = ("",) if source is None else source.scenes
        numbers = [] if source is None else [source.scene(index) for index in range(len(source))]
        if len(self.scenes) * legend.count**2 > _MOST_COUNTS:
            self.scenes, numbers = (f"{len(self.scenes)} scenes",), [0] * len(numbers)
        self.confusion = ConfusionMatrix(legend.count, legend.ignore_index, len(self.scenes))
        of_pair = torch.tensor(numbers, dtype=torch.int64)
        self.register_buffer("scene_of_pair", of_pair, persistent=False)
        self.register_buffer("loss", torch.zeros(2, dtype=torch.float64), persistent=False)
        self.whole: Counts | None = None
        """Of whole scenes; None where they were not looked at."""

    def reset(self) -> None:
        """Begin anew."""
        self.confusion.reset()
        self.loss.zero_()
        self.whole = None

    def update(self, logits: Tensor, batch: Batch, loss: Tensor) -> None:
        """Count a batch.

        Args:
            logits: (n, classes, height, width).
            batch: Its `target` (n, height, width), `valid` and `pair`.
            loss: Of the batch.
        """
        target, pairs = batch["target"], batch.get("pair")
        scenes = self.scene_of_pair[pairs] if pairs is not None and len(self.scenes) > 1 else None
        self.confusion.update(logits, target, scenes, batch.get("valid"))
        # Each batch weighs as many labelled pixels as it has: however samples are batched or
        # shared among processes, the mean stays what it is.
        labelled = (target != self._legend.ignore_index).sum()
        summed = torch.where(labelled > 0, loss.detach() * labelled, 0.0)
        self.loss += torch.stack([summed, labelled])

    def figures(self) -> dict[str, float]:
        """The figures of all that was counted, by all processes, by the names of their columns."""
        self.confusion.reduce()
        loss, labelled = sum_over_processes(self.loss).tolist()
        found = self.confusion.scores(self._legend.names)
        return {
            "val/loss": loss / labelled if labelled else math.nan,
            **{f"val/{key}": found[key] for key in SUMMARY},
            **{f"val/iou/{entry['name']}": entry["iou"] for entry in found["classes"]},
        }

    def counts(self) -> Counts:
        """What was counted of each scene."""
        matrices, seen = self.confusion.matrices.cpu(), self.confusion.pixels.cpu()
        labelled = matrices.sum(dim=(1, 2))
        return {"matrices": matrices.clone(), "pixels": torch.stack([seen, seen, labelled], dim=1)}


def scene_figures(counts: Counts, names: Sequence[str]) -> dict[str, float]:
    """The figures of whole scenes, of the sum of their matrices."""
    found = scores(counts["matrices"].sum(dim=0).numpy(), names)
    return {
        **{f"val/scene/{key}": found[key] for key in SCENE_SUMMARY},
        **{f"val/scene/iou/{entry['name']}": entry["iou"] for entry in found["classes"]},
    }


def figure_names(names: Iterable[str], *, whole_scenes: bool) -> list[str]:
    """The columns of metrics.csv that come of validation.

    Args:
        names: Of the classes.
        whole_scenes: Whether whole scenes are validated too.
    """
    names = list(names)
    found = ["val/loss", *(f"val/{key}" for key in SUMMARY), *(f"val/iou/{n}" for n in names)]
    if whole_scenes:
        found += [f"val/scene/{key}" for key in SCENE_SUMMARY]
        found += [f"val/scene/iou/{name}" for name in names]
    return found


def check_monitor(config: TrainConfig, names: Iterable[str]) -> None:
    """Refuse to monitor what will be no column of metrics.csv.

    Args:
        config: Tells what is monitored, and whether whole scenes are validated.
        names: Of the classes.

    Raises:
        ConfigError: If it is none; the nearest is named.
    """
    key, whole = config.train.monitor.split()[1], bool(config.validation.scenes)
    known = [*figure_names(names, whole_scenes=whole), *_OF_TRAINING]
    if key in known:
        return
    nearest = difflib.get_close_matches(key, known, 1, 0.6)
    cure = f"Did you mean {nearest[0]}" if nearest else f"Known are {', '.join(known)}"
    if key.startswith("val/scene/") and not whole:
        cure = "Name whole scenes in validate.scenes"
    raise ConfigError("train.monitor", f"{key} is no figure of this run", cure)


def counts_of(comparisons: Sequence[Comparison]) -> Counts:
    """Comparisons as a checkpoint can keep them."""
    pixels = [[c.pixels, c.predicted_pixels, c.labelled_pixels] for c in comparisons]
    return {
        "matrices": torch.from_numpy(np.stack([c.matrix for c in comparisons])),
        "pixels": torch.tensor(pixels, dtype=torch.int64),
    }


def comparisons_of(
    counts: Counts, scenes: Sequence[str], labels: Sequence[str]
) -> list[Comparison]:
    """Comparisons of what was counted.

    Args:
        counts: What was counted.
        scenes: Names of the scenes.
        labels: Where the labels of each come from.
    """
    return [
        Comparison(
            prediction=scene,
            labels=label,
            matrix=matrix.numpy(),
            pixels=pixels[0],
            predicted_pixels=pixels[1],
            labelled_pixels=pixels[2],
        )
        for scene, label, matrix, pixels in zip(
            scenes, labels, counts["matrices"], counts["pixels"].tolist(), strict=True
        )
    ]
