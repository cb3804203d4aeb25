import copy

import pytest
import torch
from network_figures import bare_network, parameters
from torch.nn import functional

from geoseg.nn.decoders.icnet import CascadeFeatureFusion
from geoseg.nn.models import ModelSpec, build_model


def small():
    return build_model(ModelSpec(arch="icnet_resnet", encoder="resnet18", in_channels=2, classes=3))


@pytest.mark.parametrize(("encoder", "millions"), [("resnet18", 12.869), ("resnet50", 29.968)])
def test_parameters_with_guidance_are_those_of_the_reference(encoder, millions):
    """Of zh320/realtime-semantic-segmentation-pytorch, heads of the guidance included."""
    network = bare_network("icnet_resnet", encoder)
    assert parameters(network, auxiliary=True) == pytest.approx(millions, rel=1e-3)


def test_the_encoder_sees_a_quarter_whole_and_a_half_in_part():
    network = bare_network("icnet_resnet", "resnet18")
    seen = {"conv1": [], "layer2": [], "layer3": [], "layer4": []}
    for name, sizes in seen.items():
        network.encoder.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, sizes=sizes: sizes.append(tuple(output.shape[2:]))
        )
    fine = []
    network.fine.register_forward_hook(lambda *call: fine.append(tuple(call[2].shape[2:])))
    logits = network(torch.zeros(1, 3, 256, 384, device="meta"))
    assert seen == {
        "conv1": [(32, 48), (64, 96)],  # half of a quarter, and of a half
        "layer2": [(8, 12), (16, 24)],  # 1/32 and 1/16 of the image
        "layer3": [(8, 12)],  # dilated, and of the quarter only
        "layer4": [(8, 12)],
    }
    assert fine == [(32, 48)]  # 1/8
    assert logits.shape == (1, 19, 64, 96)  # 1/4


def test_levels_are_those_of_the_encoder_on_shrunken_images():
    network = small().eval().network
    taken = {}
    network.fusion_16.register_forward_pre_hook(lambda module, inputs: taken.update(at=inputs))
    image = torch.randn(1, 2, 64, 96)
    with torch.no_grad():
        network(image)
        coarse, middle = taken["at"]
        half = functional.avg_pool2d(image, 2)
        quarter = functional.interpolate(image, scale_factor=0.25, mode="bilinear")
        torch.testing.assert_close(middle, network.encoder(half)[3])
        torch.testing.assert_close(coarse, network.pooling(network.encoder(quarter)[5]))


def test_the_layers_of_the_encoder_are_one_also_after_copies():
    network = small()
    names = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    assert len(names) == len(set(names))
    assert not any("_first_levels" in name for name in network.state_dict())
    other = copy.deepcopy(network).double().eval()
    image = torch.randn(1, 2, 64, 64, dtype=torch.double)
    view = other.network._first_levels[0]
    assert view.conv1 is other.network.encoder.conv1
    assert view.conv1 is not network.network.encoder.conv1
    with torch.no_grad():
        before = other(image)
        other.network.encoder.conv1.weight.mul_(2)
        assert not torch.equal(other(image), before)


def test_an_encoder_of_timm_does_as_well():
    spec = ModelSpec(arch="icnet_resnet", encoder="tu-resnet10t", in_channels=1, classes=2)
    network = build_model(spec).eval()
    with torch.no_grad():
        assert network(torch.randn(1, 1, 33, 70)).shape == (1, 2, 33, 70)


def test_guidance_at_a_sixteenth_and_an_eighth():
    model = small().train()
    assert [head.weight for head in model.auxiliary] == [0.16, 0.4]
    outputs = model.network(torch.randn(2, 2, 64, 96))
    assert [tuple(o.shape) for o in outputs] == [(2, 3, 16, 24), (2, 3, 4, 6), (2, 3, 8, 12)]
    sum(output.square().mean() for output in outputs).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_fusion_enlarges_then_dilates_then_adds():
    fusion = CascadeFeatureFusion(5, 3).eval()
    coarse, fine = torch.randn(1, 5, 6, 6), torch.randn(1, 3, 12, 12)
    enlarged = functional.interpolate(coarse, size=(12, 12), mode="bilinear")
    seen = functional.conv2d(enlarged, fusion.coarse[0].weight, padding=2, dilation=2)
    expected = fusion.coarse[1](seen) + fusion.fine(fine)
    fused, guided = fusion(coarse, fine)
    torch.testing.assert_close(fused, expected.relu())
    torch.testing.assert_close(guided, enlarged)


def test_shrunken_images_are_of_whole_cells():
    model = small().eval()
    sizes = []
    model.encoder.register_forward_pre_hook(
        lambda module, inputs: sizes.append(tuple(inputs[0].shape[2:]))
    )
    with torch.no_grad():
        assert model(torch.randn(1, 2, 130, 257)).shape == (1, 3, 130, 257)
    # A quarter and a half of 160 x 288, the next sizes that 32 divides.
    assert sizes == [(40, 72), (80, 144)]
