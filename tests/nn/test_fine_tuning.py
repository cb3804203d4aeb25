"""What a network knew of bands and classes, in one for others: the same outputs for the same."""

import copy

import pytest
import torch

from geoseg.nn.fine_tuning import Places, band_places, carry_over, class_places
from geoseg.nn.models import ModelSpec, build_model
from geoseg.nn.spec_axes import small_and_large, spec_axes

ARCHS = [
    "unet", "deeplab_duc", "gcn", "segnet", "icnet", "pspnet", "bisenet", "lraspp",
    "fcn32s", "pidnet_s", "deeplabv3plus",
]  # fmt: skip


def spec_of(arch, bands, classes):
    return ModelSpec(arch=arch, encoder="resnet18", in_channels=bands, classes=classes)


def trained(arch, bands=3, classes=4):
    """A network of which no two places of normalisations and biases are equal."""
    network = build_model(spec_of(arch, bands, classes))
    for value in network.state_dict().values():
        if value.ndim == 1:
            value.add_(0.1 * torch.rand(value.shape))
    return network.eval()


def places(bands, old_bands, classes, old_classes):
    return Places(bands=bands, old_bands=old_bands, classes=classes, old_classes=old_classes)


def carried(network, bands, classes):
    spec = network.spec
    where = places(bands, spec.in_channels, classes, spec.classes)
    new = spec.model_copy(update={"in_channels": len(bands), "classes": len(classes)})
    return carry_over(network.state_dict(), new, where)


@torch.no_grad()
def outputs(network, image):
    """In float64, where sums in another order are the same."""
    return copy.deepcopy(network).double().eval()(image.double())


@pytest.mark.parametrize("arch", ARCHS)
def test_bands_and_classes_in_another_order(arch):
    """All outputs are the old ones in that order, those of auxiliary heads too."""
    network = trained(arch)
    found = carried(network, (2, 0, 1), (3, 1, 0, 2))
    assert found.network.training
    assert not found.new
    assert found.adapted
    image = torch.randn(2, 3, 64, 64)
    expected = outputs(network, image)[:, [3, 1, 0, 2]]
    assert torch.allclose(outputs(found.network, image[:, [2, 0, 1]]), expected)
    heads = [key for key in found.adapted if network.state_dict()[key].shape[0] == 4]
    for key in heads:
        if network.state_dict()[key].shape[1:2] != (4,):
            old = network.state_dict()[key]
            assert found.network.state_dict()[key].equal(old[[3, 1, 0, 2]]), key


@pytest.mark.parametrize("arch", ["unet", "deeplab_duc", "pspnet"])
def test_a_band_and_a_class_more(arch):
    """Where the new band is empty, the old classes get what they got."""
    network = trained(arch)
    found = carried(network, (0, None, 1, 2), (None, 0, 1, 2, 3))
    image = torch.randn(2, 3, 64, 64)
    wider = torch.cat([image[:, :1], torch.zeros(2, 1, 64, 64), image[:, 1:]], dim=1)
    assert torch.allclose(outputs(found.network, wider)[:, 1:], outputs(network, image))
    assert not found.new


def test_weights_that_go_with_bands_in_another_way_begin_anew():
    """ENet's first convolution makes 16 - bands channels, for the bands follow them as they are."""
    network = trained("enet")
    found = carried(network, (0, 1, None), (0, 1, 2, 3))
    assert not found.new
    found = carried(network, (0, 1), (0, 1, 2, 3))
    old, own = network.state_dict(), found.network.state_dict()
    assert {old[key].shape[0] for key in found.new} == {13}
    assert {own[key].shape[0] for key in found.new} == {14}
    outputs(found.network, torch.randn(1, 2, 64, 64))


def test_fewer_classes_keep_their_own():
    network = trained("unet")
    found = carried(network, (0, 1, 2), (2, 0))
    image = torch.randn(1, 3, 64, 64)
    expected = outputs(network, image)[:, [2, 0]]
    assert torch.allclose(outputs(found.network, image), expected)
    assert found.adapted == (
        "network.segmentation_head.0.weight", "network.segmentation_head.0.bias",
    )  # fmt: skip


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_bands_that_are_all_new_are_taken_for_the_mean(bands):
    """An image of the same values in each band is seen as such an image was before."""
    network = trained("unet")
    found = carried(network, (None,) * bands, (0, 1, 2, 3))
    grey = torch.randn(1, 1, 64, 64)
    expected = outputs(network, grey.repeat(1, 3, 1, 1))
    found_output = outputs(found.network, grey.repeat(1, bands, 1, 1))
    assert torch.allclose(found_output, expected, rtol=1e-4, atol=1e-5)


def test_classes_that_are_all_new_begin_at_random():
    network = trained("unet")
    torch.manual_seed(5)
    found = carried(network, (0, 1, 2), (None, None))
    torch.manual_seed(5)
    fresh = build_model(spec_of("unet", 3, 2)).state_dict()
    assert found.new == (
        "network.segmentation_head.0.weight", "network.segmentation_head.0.bias",
    )  # fmt: skip
    own = found.network.state_dict()
    assert all(own[key].equal(fresh[key]) for key in found.new)
    assert all(own[key].equal(network.state_dict()[key]) for key in found.kept)
    assert len(found.kept) + len(found.new) == len(own)


def test_nothing_changes_where_nothing_is_other():
    network = trained("unet")
    found = carried(network, (0, 1, 2), (0, 1, 2, 3))
    assert (found.adapted, found.new) == ((), ())
    own = found.network.state_dict()
    assert all(value.equal(own[key]) for key, value in network.state_dict().items())


def test_places_by_name():
    assert band_places(("B04", "nir", "blue"), ("blue", "nir", "b4")) == (2, 1, 0)
    assert band_places(("x", "nir"), ("nir", "red")) == (None, 0)
    assert band_places(("", ""), ("nir", "red")) == (0, 1)
    assert band_places(("x", "y", "z"), ("nir", "red")) == (None, None, None)
    assert class_places(("Roof ", "tree"), ("field", "roof")) == (1, None)
    assert class_places(("a", "b"), ("c", "d")) == (0, 1)
    assert class_places(("a",), ("c", "d")) == (None,)


def test_axes_of_blocks():
    axes = spec_axes(*small_and_large(spec_of("deeplab_duc", 3, 2)))
    heads = {key: axis for key, (axis,) in axes.items() if axis.counts == "classes"}
    assert {(axis.axis, axis.block) for axis in heads.values()} == {(0, 64)}
    (first,) = [axis for (axis,) in axes.values() if axis.counts == "bands"]
    assert (first.axis, first.block) == (1, 1)
