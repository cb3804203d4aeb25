"""Names of weights are paired though both sides put something before them."""

import pytest

from geoseg.nn.key_match import match_keys

NAMES = [
    f"layer{i}.{j}.{part}" for i in (1, 2) for j in (0, 1) for part in ("conv.weight", "bn.bias")
]


@pytest.mark.parametrize(
    "prefix", ["", "module.", "model.", "net.", "_orig_mod.", "module.model.", "model._orig_mod."]
)
@pytest.mark.parametrize("own", ["", "network.", "network.encoder.model."])
def test_prefixes_on_both_sides(prefix, own):
    match = match_keys([own + name for name in NAMES], [prefix + name for name in NAMES])
    assert match.pairs == {own + name: prefix + name for name in NAMES}
    assert (match.missing, match.outside, match.unexpected) == ((), (), ())


def test_what_is_left_over_on_each_side():
    network = [*(f"encoder.{name}" for name in NAMES), "encoder.layer3.weight", "head.weight"]
    file = [*(f"module.{name}" for name in NAMES), "module.fc.weight", "epoch_weight"]
    match = match_keys(network, file)
    assert len(match.pairs) == len(NAMES)
    assert match.prefix == "encoder."
    assert match.missing == ("encoder.layer3.weight",)
    assert match.outside == ("head.weight",)
    assert match.unexpected == ("module.fc.weight", "epoch_weight")


def test_the_encoder_of_a_whole_network():
    file = [*(f"encoder.{name}" for name in NAMES), *(f"decoder.{name}" for name in NAMES[:3])]
    assert match_keys(NAMES, file).pairs == {name: f"encoder.{name}" for name in NAMES}


def test_names_that_timm_flattens():
    network = ["model.layers_0.blocks.1.weight", "model.stages_2.bias", "model.norm.weight"]
    file = ["layers.0.blocks.1.weight", "stages.2.bias", "norm.weight"]
    assert match_keys(network, file).pairs == dict(zip(network, file, strict=True))


def test_compiled_parts_within_a_network():
    match = match_keys(["encoder.conv.weight"], ["model.encoder._orig_mod.conv.weight"])
    assert match.pairs == {"encoder.conv.weight": "model.encoder._orig_mod.conv.weight"}


def test_nothing_in_common():
    match = match_keys(["a.weight"], ["b.bias"])
    assert match.pairs == {}
    assert match.missing == ("a.weight",)
    assert match.unexpected == ("b.bias",)
