"""Moving features by a flow between two levels, as SFNet and SFNet-Lite do."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.layers import resize


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Sample features bilinearly at the cells of a grid, each moved by its flow.

    Args:
        features: (n, channels, any, any).
        flow: (n, 2, h, w): to the right and down. One unit is half a cell of the grid, since
            the grid is 2 long in the coordinates that the flow, divided by w and h, is added to.

    Returns:
        (n, channels, h, w); where the flow is zero, as `resize` with `align_corners` gives it.
    """
    height, width = flow.shape[-2:]
    # Half precision has too few digits for coordinates.
    precise = torch.promote_types(flow.dtype, torch.float32)
    x = torch.linspace(-1, 1, width, device=flow.device, dtype=precise)
    y = torch.linspace(-1, 1, height, device=flow.device, dtype=precise)
    moved = flow.to(precise)
    grid = torch.stack(
        [x[None, None, :] + moved[:, 0] / width, y[None, :, None] + moved[:, 1] / height], dim=3
    )
    sampled = functional.grid_sample(features.to(precise), grid, align_corners=True)
    return sampled.to(features.dtype)


class FlowEstimate(nn.Module):
    """Compares two levels on the grid of the finer one.

    Args:
        width: Channels of both levels; half of them are compared.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce_low = nn.Conv2d(width, width // 2, 1, bias=False)
        self.reduce_high = nn.Conv2d(width, width // 2, 1, bias=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Compute (n, width, h, w) of the finer (n, width, h, w) and the coarser level."""
        reduced = self.reduce_low(low)
        raised = resize(self.reduce_high(high), reduced, align_corners=True)
        return torch.cat([raised, reduced], dim=1)


class FlowAlignment(nn.Module):
    """The flow alignment module of SFNet (arXiv 2002.10120, section 3.2).

    Args:
        width: Channels of both levels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.compare = FlowEstimate(width)
        self.flow = _flow(width, 2)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Bring the coarser level onto the finer one.

        Args:
            low: (n, width, h, w), the finer level.
            high: (n, width, any, any), the coarser one.

        Returns:
            (n, width, h, w) of the coarser level.
        """
        return warp(high, self.flow(self.compare(low, high)))


class GatedDualFlow(nn.Module):
    """The gated dual flow alignment module of SFNet-Lite (arXiv 2207.04415, section 3.4).

    Both levels are moved, each by a flow of its own, and blended by a gate that sees the mean
    and the maximum over the channels of both.

    Args:
        width: Channels of both levels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.compare = FlowEstimate(width)
        self.flows = _flow(width, 4)
        self.gate = nn.Sequential(nn.Conv2d(4, 1, kernel_size=3, padding=1), nn.Sigmoid())

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Blend the levels.

        Args:
            low: (n, width, h, w), the finer level.
            high: (n, width, any, any), the coarser one.

        Returns:
            (n, width, h, w).
        """
        flows = self.flows(self.compare(low, high))
        raised = resize(high, low, align_corners=True)
        share = self.gate(torch.cat([*_summary(raised), *_summary(low)], dim=1))
        blend: Tensor = warp(high, flows[:, :2]) * share + warp(low, flows[:, 2:]) * (1 - share)
        return blend


def _flow(width: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(width, channels, kernel_size=3, padding=1, bias=False)


def _summary(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and maximum over the channels, twice (n, 1, h, w)."""
    return features.mean(dim=1, keepdim=True), features.amax(dim=1, keepdim=True)
