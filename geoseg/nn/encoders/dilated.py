"""DenseNets and VGGs of segmentation-models-pytorch with the output strides 8 and 16.

The library refuses them, because they shrink by pooling and not by convolutions with a step. Here
the last poolings keep the resolution, and what follows them sees as far as before. No parameter
changes its name or shape, so the library's ImageNet weights load as ever.
"""

from __future__ import annotations

from segmentation_models_pytorch.encoders.densenet import DenseNetEncoder
from segmentation_models_pytorch.encoders.vgg import VGGEncoder
from torch import nn


class DilatedDenseNetEncoder(DenseNetEncoder):  # type: ignore[misc] # the library is untyped
    """A DenseNet whose last transitions do not pool.

    As in DenseASPP (doi 10.1109/CVPR.2018.00388): at stride 8 the transitions 2 and 3 keep the
    resolution, block 3 has dilation 2 and block 4 dilation 4.
    """

    def make_dilated(self, output_stride: int) -> None:
        """Keep the last levels on cells of `output_stride` pixels, 8 or 16."""
        _check(output_stride)
        for block in (3, 4) if output_stride == 8 else (4,):
            getattr(self.features, f"transition{block - 1}").pool = nn.Identity()
            # Block 3 begins on cells of 16 pixels by itself, block 4 on cells of 32.
            dilate(getattr(self.features, f"denseblock{block}"), 2 ** (block + 1) // output_stride)


class DilatedVGGEncoder(VGGEncoder):  # type: ignore[misc] # the library is untyped
    """A VGG whose last poolings have no step.

    As in DeepLab-LargeFOV (arXiv 1412.7062): such a pooling is 3 x 3, and the convolutions
    behind the fourth have dilation 2 where it has no step. Level 0 is no image but the first
    convolutions, which have its size.
    """

    def make_dilated(self, output_stride: int) -> None:
        """Keep the last levels on cells of `output_stride` pixels, 8 or 16."""
        _check(output_stride)
        pools = [i for i, module in enumerate(self.features) if isinstance(module, nn.MaxPool2d)]
        for index in pools[3:] if output_stride == 8 else pools[4:]:
            self.features[index] = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        if output_stride == 8:
            dilate(self.features[pools[3] :], 2)


def dilate(module: nn.Module, rate: int) -> None:
    """Spread the taps of every kernel by `rate` cells; steps and sizes stay."""
    for child in module.modules():
        if isinstance(child, nn.Conv2d) and child.kernel_size != (1, 1):
            child.dilation = (rate, rate)
            height, width = child.kernel_size
            child.padding = (rate * (height // 2), rate * (width // 2))


def _check(output_stride: int) -> None:
    if output_stride not in {8, 16}:
        raise ValueError(f"it has no output stride {output_stride}, only 8, 16 and 32")
