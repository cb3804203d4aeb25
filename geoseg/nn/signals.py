"""Ctrl-C and SIGTERM in training: it ends at the end of a batch."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class TrainingStopped(Exception):  # noqa: N818 - no error: the user stopped the run
    """A signal asked for the end of training."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class Signals(Callback):
    """Ends training at a batch's end after Ctrl-C or SIGTERM; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self._received: int | None = None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, where signals can be listened to; Lightning has set its own handlers before."""
        del trainer, pl_module
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)

    def on_train_batch_end(self, *_: object) -> None:
        """Stop here if a signal came."""
        self._stop_if_asked()

    def on_validation_batch_end(self, *_: object) -> None:
        """Stop here if a signal came."""
        self._stop_if_asked()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back to who had them."""
        del trainer, pl_module, stage
        self._give_back()

    def on_exception(self, *_: object) -> None:
        """Give them back too: Lightning calls no teardown after an exception."""
        self._give_back()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self._received is not None:
            raise TrainingStopped(number)
        self._received = number

    def _give_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _stop_if_asked(self) -> None:
        if self._received is not None:
            raise TrainingStopped(self._received)
