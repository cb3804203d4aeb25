"""Ctrl-C and SIGTERM in training: it is saved and ends at the end of a batch."""

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
    """Listens for Ctrl-C and SIGTERM.

    Args:
        patient: Whether a second signal is taken for the first one coming twice, as it does
            where a terminal and a launcher both send it; else it ends training at once.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.received = 0
        """Number of the signal that came; 0 where none did."""
        self._patient = patient
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, where signals can be listened to; Lightning has set its own handlers before."""
        del trainer, pl_module
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give the signals back to who had them."""
        del trainer, pl_module, stage
        self._give_back()

    def on_exception(self, *_: object) -> None:
        """Give them back too: Lightning calls no teardown after an exception."""
        self._give_back()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.received and not self._patient:
            raise TrainingStopped(number)
        self.received = number

    def _give_back(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
