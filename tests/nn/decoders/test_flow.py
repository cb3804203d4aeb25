import math

import pytest
import torch
from torch.nn import functional

from geoseg.nn.decoders.flow import FlowAlignment, GatedDualFlow, warp


def ramp(height, width):
    """Two channels: the column and the row of each cell."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows])[None].double()


def constant_flow(right, down, height, width):
    return torch.tensor([right, down]).double()[None, :, None, None].expand(1, 2, height, width)


@pytest.mark.parametrize("size", [(8, 12), (7, 5), (16, 16), (4, 3)])
def test_no_flow_is_bilinear_upsampling(size):
    features = torch.randn(2, 3, 4, 3, dtype=torch.float64)
    flow = torch.zeros(2, 2, *size, dtype=torch.float64)
    expected = functional.interpolate(features, size=size, mode="bilinear", align_corners=True)
    torch.testing.assert_close(warp(features, flow), expected)


@pytest.mark.parametrize(("right", "down"), [(1, 0), (0, 1), (-1, 2)])
def test_one_unit_of_flow_is_half_a_cell_of_the_fine_grid(right, down):
    height, width = 40, 60
    moved = warp(ramp(height, width), constant_flow(right, down, height, width))
    shift = (moved - ramp(height, width))[0, :, 3:-3, 3:-3]
    # Half a cell but for the share by which the outermost centres are nearer than the edges.
    torch.testing.assert_close(shift[0], torch.full_like(shift[0], right / 2 * (1 - 1 / width)))
    torch.testing.assert_close(shift[1], torch.full_like(shift[1], down / 2 * (1 - 1 / height)))


def test_one_unit_is_of_the_fine_grid_on_coarse_features_too():
    """The fine grid has twice the cells: a unit is a quarter of a coarse cell."""
    coarse, flow = ramp(9, 13), constant_flow(1, 0, 18, 26)
    shift = (warp(coarse, flow) - warp(coarse, 0 * flow))[0, 0, :, 2:-2]
    torch.testing.assert_close(shift, torch.full_like(shift, (13 - 1) / 2 / 26))


def test_any_flow_samples_as_written_out():
    features = torch.randn(1, 1, 4, 5, dtype=torch.float64)
    flow = 2 * torch.randn(1, 2, 6, 7, dtype=torch.float64)
    expected = torch.zeros(1, 1, 6, 7, dtype=torch.float64)
    for row in range(6):
        for column in range(7):
            x = (-1 + 2 * column / 6 + float(flow[0, 0, row, column]) / 7 + 1) / 2 * 4
            y = (-1 + 2 * row / 5 + float(flow[0, 1, row, column]) / 6 + 1) / 2 * 3
            for i in (math.floor(y), math.floor(y) + 1):
                for j in (math.floor(x), math.floor(x) + 1):
                    if 0 <= i < 4 and 0 <= j < 5:
                        share = (1 - abs(y - i)) * (1 - abs(x - j))
                        expected[0, 0, row, column] += share * features[0, 0, i, j]
    torch.testing.assert_close(warp(features, flow), expected)


def test_half_precision_keeps_its_type_and_exact_places():
    columns = ramp(1, 257)[:, :1].to(torch.bfloat16)  # 8 bits tell each of them up to 256
    assert torch.equal(warp(columns, torch.zeros(1, 2, 1, 257, dtype=torch.bfloat16)), columns)


def test_alignment_brings_the_coarse_level_where_no_flow_is_seen():
    module = FlowAlignment(6)
    torch.nn.init.zeros_(module.flow.weight)
    low, high = torch.randn(2, 6, 8, 10), torch.randn(2, 6, 4, 5)
    expected = functional.interpolate(high, size=(8, 10), mode="bilinear", align_corners=True)
    torch.testing.assert_close(module(low, high), expected)


@pytest.mark.parametrize(("bias", "share"), [(-40.0, 0), (0.0, 0.5), (40.0, 1)])
def test_the_gate_blends_the_levels(bias, share):
    module = GatedDualFlow(6)
    torch.nn.init.zeros_(module.flows.weight)
    torch.nn.init.zeros_(module.gate[0].weight)
    torch.nn.init.constant_(module.gate[0].bias, bias)
    low, high = torch.randn(2, 6, 8, 10), torch.randn(2, 6, 4, 5)
    raised = functional.interpolate(high, size=(8, 10), mode="bilinear", align_corners=True)
    torch.testing.assert_close(module(low, high), share * raised + (1 - share) * low)


def test_each_level_moves_by_a_flow_of_its_own():
    module = GatedDualFlow(2)
    torch.nn.init.zeros_(module.flows.weight)
    with torch.no_grad():  # the flow of the fine level sees the fine level only
        module.flows.weight[3, -1] = 1
        module.compare.reduce_low.weight.fill_(1)
        module.gate[0].weight.zero_()
        module.gate[0].bias.fill_(40)
    low, high = torch.randn(1, 2, 8, 8), torch.randn(1, 2, 4, 4)
    raised = functional.interpolate(high, size=(8, 8), mode="bilinear", align_corners=True)
    torch.testing.assert_close(module(low, high), raised)
    module.gate[0].bias.detach().fill_(-40)
    assert not torch.allclose(module(low, high), low)
