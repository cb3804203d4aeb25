import numpy as np
import pytest
import torch

from geoseg.engine.argmax import highest


@pytest.mark.parametrize("classes", [1, 2, 3, 20])
def test_highest_is_torchs_argmax(classes):
    scores = torch.rand(classes, 30, 40, generator=torch.Generator().manual_seed(1))
    values = [(7 * place + 3) % 251 for place in range(classes)]
    found = highest(scores, range(classes), values)
    assert found.dtype == torch.uint8
    assert (found.numpy() == np.array(values)[scores.argmax(0).numpy()]).all()


def test_of_equals_the_first_wins():
    assert highest(torch.ones(3, 2, 2), [2, 0, 1], [9, 5, 4]).unique().tolist() == [9]


def test_channels_that_are_left_out_are_never_found():
    scores = torch.tensor([1.0, 9.0, 2.0])[:, None, None]
    assert highest(scores, [0, 2], [10, 30]).item() == 30


def test_values_above_255_are_held():
    scores = torch.tensor([1.0, 9.0])[:, None, None]
    assert highest(scores, [0, 1], [3, 60_000]).item() == 60_000
