import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torch.nn import functional

from geoseg.errors import ConfigError
from geoseg.nn.decoders.gcn import BoundaryRefinement, GlobalConvolution
from geoseg.nn.models import ModelSpec, build_model, check_spec


def test_figures_of_a_reference_of_kernel_7():
    """ZijunDeng's with its 21 classes: ResNet-152 without its classifier has 58.144 M; the rest

    is 2 * 7 * 21 * 3840 + 8 * (7 * 21**2 + 2 * 21) + 18 * (9 * 21**2 + 21) = 1.226 M.
    """
    network = bare_network("gcn", "resnet152", 21, kernel=7, upsampling="bilinear")
    assert parameters(network) == pytest.approx(59.370, rel=1e-4)
    assert gmacs(network, 512) == pytest.approx(65.5, rel=0.03)


@pytest.mark.parametrize(
    ("encoder", "millions", "milliards"),
    [("resnet50", 25.205, 27.0), ("resnet101", 44.197, 46.4), ("resnet152", 59.841, 65.8)],
)
def test_figures_of_a_reference_of_kernel_11(encoder, millions, milliards):
    options = {"kernel": 11, "upsampling": "bilinear", "final_convolution": True}
    network = bare_network("gcn", encoder, 19, **options)
    assert parameters(network) == pytest.approx(millions, rel=1e-4)
    assert gmacs(network, 512) == pytest.approx(milliards, rel=0.03)


def test_the_global_convolution_is_one_large_kernel_of_rank_two():
    module = GlobalConvolution(1, 1, 5)
    for layer in (*module.left, *module.right):
        torch.nn.init.zeros_(layer.bias)
    (down, across), (across2, down2) = (
        [layer.weight.flatten() for layer in side] for side in (module.left, module.right)
    )
    kernel = torch.outer(down, across) + torch.outer(down2, across2)
    features = torch.randn(2, 1, 9, 8)
    expected = functional.conv2d(features, kernel[None, None], padding=2)
    torch.testing.assert_close(module(features), expected)


def test_boundary_refinement_is_an_identity_beside_two_convolutions():
    module = BoundaryRefinement(3)
    torch.nn.init.zeros_(module.second.weight)
    logits = torch.randn(1, 3, 4, 4)
    expected = logits + module.second.bias[:, None, None]
    torch.testing.assert_close(module(logits), expected)


def test_learned_enlargement_begins_as_the_bilinear_one():
    spec = ModelSpec(arch="gcn", encoder="resnet18", in_channels=3, classes=4)
    learned = build_model(spec).eval()
    plain = build_model(spec.model_copy(update={"options": {"upsampling": "bilinear"}})).eval()
    missing, unexpected = plain.load_state_dict(learned.state_dict(), strict=False)
    assert not missing and unexpected
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(learned(image), plain(image), rtol=1e-3, atol=1e-5)
        assert learned.network(image).shape == (1, 4, 64, 96)


@pytest.mark.parametrize("kernel", [1, 4, 64])
def test_kernels_without_a_centre_or_of_no_size_are_refused(kernel):
    options = {"kernel": kernel}
    spec = ModelSpec(arch="gcn", encoder="resnet18", in_channels=3, classes=4, options=options)
    with pytest.raises(ConfigError, match=r"model\.options\.kernel"):
        check_spec(spec)
