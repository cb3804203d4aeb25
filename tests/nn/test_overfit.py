"""Every network learns four tiles of the sample scene by heart."""

import pytest
from benchmarks.bench_overfit import GOAL, overfit, read_tiles

from geoseg.models import list_models

pytestmark = [pytest.mark.slow, pytest.mark.long]

UNABLE = {
    "linear": "sees one pixel at a time",
}
"""Networks that cannot know tiles by heart, and why."""


def test_all_classes_are_on_the_tiles():
    tiles = read_tiles()
    assert len(tiles.images) == 4
    assert tiles.masks.unique().tolist() == list(range(tiles.legend.count))


@pytest.mark.parametrize("name", [name for name in list_models() if name not in UNABLE])
def test_four_tiles_are_learnt_by_heart(name):
    assert overfit(name).mean_iou > GOAL


@pytest.mark.parametrize("name", UNABLE)
def test_what_is_called_unable_is_so(name):
    assert overfit(name, steps=200).mean_iou < 0.8
