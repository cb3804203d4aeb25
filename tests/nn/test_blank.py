import torch
from torch import nn

from geoseg.nn.blank import Blank

LAYERS = (
    lambda: nn.Conv2d(3, 4, 3),
    lambda: nn.Linear(3, 4),
    lambda: nn.Embedding(3, 4),
    lambda: nn.LSTM(3, 4),
    lambda: nn.MultiheadAttention(4, 2),
    lambda: nn.init.kaiming_normal_(nn.Parameter(torch.ones(3, 4))),
    lambda: nn.init.trunc_normal_(nn.Parameter(torch.ones(3, 4)), mean=0.0),
)


def numbers(made):
    return list(made.parameters()) if isinstance(made, nn.Module) else [made]


def test_nothing_is_drawn():
    before = torch.random.get_rng_state()
    with Blank():
        made = [layer() for layer in LAYERS]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(tensor.count_nonzero() == 0 for each in made for tensor in numbers(each))
    assert all(tensor.requires_grad for each in made for tensor in numbers(each))


def test_what_is_no_draw_stays():
    with Blank():
        norm = nn.BatchNorm2d(3)
        filled = nn.init.constant_(torch.empty(2), 3.0)
    assert norm.weight.tolist() == [1, 1, 1]
    assert filled.tolist() == [3, 3]
    assert nn.Linear(3, 4).weight.count_nonzero() > 0
