import math

import pytest
import torch

from geoseg.errors import WorkError
from geoseg.nn.epoch_losses import EpochLosses

NAN = torch.tensor(float("nan"))


def test_the_mean_is_that_of_all_batches():
    losses = EpochLosses()
    values = [0.1, 0.7, 2.5, 1e-3]
    for value in values:
        losses.add(torch.tensor(value, dtype=torch.float64))
    assert losses.mean() == pytest.approx(sum(values) / 4, rel=1e-12)
    losses.restart()
    assert math.isnan(losses.mean())


def test_no_gradient_is_held():
    losses = EpochLosses()
    loss = torch.tensor(1.0, requires_grad=True) * 2
    losses.add(loss)
    assert losses.state_dict() == {"losses": [2.0], "steps_before": 0}


@pytest.mark.parametrize(("accumulate", "step"), [(1, 13), (2, 12)])
def test_a_loss_that_is_no_number_names_its_step_and_pairs(accumulate, step):
    losses = EpochLosses(lambda index: f"tile{index}", accumulate)
    losses.restart(10)
    losses.add(torch.tensor(1.0), torch.tensor([0]))
    losses.add(torch.tensor(1.0), torch.tensor([1]))
    with pytest.raises(WorkError, match=rf"step {step}: the loss is nan for tile4, tile2\."):
        losses.add(NAN, torch.tensor([4, 2, 4]))


def test_many_pairs_are_not_all_named():
    losses = EpochLosses(str)
    with pytest.raises(WorkError, match="for 0, 1, 2, 3 and 5 more"):
        losses.add(NAN, torch.arange(9))


def test_an_epoch_goes_on_from_its_state():
    whole, first, second = EpochLosses(), EpochLosses(), EpochLosses()
    for losses in (whole, first):
        losses.restart(3)
        losses.add(torch.tensor(0.3))
    second.load_state_dict(first.state_dict())
    for losses in (whole, second):
        losses.add(torch.tensor(0.9))
    assert second.mean() == whole.mean()
    with pytest.raises(WorkError, match="step 6"):
        second.add(NAN)
