"""A few validation samples with what a network says of them, the same ones each time."""

from __future__ import annotations

import numpy as np
import torch

from geoseg.geo.sample_view import SampleView
from geoseg.nn.models import SegmentationModel
from geoseg.nn.sampling import SampleKey
from geoseg.nn.setup import TrainSetup

_SHOWN, _CANDIDATES = 4, 24


class SampleViews:
    """Predicts the validation samples that show the most classes.

    Args:
        setup: Has the samples.
    """

    def __init__(self, setup: TrainSetup) -> None:
        self._setup = setup
        self._chosen: list[int] | None = None

    @torch.inference_mode()
    def of(self, network: SegmentationModel) -> list[SampleView]:
        """The samples as the network sees them now; it is left as it is.

        Raises:
            GeosegError: If a sample cannot be read.
        """
        if self._chosen is None:
            self._chosen = self._choose()
        was_training = network.training
        network.eval()
        try:
            return [self._view(network, index) for index in self._chosen]
        finally:
            network.train(was_training)

    def _choose(self) -> list[int]:
        val = self._setup.val
        candidates = range(0, len(val), max(1, len(val) // _CANDIDATES))
        richness = {index: len(np.unique(val.pair(index).mask)) for index in candidates}
        return sorted(sorted(candidates, key=lambda index: -richness[index])[:_SHOWN])

    def _view(self, network: SegmentationModel, index: int) -> SampleView:
        setup = self._setup
        pair = setup.val.pair(index)
        sample = setup.val.sample(SampleKey(0, index, index))
        image = sample["image"][None].to(next(network.parameters()).device)
        logits = network(setup.scaling.apply(image))  # (1, classes, height, width)
        height, width = pair.mask.shape
        indices = logits.argmax(dim=1)[0, :height, :width].cpu().numpy()
        return SampleView(
            name=pair.name,
            image=pair.image,
            valid=pair.valid,
            reference=pair.mask,
            prediction=setup.data.legend.decode(indices),
        )
