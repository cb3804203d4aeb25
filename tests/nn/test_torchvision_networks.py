import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torch.nn import functional
from torchvision.models import mobilenet_v3_large, segmentation

from geoseg.nn.architecture import ArchitectureOptions, NetworkRequest
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.torchvision_networks import TORCHVISION

# torchvision's tables, at 520 x 520 with 21 classes. They hold the auxiliary head, which
# torchvision also computes in prediction and geoseg does not: from 1024 channels to 256 by 3x3,
# or from 40 to 10, then to the classes, on 65 x 65 cells.
RESNET_HEAD = (1024 * 256 * 9 + 256 * 21) * 65 * 65 * 1e-9
MOBILENET_HEAD = (40 * 10 * 9 + 10 * 21) * 65 * 65 * 1e-9


@pytest.mark.parametrize(
    ("arch", "millions", "macs", "head"),
    [
        ("fcn_resnet50", 35.322, 152.717, RESNET_HEAD),
        ("fcn_resnet101", 54.314, 232.738, RESNET_HEAD),
        ("deeplabv3_resnet50", 42.004, 178.722, RESNET_HEAD),
        ("deeplabv3_resnet101", 60.996, 258.743, RESNET_HEAD),
        ("deeplabv3_mobilenet_v3_large", 11.029, 10.452, MOBILENET_HEAD),
        ("lraspp_mobilenet_v3_large", 3.222, 2.086, 0),
    ],
)
def test_figures_are_those_of_torchvision(arch, millions, macs, head):
    network = bare_network(arch, classes=21)
    assert parameters(network, auxiliary=True) == pytest.approx(millions, abs=6e-4)
    assert gmacs(network, 520) == pytest.approx(macs - head, rel=1e-3)


@pytest.mark.parametrize(
    ("arch", "millions"), [("fcn_resnet50", 32.956), ("fcn_resnet101", 51.948)]
)
def test_parameters_without_the_auxiliary_head(arch, millions):
    """Measured of torchvision 0.29 with its auxiliary head taken off."""
    assert parameters(bare_network(arch, classes=21)) == pytest.approx(millions, abs=2e-3)


def reference(arch, classes):
    heads = {} if arch.startswith("lraspp") else {"aux_loss": True}
    make = getattr(segmentation, arch)
    return make(weights=None, weights_backbone=None, num_classes=classes, **heads)


@pytest.mark.parametrize("arch", sorted(TORCHVISION))
def test_keys_are_those_of_torchvision(arch):
    with torch.device("meta"):
        expected = reference(arch, 2).state_dict()
        found = build_model(ModelSpec(arch=arch, in_channels=3, classes=2)).network.state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}


@pytest.mark.parametrize(
    "arch", ["fcn_resnet50", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"]
)
def test_outputs_are_those_of_torchvision(arch):
    other = reference(arch, 3).eval()
    network = build_model(ModelSpec(arch=arch, in_channels=3, classes=3)).eval()
    network.network.load_state_dict(other.state_dict())
    image = torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        expected = other(image)
        torch.testing.assert_close(network(image), expected["out"])
        if "aux" in expected:
            for model in (network, network.network):
                model.training = True  # of the whole only: its norms and dropouts stay
            torch.testing.assert_close(network(image)[1], expected["aux"])


@pytest.mark.parametrize("arch", ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
@pytest.mark.parametrize("bands", [1, 3, 4, 13])
def test_any_bands_and_size_and_a_batch_of_one(arch, bands):
    network = build_model(ModelSpec(arch=arch, in_channels=bands, classes=2)).train()
    auxiliary = len(network.auxiliary)
    assert [head.weight for head in network.auxiliary] == [0.5] * auxiliary
    for size in ((1, 1), (33, 70)):
        outputs = network(torch.randn(1, bands, *size))
        outputs = outputs if auxiliary else (outputs,)
        assert [tuple(o.shape) for o in outputs] == [(1, 2, *size)] * (1 + auxiliary)
        assert all(torch.isfinite(o).all() for o in outputs)
    sum(o.square().mean() for o in outputs).backward()
    grads = [p.grad for p in network.parameters()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)


def pretrained(monkeypatch, bands):
    """The first kernels of a network with weights that torchvision would download, and those."""
    weights = mobilenet_v3_large(weights=None).state_dict()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *args, **kwargs: dict(weights)
    )
    request = NetworkRequest(
        encoder="none",
        in_channels=bands,
        classes=2,
        pretrained=True,
        options=ArchitectureOptions(),
    )
    network = TORCHVISION["lraspp_mobilenet_v3_large"].build(request)
    mine = network.backbone.state_dict()
    for key in mine.keys() - {"0.0.weight"}:
        assert torch.equal(mine[key], weights[f"features.{key}"])
    return mine["0.0.weight"], weights["features.0.0.weight"]


def test_pretrained_kernels_are_kept_for_three_bands(monkeypatch):
    found, kernels = pretrained(monkeypatch, 3)
    assert torch.equal(found, kernels)


def test_pretrained_kernels_are_summed_for_one_band(monkeypatch):
    found, kernels = pretrained(monkeypatch, 1)
    torch.testing.assert_close(found, kernels.sum(dim=1, keepdim=True))


def test_pretrained_kernels_repeat_over_more_bands_and_answer_alike(monkeypatch):
    found, kernels = pretrained(monkeypatch, 6)
    torch.testing.assert_close(found, kernels.repeat(1, 2, 1, 1) / 2)
    image = torch.randn(1, 3, 9, 9)
    torch.testing.assert_close(
        functional.conv2d(image.repeat(1, 2, 1, 1), found), functional.conv2d(image, kernels)
    )
    four, kernels = pretrained(monkeypatch, 4)
    torch.testing.assert_close(four, kernels[:, [0, 1, 2, 0]] * 3 / 4)
