"""What looks on while a network learns: services, pictures, whole scenes, the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lightning.pytorch.loggers import Logger

from geoseg.nn.pictures import Draw
from geoseg.nn.stopwatch import Stopwatch
from geoseg.nn.whole_scenes import WholeScenes


@dataclass(frozen=True, kw_only=True)
class Observers:
    """What looks on; training goes the same without any of it."""

    loggers: Sequence[Logger] = ()
    """Get figures and pictures; none in processes that are not the first."""

    draw: Draw | None = None
    """Draws pictures of the run; None draws none."""

    whole: WholeScenes | None = None
    """Scenes on which the network is judged as a whole."""

    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    """Adds up where the time goes."""
