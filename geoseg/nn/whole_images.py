"""Training on whole images: each scene is one pair, whatever its size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geoseg.errors import ConfigError
from geoseg.geo.cutting import Cut, LabelledScene
from geoseg.nn.config_tables import DataConfig
from geoseg.nn.dataset import Pair
from geoseg.nn.drawn_windows import Place, WindowSource
from geoseg.nn.sources import too_large

_MOST_AT_ONCE = 2**26
"""Pixels of an image that is read at once; 8192 x 8192."""


class WholeSource(WindowSource):
    """Whole scenes of any size; of a window nothing is padded."""

    @property
    def bytes(self) -> int:
        """Of all pairs in memory: image, mask and valid."""
        scene = self.labelled[0].scene
        pixel = scene.count * np.dtype(scene.dtype).itemsize + 3
        return pixel * sum(int(place.window.width * place.window.height) for place in self.places)

    def cut(self, place: Place) -> Cut:
        """Read a scene with its labels."""
        height, width = place.window.height, place.window.width
        cut = next(self._cuts(place, max(height, width)))
        return replace(
            cut,
            data=cut.data[:, :height, :width],
            mask=cut.mask[:height, :width],
            valid=cut.valid[:height, :width],
        )

    def _pair(self, place: Place, cut: Cut) -> Pair:
        return super()._pair(place, cut)._replace(name=self.scenes[place.scene])


def check_whole(labelled: LabelledScene, config: DataConfig) -> None:
    """Refuse a scene that is not seen whole in one sample.

    Raises:
        ConfigError: If it is too large.
    """
    scene = labelled.scene
    height, width = scene.grid.shape
    if config.crop_mode == "none" and max(height, width) > config.crop:
        raise too_large(f"{scene.path} of {height} x {width}", max(height, width))
    if height * width > _MOST_AT_ONCE:
        raise ConfigError(
            "data.crop_mode",
            f"{config.crop_mode} reads whole images, and {scene.path} has {height} x {width}",
            'Set it to "random", which reads windows',
        )
