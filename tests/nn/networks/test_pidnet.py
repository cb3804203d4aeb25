import pytest
import torch
from network_figures import bare_network, gmacs, parameters

from geoseg.nn.models import ModelSpec, build_model


# Counts of the authors' code, XuJiacong/PIDNet. The paper tells 7.6 M, 34.4 M and 36.9 M, and
# 47.6, 197.4 and 275.8 10^9; for M their code disagrees with it, which is theirs to explain.
@pytest.mark.parametrize(
    ("arch", "inference", "training", "macs"),
    [
        ("pidnet_s", 7.626, 7.721, 47.19),
        ("pidnet_m", 28.539, 28.763, 177.33),
        ("pidnet_l", 36.940, 37.314, 274.93),
    ],
)
def test_figures_are_those_of_the_authors_code(arch, inference, training, macs):
    network = bare_network(arch)
    assert parameters(network) == pytest.approx(inference, rel=1e-4)
    assert parameters(network, auxiliary=True) == pytest.approx(training, rel=1e-4)
    assert gmacs(network, 1024, 2048) == pytest.approx(macs, rel=1e-3)


@pytest.mark.parametrize(("arch", "macs"), [("pidnet_s", 47.6), ("pidnet_l", 275.8)])
def test_figures_are_near_those_of_the_paper(arch, macs):
    assert gmacs(bare_network(arch), 1024, 2048) == pytest.approx(macs, rel=0.03)


def watch(network, *names):
    """Names of modules to what they give, filled when the network is called."""
    seen = {}
    for name in names:
        module = network.get_submodule(name)
        module.register_forward_hook(lambda *call, name=name: seen.update({name: call[2]}))
    return seen


def test_detail_and_boundary_stay_at_an_eighth_while_context_sinks():
    network = bare_network("pidnet_s")
    context = [f"context{level}" for level in range(1, 6)]
    fine = ["detail3", "detail4", "detail5", "boundary3", "boundary4", "boundary5"]
    seen = watch(network, *context, *fine)
    network(torch.zeros(1, 3, 128, 192, device="meta"))
    strides = [128 // seen[name].shape[2] for name in context]
    assert strides == [4, 8, 16, 32, 64]
    assert all(seen[name].shape[2:] == (16, 24) for name in fine)


def test_training_gives_logits_detail_and_boundary():
    network = build_model(ModelSpec(arch="pidnet_s", in_channels=2, classes=4))
    outputs = network.train()(torch.randn(2, 2, 65, 100))
    assert [tuple(o.shape) for o in outputs] == [(2, c, 65, 100) for c in (4, 4, 1)]
    assert [(head.name, head.weight, head.boundary) for head in network.auxiliary] == [
        ("detail", 0.4, False),
        ("boundary", 20.0, True),
    ]
    with torch.no_grad():
        assert network.eval()(torch.randn(1, 2, 65, 100)).shape == (1, 4, 65, 100)


def test_a_single_small_image_can_be_learnt_from():
    network = build_model(ModelSpec(arch="pidnet_s", in_channels=1, classes=2)).train()
    for output in network(torch.randn(1, 1, 3, 5)):
        assert torch.isfinite(output).all()


def test_the_boundary_branch_steers_the_fusion():
    """The logits change with what the boundary branch says, and it alone."""
    network = build_model(ModelSpec(arch="pidnet_s", in_channels=1, classes=2)).eval().network
    image = torch.randn(1, 1, 64, 64)
    answers = []
    for sure in (-50.0, 50.0):
        handle = network.boundary5.register_forward_hook(
            lambda module, inputs, output, sure=sure: torch.full_like(output, sure)
        )
        with torch.no_grad():
            answers.append(network(image))
        handle.remove()
    assert not torch.allclose(*answers, atol=1e-3)
