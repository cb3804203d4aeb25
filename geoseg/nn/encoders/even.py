"""Encoders of timm whose convolutions have no padding, with levels of even sizes nonetheless."""

from __future__ import annotations

from segmentation_models_pytorch.encoders.timm_universal import TimmUniversalEncoder
from torch import Tensor
from torch.nn import functional

from geoseg.nn.encoders.names import TIMM_PREFIX, size_options

_SMALLEST = 96
"""Pixels a side from which on these encoders have a last level at all."""

_UNEVEN = (
    "inception_v3",
    "inception_v4",
    "inception_resnet_v2",
    "legacy_xception",
)


def is_uneven(name: str) -> bool:
    """Whether the levels of an encoder lack cells at their borders.

    Args:
        name: As `resolve_encoder` returns it.
    """
    plain, _, _ = name.removeprefix(TIMM_PREFIX).partition(".")
    return name.startswith(TIMM_PREFIX) and plain in _UNEVEN


class EvenTimmEncoder(TimmUniversalEncoder):  # type: ignore[misc] # the library is untyped
    """An encoder of timm that loses cells at the borders, brought to the sizes decoders expect.

    Convolutions without padding leave out the outermost cells, as many on either side. Each
    level gets them back as copies of its border, so that cells stay where their pixels are;
    resizing would shift them.

    Args:
        name: As `resolve_encoder` returns it.
        in_channels: Bands of the image.
        pretrained: Whether it begins with timm's weights.
        depth: Levels beside the image, 3 to 5.
        output_stride: Pixels per cell of the last level.
    """

    def __init__(
        self,
        name: str,
        *,
        in_channels: int,
        pretrained: bool = False,
        depth: int = 5,
        output_stride: int = 32,
    ) -> None:
        super().__init__(
            name.removeprefix(TIMM_PREFIX),
            pretrained=pretrained,
            in_channels=in_channels,
            depth=depth,
            output_stride=output_stride,
            **size_options(name),
        )

    def set_in_channels(self, in_channels: int, pretrained: bool = True) -> None:  # noqa: FBT001, FBT002 - the library's signature
        """Do nothing: timm has built it for its bands."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Compute the levels of (n, bands, height, width), the image first."""
        height, width = image.shape[-2:]
        right, below = max(_SMALLEST - width, 0), max(_SMALLEST - height, 0)
        large = functional.pad(image, (0, right, 0, below), mode="replicate")
        features: list[Tensor] = super().forward(large)
        levels = [image]
        for level, feature in enumerate(features[1:], start=1):
            whole = (large.shape[-2] >> level, large.shape[-1] >> level)
            levels.append(_bordered(feature, whole)[..., : height >> level, : width >> level])
        return levels


def _bordered(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """Put copies of the border around (n, channels, h, w) until it is (n, channels, *size)."""
    above, before = ((size[axis] - feature.shape[axis + 2]) // 2 for axis in (0, 1))
    below = size[0] - feature.shape[2] - above
    after = size[1] - feature.shape[3] - before
    return functional.pad(feature, (before, after, above, below), mode="replicate")
