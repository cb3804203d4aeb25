import pytest
import torch
from network_figures import bare_network, gmacs, parameters
from torchvision.models.segmentation.lraspp import LRASPPHead

from geoseg.nn.models import ModelSpec, build_model


def test_figures_of_torchvision():
    network = bare_network("lraspp", "tu-mobilenetv3_large_100", 21)
    assert parameters(network) == pytest.approx(3.222, rel=1e-3)
    assert gmacs(network, 520) == pytest.approx(2.086, rel=0.03)


def test_figures_on_a_resnet18_of_stride_32():
    network = bare_network("lraspp", "resnet18", output_stride=32)
    assert parameters(network) == pytest.approx(11.315, rel=1e-4)
    assert gmacs(network, 512) == pytest.approx(9.5, rel=0.03)


def test_the_head_is_that_of_torchvision():
    spec = ModelSpec(arch="lraspp", encoder="tu-mobilenetv3_small_050", in_channels=3, classes=4)
    network = build_model(spec).network.eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        levels = network.encoder(image)
        low, high = levels[3], levels[5]
        head = LRASPPHead(low.shape[1], high.shape[1], 4, 128).eval()
        names = {"cbr": "project", "scale": "gate"}
        ours = network.state_dict()
        head.load_state_dict(
            {
                key: ours[".".join([names.get(key.split(".")[0], key.split(".")[0]),
                                    *key.split(".")[1:]])]
                for key in head.state_dict()
            }
        )  # fmt: skip
        torch.testing.assert_close(network(image), head({"low": low, "high": high}))


@pytest.mark.parametrize(("output_stride", "stride"), [(8, 4), (16, 8), (32, 16)])
def test_logits_have_twice_the_resolution_of_the_last_level(output_stride, stride):
    network = bare_network("lraspp", "resnet18", 3, output_stride=output_stride)
    logits = network(torch.zeros(1, 3, 64, 96, device="meta"))
    assert logits.shape[-2:] == (64 // stride, 96 // stride)
