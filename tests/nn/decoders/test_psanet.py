import pytest
import torch
from network_figures import bare_network, gmacs, parameters

from geoseg.errors import ConfigError
from geoseg.nn.decoders.psanet import PSA, PointwiseAttention, PsaNetOptions, offset_logits
from geoseg.nn.models import ModelSpec, build_model, check_spec


@pytest.mark.parametrize(
    ("encoder", "classes", "options", "total", "without", "milliards"),
    [
        ("tu-resnet50s", 150, {}, 53.274, 50.875, 170.2),
        ("tu-resnet101s", 150, {}, 72.266, 69.867, 236.1),
        ("tu-resnet50s", 19, {"crop": 705}, 57.720, 55.355, 398.2),
        ("tu-resnet101s", 19, {"crop": 705}, 76.712, 74.347, 548.3),
        ("tu-resnet50s", 150, {"compact": True}, 50.631, 50.631 - 2.398358, None),
    ],
)
def test_figures_of_the_authors(encoder, classes, options, total, without, milliards):
    """At the size of the training windows, without padding; 2.398358 M is the auxiliary head."""
    network = bare_network("psanet", encoder, classes, **options)
    assert parameters(network, auxiliary=True) == pytest.approx(total, rel=1e-4)
    assert parameters(network) == pytest.approx(without, rel=1e-4)
    if milliards:
        assert gmacs(network, options.get("crop", 465)) == pytest.approx(milliards, rel=0.03)


@pytest.mark.parametrize(
    ("crop", "shrink", "side"),
    [(465, 2, 30), (705, 2, 45), (465, 1, 59), (473, 2, 30), (512, 2, 32)],
)
def test_cells_of_the_training_window(crop, shrink, side):
    assert PsaNetOptions(crop=crop, shrink=shrink).side == side


def naive(logits, side, *, distributes):
    """The re-indexing as it is written: one place, one other place, one number at a time."""
    n, _, height, width = logits.shape
    half = (side - 1) // 2
    result = torch.zeros(n, height * width, height * width, dtype=logits.dtype)
    for py in range(height):
        for px in range(width):
            for qy in range(height):
                for qx in range(width):
                    down, right = (qy - py, qx - px) if distributes else (py - qy, px - qx)
                    if abs(down) > half or abs(right) > half:
                        continue
                    channel = (down + half) * side + right + half
                    y, x = (py, px) if distributes else (qy, qx)
                    found = logits[:, channel, y, x]
                    result[:, py * width + px, qy * width + qx] = found
    return result


@pytest.mark.parametrize("distributes", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "side"), [(3, 4, 7), (4, 4, 7), (5, 2, 3), (6, 7, 5), (1, 1, 9), (2, 9, 3)]
)
def test_reindexing_is_that_of_four_loops(height, width, side, distributes):
    logits = torch.randn(2, side * side, height, width)
    found = offset_logits(logits, side)
    if distributes:
        found = found.transpose(1, 2)
    assert torch.equal(found, naive(logits, side, distributes=distributes))


def test_each_logit_within_the_image_is_used_once():
    logits = torch.randn(1, 25, 3, 3, dtype=torch.float64, requires_grad=True)
    offset_logits(logits, 5).sum().backward()
    used = logits.grad[0].reshape(5, 5, 3, 3)
    places = torch.arange(3)
    for i in range(5):
        for j in range(5):
            rows = ((places + i - 2 >= 0) & (places + i - 2 < 3)).double()
            columns = ((places + j - 2 >= 0) & (places + j - 2 < 3)).double()
            assert torch.equal(used[i, j], torch.outer(rows, columns))


def branch_of(*, distributes, channels=8, **options):
    torch.manual_seed(0)
    given = PsaNetOptions(**{"crop": 40, "shrink": 1, **options})
    return PointwiseAttention(channels, 4, given, distributes=distributes).eval()


@pytest.mark.parametrize("distributes", [False, True])
@pytest.mark.parametrize("size", [(5, 5), (3, 8), (9, 9)])
def test_what_a_cell_gathers_is_the_weighed_sum_of_all_sources(distributes, size):
    branch = branch_of(distributes=distributes)
    assert branch.side == 9
    features = torch.randn(2, 8, *size)
    with torch.no_grad():
        reduced = branch.reduce(features)
        table = naive(branch.predict(reduced), 9, distributes=distributes)
        # Sources beyond the map keep a logit of 0 and stay in the sum.
        weights = table.exp() / table.exp().sum(dim=1, keepdim=True)
        expected = torch.einsum("ncp,npq->ncq", reduced.flatten(2), weights).view_as(reduced)
        torch.testing.assert_close(branch(features), expected)


