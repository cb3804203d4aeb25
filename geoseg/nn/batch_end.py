"""What is decided after each batch: whether to end, to save, to stop."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from geoseg.nn.budget import Budget
from geoseg.nn.distributed import is_joined, largest_of_all
from geoseg.nn.keeper import Keeper
from geoseg.nn.signals import Signals, TrainingStopped


class BatchEnd(Callback):
    """Ends, saves and stops training; all processes decide alike.

    A state is saved only after a step of the optimizer: gradients that wait for further batches
    are in no checkpoint.

    Args:
        budget: Tells when the time is spent.
        signals: Tells whether one came.
        keeper: Saves.
    """

    def __init__(self, budget: Budget, signals: Signals, keeper: Keeper) -> None:
        self._budget = budget
        self._signals = signals
        self._keeper = keeper

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: object,
        batch: object,
        batch_idx: int,
    ) -> None:
        """Decide.

        Raises:
            TrainingStopped: If a signal came to any process, once the state is saved.
            WorkError: If the state cannot be written.
        """
        del pl_module, outputs, batch
        done = batch_idx + 1
        is_last = done == trainer.num_training_batches
        if done % trainer.accumulate_grad_batches and not is_last:
            return
        signal_number, spent, due, milliseconds = largest_of_all(
            self._signals.received,
            self._budget.is_spent(trainer),
            self._keeper.is_due,
            round(1000 * self._budget.seconds),
        )
        self._budget.agree(milliseconds)
        if spent:
            trainer.should_stop = True
        is_last |= trainer.should_stop  # validation comes next
        if signal_number or (due and not is_last):
            self._keeper.write(trainer, validation_is_due=is_last)
        if signal_number:
            raise TrainingStopped(signal_number)

    def on_validation_batch_end(self, trainer: Trainer, *_: object) -> None:
        """Stop here if a signal came; of several processes each has another number of batches.

        Raises:
            TrainingStopped: If one came, once the state is saved.
            WorkError: If the state cannot be written.
        """
        if self._signals.received and not is_joined():
            self._keeper.write(trainer, validation_is_due=True)
            raise TrainingStopped(self._signals.received)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop after an epoch that is whole.

        Raises:
            TrainingStopped: If a signal came to any process, once the state is saved.
            WorkError: If the state cannot be written.
        """
        del pl_module
        (signal_number,) = largest_of_all(self._signals.received)
        if signal_number:
            self._keeper.write(trainer)
            raise TrainingStopped(signal_number)
