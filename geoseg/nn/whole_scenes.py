"""When a network is validated, and on what whole scenes it is judged, as users will use it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, Protocol

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from geoseg.geo.comparing import Comparison
from geoseg.geo.legend import Legend
from geoseg.nn.distributed import sum_over_processes
from geoseg.nn.journal import as_task
from geoseg.nn.models import SegmentationModel
from geoseg.nn.stopwatch import Stopwatch
from geoseg.nn.validation import Counts, counts_of, scene_figures


class WholeScenes(Protocol):
    """Scenes with labels, and the engine that predicts them."""

    @property
    def scenes(self) -> tuple[str, ...]:
        """Their paths."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The path of each one's labels."""

    def compare(
        self, network: SegmentationModel, place: int, beat: Callable[[], None]
    ) -> Comparison:
        """Predict one of them, and count the pixels against its labels.

        Args:
            network: As it is now; it is left as it is.
            place: Which scene.
            beat: Called now and then; what it raises ends the work.
        """


class SceneScores(Callback):
    """Judges the network on whole scenes, within a validation.

    Several processes share the scenes among them.

    Args:
        whole: The scenes.
        legend: The classes.
        every: Validations from one to the next.
        beat: Called now and then; what it raises ends the work.
    """

    def __init__(
        self, whole: WholeScenes, legend: Legend, every: int, beat: Callable[[Trainer], None]
    ) -> None:
        self._whole = whole
        self._legend = legend
        self._every = every
        self._beat = beat
        self._validations = 0

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Predict and count, if it is time."""
        if self._validations % self._every == 0 or is_last_epoch(trainer):
            task = as_task(pl_module)
            counts = self._count(trainer, task.network, task.device)
            task.validation.whole = counts
            task.add_figures(scene_figures(counts, self._legend.names))
        self._validations += 1  # here: an interrupted one comes again

    def state_dict(self) -> dict[str, int]:
        """What a checkpoint keeps: how many validations there were."""
        return {"validations": self._validations}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on counting validations."""
        self._validations = int(state_dict["validations"])

    def _count(self, trainer: Trainer, network: SegmentationModel, device: torch.device) -> Counts:
        classes, scenes = self._legend.count, len(self._whole.scenes)
        counts = {
            "matrices": torch.zeros(scenes, classes, classes, dtype=torch.int64),
            "pixels": torch.zeros(scenes, 3, dtype=torch.int64),
        }
        for place in range(trainer.global_rank, scenes, trainer.world_size):
            found = counts_of([self._whole.compare(network, place, partial(self._beat, trainer))])
            for key, values in found.items():
                counts[key][place] = values[0]
        # NCCL sums on GPUs alone.
        return {key: sum_over_processes(v.to(device)).cpu() for key, v in counts.items()}


class ValidationPlan(Callback):
    """Lets Lightning validate every so many epochs, and the last; it stands behind what ends.

    Args:
        every: Epochs from one validation to the next.
        stopwatch: Told how long validation takes.
    """

    def __init__(self, every: int, stopwatch: Stopwatch) -> None:
        self._every = every
        self._stopwatch = stopwatch
        self._measured = ExitStack()
        self._ends = False

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Learn whether the run was to end after the epoch that was interrupted."""
        del trainer, pl_module
        self._ends = bool(checkpoint["ends"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A resumed run may have nothing but validation before it."""
        del pl_module
        self._decide(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        """With each batch it may turn out that the epoch is the last."""
        self._decide(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to measure; if it is the last one, of a resumed run too, let all know."""
        del pl_module
        trainer.should_stop |= self._ends  # not before: Lightning would not even begin
        self._measured.enter_context(self._stopwatch.measure("validation"))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put down how long it took."""
        del trainer, pl_module
        self._measured.close()

    def _decide(self, trainer: Trainer) -> None:
        is_last = self._ends or is_last_epoch(trainer)
        trainer.check_val_every_n_epoch = 1 if is_last else self._every


def is_last_epoch(trainer: Trainer) -> bool:
    """Whether training ends with this epoch, as far as is known when its steps are done."""
    limit = trainer.max_epochs or -1
    return bool(trainer.should_stop) or 0 < limit <= trainer.current_epoch + 1
