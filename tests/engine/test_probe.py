"""Which windows run-times are compared on."""

import numpy as np
import pytest
import torch

from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import visible
from geoseg.engine.probe import Probe, first_windows, spread_windows
from geoseg.geo.raster import Scene

SIZE = 8


@pytest.fixture
def scene(make_scene):
    """Each pixel tells its place; the first two rows of windows hold no data."""
    rows, cols = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    data = (1 + rows * 64 + cols)[None].astype(np.uint16)
    data[:, :16] = 0
    return Scene.open(make_scene(data, nodata=0))


def places(probe):
    return [divmod(int(window[0, 0, 0]) - 1, 64) for window in probe.pixels.to(torch.int64)]


def test_the_first_windows_are_the_first_with_data(scene):
    probe = first_windows(scene, Layout.of((64, 64), SIZE, SIZE), visible, 2)
    assert places(probe) == [(16, 0), (16, 8)]
    assert probe.valid.all()


def test_small_scenes_are_reflected(make_scene):
    data = np.arange(1, 7, dtype=np.uint8).reshape(1, 2, 3)
    scene = Scene.open(make_scene(data))
    probe = first_windows(scene, Layout.of((2, 3), 4, 4), visible, 1)
    assert np.array_equal(
        probe.pixels[0].numpy(), np.pad(data, ((0, 0), (0, 2), (0, 1)), "reflect")
    )


def test_windows_all_over_the_scene_are_two_kinds(scene):
    layout = Layout.of((64, 64), SIZE, SIZE)
    first, second = spread_windows(scene, layout, visible, count=10, others=4)
    assert (len(first.pixels), len(second.pixels)) == (10, 4)
    own, others = set(places(first)), set(places(second))
    assert len(own) == 10 and len(others) == 4 and not own & others
    assert max(row for row, _ in own) >= 40
    assert min(row for row, _ in own | others) >= 16


@pytest.mark.parametrize(("windows", "expected"), [(1, (1, 1)), (2, (1, 1)), (5, (3, 2))])
def test_few_windows_are_shared_out(make_scene, windows, expected):
    scene = Scene.open(make_scene((1, SIZE, SIZE * windows)))
    layout = Layout.of(scene.grid.shape, SIZE, SIZE)
    found = spread_windows(scene, layout, visible, count=32, others=4)
    assert tuple(len(probe.pixels) for probe in found) == expected


def test_a_scene_without_data_has_none(make_scene):
    scene = Scene.open(make_scene(np.zeros((1, 20, 20), np.uint8), nodata=0))
    layout = Layout.of((20, 20), SIZE, SIZE)
    assert first_windows(scene, layout, visible, 2) is None
    assert spread_windows(scene, layout, visible, 4, 2) is None


def test_a_batch_repeats_the_windows():
    probe = Probe(
        pixels=torch.tensor([0, 1, 2], dtype=torch.uint16).reshape(3, 1, 1, 1),
        valid=torch.tensor([True, False, True]).reshape(3, 1, 1),
    )
    assert probe.batch(5).pixels.flatten().tolist() == [0, 1, 2, 0, 1]
    assert probe.batch(2).valid.flatten().tolist() == [True, False]


def test_agreement_counts_valid_pixels_only():
    probe = Probe(pixels=torch.zeros(1, 1, 1, 4), valid=torch.tensor([[[True, True, True, False]]]))
    reference = torch.tensor([[[[1.0, 1, 1, 1]], [[0, 0, 0, 0]]]])
    scores = torch.tensor([[[[1.0, 1, 0, 0]], [[0, 0, 1, 1]]]])
    assert probe.agreement(scores, reference) == pytest.approx(2 / 3)


def test_data_far_from_the_first_windows_is_found(make_scene):
    data = np.zeros((1, 320, 320), np.uint8)
    data[:, 160:, 160:] = 7
    scene = Scene.open(make_scene(data, nodata=0))
    probe = first_windows(scene, Layout.of((320, 320), SIZE, SIZE), visible, 2)
    assert (probe.pixels == 7).any(dim=(1, 2, 3)).all()
