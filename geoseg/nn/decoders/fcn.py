"""Fully convolutional networks: scores of one to three levels, added from coarse to fine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from geoseg.nn.architecture import Architecture, ArchitectureOptions, Dropout, NetworkRequest
from geoseg.nn.encoders.build import build_encoder
from geoseg.nn.encoders.names import TIMM_PREFIX
from geoseg.nn.layers import LearnedUpsampling, resize

_VGG_FC_CHANNELS = 4096
_AT_ONCE_SCALES = (1e-2, 1e-4)


class Fcn32Options(ArchitectureOptions):
    """Options of FCN-32s."""

    fc_channels: Annotated[int, Field(ge=0, le=8192)] | None = None
    """Channels of the two convolutions that were VGG's fully connected layers, fc6 and fc7.

    0 leaves them out. None means the paper's 4096 with a VGG and 0 with any other encoder,
    where they would weigh more than all the rest.
    """

    fc_kernel: Literal[1, 3, 5, 7] = 7
    """Side of the kernel of fc6."""

    dropout: Dropout = 0.5
    """Share of the values after fc6 and after fc7 that training drops."""


class FcnOptions(Fcn32Options):
    """Options of FCN-16s and FCN-8s."""

    at_once: bool = False
    """Whether finer levels are scaled by 0.01 and 0.0001 before they are scored.

    So the authors train all levels together, instead of the 32s, the 16s and the 8s in turn.
    """


class FCN(nn.Module):
    """Fully convolutional network (arXiv 1411.4038), its levels aligned by their centres.

    The authors pad the image by 100 pixels, convolve fc6 without padding and cut 5 and 9
    cells from the levels and 31 pixels from the result, so that all lie over each other. Here
    each convolution keeps the size, which needs no cutting and puts the scores at the same
    places.

    Args:
        encoder: As `build_encoder` gives it, on stride 32.
        score: Gives the scores of the last level.
        classes: Channels of the scores.
        levels: Which finer levels are scored after the last, from coarse to fine.
        pooled: Whether levels are pooled by 2 before they are scored.
        scales: What each finer level is multiplied by before it is scored.
    """

    def __init__(
        self,
        encoder: Any,  # noqa: ANN401 - the libraries' encoders share no type
        score: nn.Module,
        classes: int,
        *,
        levels: tuple[int, ...] = (),
        pooled: bool = False,
        scales: tuple[float, ...] = (1.0, 1.0),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.levels = levels
        self.scales = scales
        self.pool = nn.MaxPool2d(2) if pooled else nn.Identity()
        channels: list[int] = encoder.out_channels
        self.score = score
        self.finer_scores = nn.ModuleList(_score(channels[level], classes) for level in levels)
        self.upsamplings = nn.ModuleList(LearnedUpsampling(classes) for _ in levels)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits.

        Args:
            image: (n, bands, height, width), multiples of 32.

        Returns:
            (n, classes, height / s, width / s), where s is 32, 16 or 8; the last upsampling of
            the paper is fixed to bilinear interpolation, which is what follows outside.
        """
        features = self.encoder(image)
        scores: Tensor = self.score(features[-1])  # 1/32
        finer = zip(self.levels, self.scales, self.finer_scores, self.upsamplings, strict=False)
        for level, scale, score, upsampling in finer:
            added = score(self.pool(features[level]) * scale)  # 1/16, then 1/8
            scores = added + resize(upsampling(scores), added)
        return scores


def _score(in_channels: int, classes: int) -> nn.Conv2d:
    """A 1x1 convolution that starts at zero: the paper found random starts no better."""
    score = nn.Conv2d(in_channels, classes, kernel_size=1)
    for parameter in score.parameters():
        nn.init.zeros_(parameter)
    return score


def _last_score(
    in_channels: int, fc_channels: int, classes: int, options: Fcn32Options
) -> nn.Module:
    """The scores of the last level, after fc6 and fc7 of VGG as convolutions if there are any."""
    if not fc_channels:
        return _score(in_channels, classes)
    return nn.Sequential(
        nn.Conv2d(in_channels, fc_channels, options.fc_kernel, padding=options.fc_kernel // 2),
        nn.ReLU(inplace=True),
        nn.Dropout(options.dropout),
        nn.Conv2d(fc_channels, fc_channels, kernel_size=1),
        nn.ReLU(inplace=True),
        nn.Dropout(options.dropout),
        _score(fc_channels, classes),
    )


def _builder(finer: int) -> Callable[[NetworkRequest], nn.Module]:
    """The builder of a network that scores some finer levels after the last."""

    def build(request: NetworkRequest) -> nn.Module:
        options = request.options
        encoder = build_encoder(request)
        # The levels of VGG end before their pooling; pool3 and pool4 are what the paper scores.
        is_vgg = request.encoder.removeprefix(TIMM_PREFIX).startswith("vgg")
        fc_channels = options.fc_channels
        if fc_channels is None:
            fc_channels = _VGG_FC_CHANNELS if is_vgg else 0
        return FCN(
            encoder,
            _last_score(encoder.out_channels[-1], fc_channels, request.classes, options),
            request.classes,
            levels=((3, 2) if is_vgg else (4, 3))[:finer],
            pooled=is_vgg,
            scales=_AT_ONCE_SCALES if getattr(options, "at_once", False) else (1.0, 1.0),
        )

    return build


FCNS: dict[str, Architecture] = {
    "fcn32s": Architecture(
        summary="FCN-32s: scores of the last level alone, arXiv 1411.4038",
        build=_builder(0),
        options=Fcn32Options,
        default_encoder="vgg16",
    ),
    "fcn16s": Architecture(
        summary="FCN-16s: scores of the levels at 1/32 and 1/16, arXiv 1411.4038",
        build=_builder(1),
        options=FcnOptions,
        default_encoder="vgg16",
    ),
    "fcn8s": Architecture(
        summary="FCN-8s: scores of the levels at 1/32, 1/16 and 1/8, arXiv 1411.4038",
        build=_builder(2),
        options=FcnOptions,
        default_encoder="vgg16",
    ),
}
"""The fully convolutional networks by name."""
