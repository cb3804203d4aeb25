"""How Lightning runs the processes that train together."""

from __future__ import annotations

from typing import Any

from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.types import STEP_OUTPUT


class SharedStrategy(DDPStrategy):
    """Averages gradients over processes (DistributedDataParallel); validates each on its own.

    DDP's wrapper copies buffers to all processes at each pass forward. In validation the
    processes may have one batch more or less than others, and would wait for ever: there the
    network runs without its wrapper. Nor does anything go between GPUs after each step to ask
    whether a signal came, as Lightning does and so halts their queue of work.
    """

    def setup(self, trainer: Any) -> None:  # noqa: ANN401 - Lightning has no hints
        """Prepare for a training."""
        # What decides for all is `BatchEnd`, in main memory.
        trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = _nothing  # noqa: SLF001
        super().setup(trainer)

    def validation_step(self, *args: Any, **kwargs: Any) -> STEP_OUTPUT:  # noqa: ANN401 - as above
        """Run a step of validation without the wrapper."""
        assert self.lightning_module is not None
        with self.precision_plugin.val_step_context():
            return self.lightning_module.validation_step(*args, **kwargs)


def _nothing() -> None:
    """No broadcast."""
