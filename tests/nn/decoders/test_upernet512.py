import pytest
import torch

from geoseg.nn.counting import count_model
from geoseg.nn.models import ModelSpec, build_model


def spec_of(encoder="resnet18", classes=2, **options):
    return ModelSpec(
        arch="upernet512", encoder=encoder, in_channels=3, classes=classes, options=options
    )


def auxiliary_parameters(classes):
    return 9 * 1024 * 256 + 2 * 256 + 257 * classes


@pytest.mark.parametrize(
    ("encoder", "millions", "gigas"),
    [("tu-resnet50s", 64.222, 244.7), ("tu-resnet101s", 83.214, 264.1)],
)
def test_figures_of_csail(encoder, millions, gigas):
    """150 classes, 512 pixels; it has the deep stem, and no auxiliary head."""
    cost = count_model(spec_of(encoder, 150), 512)
    main = cost.parameters - auxiliary_parameters(150)
    assert main == pytest.approx(millions * 1e6, rel=1e-3)
    assert cost.macs == pytest.approx(gigas * 1e9, rel=0.01)


def test_figures_of_the_swin_paper():
    """86 M and 1029 G at 512 x 2048 (arXiv 2103.14030, table 3), a stem of 32, 32, 64 channels.

    Counted at 1024 x 1024, which has as many pixels.
    """
    cost = count_model(spec_of("tu-resnet101c", 150), 1024)
    assert cost.parameters == pytest.approx(86e6, rel=0.01)
    assert cost.macs == pytest.approx(1029e9, rel=0.01)


def test_each_level_has_a_smoothing_of_its_own():
    network = build_model(spec_of(channels=16)).network.eval()
    seen = {}
    for index, smoothing in enumerate(network.smoothings):
        smoothing.register_forward_hook(
            lambda _, given, out, index=index: seen.setdefault(index, []).append(given[0].shape[2:])
        )
    with torch.no_grad():
        network(torch.randn(1, 3, 64, 96))
    assert seen == {0: [(16, 24)], 1: [(8, 12)], 2: [(4, 6)]}  # each once, on its own level
    weights = {smoothing[0].weight.data_ptr() for smoothing in network.smoothings}
    assert len(weights) == 3


def test_the_levels_are_carried_down_and_put_beside_each_other():
    """With projections that give 1, 2, 3, level i holds the sum of all that are coarser."""
    network = build_model(spec_of(channels=4)).network.eval()

    class Constant(torch.nn.Module):
        def __init__(self, value):
            super().__init__()
            self.value = value

        def forward(self, features):
            return torch.full((1, 4, *features.shape[2:]), self.value)

    network.top = Constant(1000.0)
    network.laterals = torch.nn.ModuleList(Constant(value) for value in (1.0, 10.0, 100.0))
    network.smoothings = torch.nn.ModuleList(torch.nn.Identity() for _ in range(3))
    network.head = torch.nn.Identity()
    with torch.no_grad():
        fused = network(torch.randn(1, 3, 64, 64))
    assert fused.shape == (1, 16, 16, 16)
    assert fused[0, ::4, 0, 0].tolist() == [1111.0, 1110.0, 1100.0, 1000.0]


def test_the_auxiliary_head_teaches_the_stages_before_the_last():
    model = build_model(spec_of(classes=3, channels=16))
    logits, auxiliary = model.train()(torch.randn(2, 3, 64, 64))
    assert logits.shape == auxiliary.shape == (2, 3, 64, 64)
    assert [head.weight for head in model.auxiliary] == [0.4]
    auxiliary.square().mean().backward()
    assert all(p.grad is None for p in model.encoder.layer4.parameters())
    assert all(p.grad is not None for p in model.encoder.layer3.parameters())
