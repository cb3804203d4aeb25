"""Every architecture of geoseg as an entry of torch.hub.

::

    torch.hub.load("OWNER/geoseg", "pspnet", encoder="resnet50", in_channels=4, classes=6)

`torch.hub.list` tells the entries, `torch.hub.help` what one is. geoseg itself need not be
installed: torch.hub finds it beside this file. The names below are what torch.hub asks for.
"""

from collections.abc import Callable as _Callable
from typing import Any as _Any

from geoseg.models import default_encoder as _default_encoder
from geoseg.models import get_model as _get_model
from geoseg.models import list_models as _list_models
from geoseg.nn.architectures import ARCHITECTURES as _ARCHITECTURES
from geoseg.nn.models import SegmentationModel as _SegmentationModel

dependencies = ["numpy", "pydantic", "segmentation_models_pytorch", "timm", "torch", "torchvision"]
"""What must be installed, as torch.hub checks before it builds anything."""

_HELP = """{summary}.

Args:
    classes: Channels of the logits.
    encoder: Any encoder of segmentation-models-pytorch or timm; by default {encoder}.
    in_channels: Bands of the input, 3 by default.
    weights: "none" by default; "imagenet" begins with the encoder's pretrained weights,
        "torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO" and its like with those of torchgeo.
    bands: Names of the bands, by which those weights find theirs.
    options: Of the architecture: {options}.
"""


def _entry(name: str) -> _Callable[..., _SegmentationModel]:
    def build(**arguments: _Any) -> _SegmentationModel:  # noqa: ANN401 - those of `get_model`
        return _get_model(name, **arguments)

    architecture = _ARCHITECTURES[name]
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _HELP.format(
        summary=architecture.summary,
        encoder=_default_encoder(name),
        options=", ".join(architecture.options.model_fields) or "none",
    )
    return build


globals().update({name: _entry(name) for name in _list_models()})
