"""GCN: large kernels, made of two thin ones, classify each level of an encoder."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn import functional

from geoseg.nn.architecture import Architecture, ArchitectureOptions, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.layers import LearnedUpsampling, resize

Upsampling = Literal["deconvolution", "bilinear"]


def _odd(side: int) -> int:
    if side % 2 == 0:
        raise ValueError("an even kernel has no centre")
    return side


class GcnOptions(ArchitectureOptions):
    """Options of the global convolutional network."""

    kernel: Annotated[int, Field(ge=3, le=63), AfterValidator(_odd)] = 15
    """Side of the global convolution, in cells of each level; the paper's best."""

    upsampling: Upsampling = "deconvolution"
    """How the coarser logits are doubled: by learned kernels as in the paper, or by none."""

    final_convolution: bool = False
    """Whether a 1x1 convolution follows, as in some implementations; the paper has none."""


class GlobalConvolution(nn.Module):
    """A k x k convolution as the sum of k x 1 then 1 x k and 1 x k then k x 1.

    Neither normalisation nor ReLU stands between, so that it stays linear (section 3.1).

    Args:
        in_channels: Of the features.
        out_channels: Of the result.
        kernel: Odd side k.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.left = nn.Sequential(
            _line(in_channels, out_channels, (kernel, 1)),
            _line(out_channels, out_channels, (1, kernel)),
        )
        self.right = nn.Sequential(
            _line(in_channels, out_channels, (1, kernel)),
            _line(out_channels, out_channels, (kernel, 1)),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Compute (n, out_channels, h, w) from (n, in_channels, h, w)."""
        total: Tensor = self.left(features) + self.right(features)
        return total


class BoundaryRefinement(nn.Module):
    """Logits plus what two 3x3 convolutions with a ReLU between make of them.

    Args:
        classes: Channels of the logits.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(classes, classes, kernel_size=3, padding=1)
        self.second = nn.Conv2d(classes, classes, kernel_size=3, padding=1)

    def forward(self, logits: Tensor) -> Tensor:
        """Refine (n, classes, h, w)."""
        refined: Tensor = logits + self.second(functional.relu(self.first(logits)))
        return refined


class GCN(nn.Module):
    """Global convolutional network (arXiv 1703.02719), logits at stride 1.

    Args:
        request: Encoder, bands, classes and `GcnOptions`.
    """

    def __init__(self, request: NetworkRequest) -> None:
        super().__init__()
        options: GcnOptions = request.options
        classes = request.classes
        self.encoder = build_encoder(request)
        channels = self.encoder.out_channels[-4:]
        self.globals = nn.ModuleList(
            nn.Sequential(
                GlobalConvolution(width, classes, options.kernel), BoundaryRefinement(classes)
            )
            for width in channels
        )
        self.doublings = nn.ModuleList(_doubling(classes, options.upsampling) for _ in range(5))
        self.refinements = nn.ModuleList(BoundaryRefinement(classes) for _ in range(5))
        self.final = nn.Conv2d(classes, classes, 1) if options.final_convolution else nn.Identity()

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits (n, classes, h, w) of (n, bands, h, w)."""
        *_, c2, c3, c4, c5 = self.encoder(image)
        c2, c3, c4, logits = (
            module(level) for module, level in zip(self.globals, (c2, c3, c4, c5), strict=True)
        )
        for i, finer in enumerate((c4, c3, c2)):
            # An encoder whose levels are not halves of each other needs the resizing.
            doubled = resize(self.doublings[i](logits), finer)
            logits = self.refinements[i](doubled + finer)
        for i in (3, 4):
            logits = self.refinements[i](self.doublings[i](logits))
        result: Tensor = self.final(logits)
        return result


def _doubling(classes: int, upsampling: Upsampling) -> nn.Module:
    if upsampling == "bilinear":
        return nn.Upsample(scale_factor=2, mode="bilinear")
    return LearnedUpsampling(classes)


def _line(in_channels: int, out_channels: int, kernel: tuple[int, int]) -> nn.Conv2d:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return nn.Conv2d(in_channels, out_channels, kernel, padding=padding)


GCN_NETWORKS: dict[str, Architecture] = {
    "gcn": Architecture(
        summary="Global convolutional network, arXiv 1703.02719",
        build=GCN,
        options=GcnOptions,
        default_encoder="resnet152",
    )
}