def test_a_logit_points_from_the_predicting_cell_to_the_other():
    """Cell (1, 1) is sure of the cell above it and to the right: channel 0 * 3 + 2 of 3 x 3."""
    logits = torch.zeros(1, 9, 3, 3)
    logits[0, 2, 1, 1] = 50
    options = PsaNetOptions(crop=16, shrink=1)
    sender = PointwiseAttention(8, 4, options, distributes=True)
    receiver = PointwiseAttention(8, 4, options, distributes=False)
    assert sender.side == receiver.side == 3
    here, there = 1 * 3 + 1, 0 * 3 + 2
    assert sender.weights(logits)[0, here, there] > 0.999
    assert receiver.weights(logits)[0, there, here] > 0.999
    for branch in (sender, receiver):
        torch.testing.assert_close(branch.weights(logits).sum(dim=1), torch.ones(1, 9))


def test_without_softmax_the_sum_is_normalised_by_a_number():
    features = torch.randn(1, 8, 5, 5)
    plain = branch_of(distributes=False, softmax=False)
    divided = branch_of(distributes=False, softmax=False, normalization=81)
    with torch.no_grad():
        reduced = plain.reduce(features)
        table = naive(plain.predict(reduced), 9, distributes=False)
        expected = torch.einsum("ncp,npq->ncq", reduced.flatten(2), table).view_as(reduced)
        torch.testing.assert_close(plain(features), expected)
        torch.testing.assert_close(divided(features), expected / 81)


@pytest.mark.parametrize("distributes", [False, True])
def test_the_compact_form_predicts_places(distributes):
    branch = branch_of(distributes=distributes, compact=True)
    assert branch.side == 5
    features = torch.randn(2, 8, 5, 5)
    with torch.no_grad():
        reduced = branch.reduce(features)
        table = branch.predict(reduced).flatten(2)  # what each cell (last) thinks of each place
        weights = (table.transpose(1, 2) if distributes else table).softmax(dim=1)
        expected = (reduced.flatten(2) @ weights).view_as(reduced)
        torch.testing.assert_close(branch(features), expected)
        assert branch(torch.randn(2, 8, 4, 9)).shape == (2, 4, 5, 5)


@pytest.mark.parametrize(
    ("attention", "branches"), [("collect", 1), ("distribute", 1), ("both", 2)]
)
def test_branches(attention, branches):
    module = PSA(8, PsaNetOptions(crop=40, attention=attention))
    assert len(module.branches) == branches
    assert module.branches[0].distributes == (attention == "distribute")
    assert module.branches[-1].distributes == (attention != "collect")
    features = torch.randn(2, 8, 5, 6)
    joined = module(features)
    assert joined.shape == (2, 16, 5, 6)
    assert torch.equal(joined[:, :8], features)


@pytest.mark.parametrize("compact", [False, True])
def test_other_sizes_than_the_training_window(compact):
    options = {"crop": 64, "compact": compact}
    spec = ModelSpec(arch="psanet", encoder="resnet18", in_channels=3, classes=3, options=options)
    network = build_model(spec).eval()
    with torch.no_grad():
        for size in [(40, 64), (65, 150)]:
            logits = network(torch.randn(1, 3, *size))
            assert logits.shape == (1, 3, *size) and torch.isfinite(logits).all()


def test_training_gives_the_last_level_but_one():
    spec = ModelSpec(
        arch="psanet", encoder="resnet18", in_channels=3, classes=3, options={"crop": 64}
    )
    logits, other = build_model(spec).network(torch.randn(2, 3, 64, 64))
    assert logits.shape == other.shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    "options", [{"attention": "none"}, {"crop": 8}, {"shrink": 0}, {"normalization": 0}]
)
def test_wrong_options_are_refused(options):
    spec = ModelSpec(arch="psanet", encoder="resnet18", in_channels=3, classes=3, options=options)
    with pytest.raises(ConfigError, match=r"model\.options\."):
        check_spec(spec)
