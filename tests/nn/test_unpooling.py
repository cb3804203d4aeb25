import pytest
import torch
from network_exports import run_exported, run_onnx
from torch import nn
from torch.nn import functional

from geoseg.nn.unpooling import max_unpool2d

SIZES = [(2, 2), (8, 6), (3, 3), (7, 10), (10, 7), (9, 5)]
POOLS = {"apart": (2, 2, 0), "overlapping": (3, 2, 1)}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_it_gives_what_torch_gives(pool, size, dtype):
    image = torch.randn(2, 3, *size).to(dtype)
    _, indices = functional.max_pool2d(image, *POOLS[pool], return_indices=True)
    values = torch.randn(indices.shape).to(dtype)
    ours = max_unpool2d(values, indices, size, overlapping=pool == "overlapping")
    assert ours.dtype == dtype
    # On one thread, as all tests here: torch's own lets threads race where windows overlap.
    assert torch.equal(ours, torch.ops.aten.max_unpool2d(values, indices, list(size)))


def test_where_windows_share_a_pixel_the_last_one_wins():
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 1, 1] = 1  # in the windows around (0, 0), (0, 2), (2, 0) and (2, 2)
    _, indices = functional.max_pool2d(image, 3, 2, 1, return_indices=True)
    assert indices.unique().tolist() == [5]
    values = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    expected = torch.zeros(1, 1, 4, 4)
    expected[0, 0, 1, 1] = 4
    assert torch.equal(max_unpool2d(values, indices, (4, 4), overlapping=True), expected)


@pytest.mark.parametrize("size", SIZES)
def test_memory_order_does_not_matter(size):
    image = torch.randn(2, 5, *size).to(memory_format=torch.channels_last)
    values, indices = functional.max_pool2d(image, 2, return_indices=True)
    plain = max_unpool2d(values.contiguous(), indices.contiguous(), size)
    assert torch.equal(max_unpool2d(values, indices, size), plain)


@pytest.mark.parametrize("pool", POOLS)
def test_gradients_go_to_the_windows_that_won(pool):
    size = (7, 8)
    _, indices = functional.max_pool2d(torch.randn(2, 3, *size), *POOLS[pool], return_indices=True)
    values = torch.randn(indices.shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, *size, dtype=torch.float64)
    overlapping = pool == "overlapping"
    (max_unpool2d(values, indices, size, overlapping=overlapping) * weight).sum().backward()
    expected = torch.zeros_like(values)
    for n, c in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        chosen = indices[n, c].flatten().tolist()
        winners = {pixel: window for window, pixel in enumerate(chosen)}  # the last one stays
        for pixel, window in winners.items():
            expected[n, c].view(-1)[window] = weight[n, c].flatten()[pixel]
    assert torch.equal(values.grad, expected)


class PoolAndBack(nn.Module):
    def __init__(self, kernel, stride, padding):
        super().__init__()
        self.pool = (kernel, stride, padding)

    def forward(self, image):
        values, indices = functional.max_pool2d(image, *self.pool, return_indices=True)
        size = (image.shape[2], image.shape[3])
        return max_unpool2d(2 * values, indices, size, overlapping=self.pool[0] == 3)


@pytest.mark.parametrize(("pool", "size"), [("apart", (9, 6)), ("overlapping", (7, 8))])
def test_run_times_outside_of_torch_agree(pool, size):
    network = PoolAndBack(*POOLS[pool]).eval()
    image = torch.randn(2, 3, *size)
    assert torch.equal(run_exported(network, image), network(image))
    assert torch.equal(run_onnx(network, image), network(image))
