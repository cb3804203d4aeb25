"""Several looks at a scene in one run: parts of it, scales, symmetries, several networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from known_networks import WINDOW, Network, collect, identity, member, positions, run, write_scene

from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import Counts
from geoseg.engine.symmetry import SymmetricBackend, apply, undo
from geoseg.engine.votes import count_votes

BLENDS = ["mean", "hann", "gaussian", "crop"]


def cropped(one, rows, cols):
    return replace(one, layout=one.layout.crop(rows, cols))


def place_in_window(pixels, valid):
    """Scores that depend on where in its window a pixel lies."""
    ramp = torch.linspace(0, 1, pixels.shape[-1], dtype=torch.float64)
    return torch.sin(pixels / 99) + ramp[:, None] * ramp**2


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("stride", [8, 5, 16])
@pytest.mark.parametrize("cols", [(0, 7), (7, 30), (16, 83), (80, 83)])
def test_columns_of_a_panel_are_those_of_the_whole_to_the_bit(tmp_path, blend, stride, cols):
    data = np.random.default_rng(3).integers(0, 999, (2, 70, 83)).astype(np.uint16)
    scene = write_scene(tmp_path / "scene.tif", data)
    one = member(scene, Network(place_in_window, 2), stride=stride, blend=blend)
    whole, _ = collect(scene, [[one]])
    panel, valid = collect(scene, [[cropped(one, (0, 70), cols)]])
    assert panel.tobytes() == np.ascontiguousarray(whole[:, :, cols[0] : cols[1]]).tobytes()
    assert valid.shape == (70, cols[1] - cols[0])


@pytest.mark.parametrize("batch_size", [1, 3, 4])
@pytest.mark.parametrize("row", [1, 8, 17, 40, 69])
def test_run_goes_on_at_any_row_with_the_same_batches(tmp_path, batch_size, row):
    """The network tells which place in its batch a window has, so that a slip would be seen."""
    data = np.random.default_rng(3).integers(1, 999, (1, 70, 83)).astype(np.uint16)
    data[:, :30, 40:] = 0  # windows that are skipped shift the batches
    scene = write_scene(tmp_path / "scene.tif", data, nodata=0)

    def place_in_batch(pixels, valid):
        return pixels + torch.arange(len(pixels), dtype=torch.float64)[:, None, None, None] / 7

    one = member(scene, Network(place_in_batch, 1), batch_size=batch_size)
    counts = Counts()
    whole, valid = collect(scene, [[one]], counts=counts)
    before = counts.before(row)
    rest, rest_valid = collect(scene, [[cropped(one, (row, 70), (0, 83))]], counts=before)
    assert rest[:, rest_valid].tobytes() == whole[:, row:][:, valid[row:]].tobytes()
    assert before.windows == counts.windows
    assert before.skipped == counts.skipped


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("shape", [(5, 7), (40, 1), (61, 83), (150, 33)])
def test_windows_of_several_sizes_average_to_the_scene(tmp_path, shape, blend):
    """Networks that give the scene back at any size of window: so does their average."""
    scene = write_scene(tmp_path / "scene.tif", positions(shape))
    sizes = [(WINDOW, 8), (10, 5), (32, 9), (7, 7)]
    group = [
        member(scene, identity(2), window=size, stride=stride, blend=blend)
        for size, stride in sizes
    ]
    scores, valid = collect(scene, [group])
    assert np.abs(scores - positions(shape)).max() <= 1e-4
    assert valid.all()


def test_networks_with_the_same_windows_are_averaged(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", positions((61, 83)))
    doubled = Network(lambda pixels, valid: 2 * pixels, 2)
    group = [member(scene, identity(2)), member(scene, doubled), member(scene, doubled)]
    scores, _ = collect(scene, [group])
    assert np.abs(scores - positions((61, 83)) * 5 / 3).max() <= 2e-4


def test_network_sees_the_bands_it_wants(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", positions((30, 20)))
    swapped = member(scene, identity(2), channels=(1, 0))
    scores, _ = collect(scene, [[swapped]])
    assert np.abs(scores - positions((30, 20))[::-1]).max() <= 1e-4


def test_votes_are_counted_and_ties_go_to_the_higher_mean():
    scores = torch.tensor(
        [
            [[[0.9]], [[0.1]], [[0.0]]],
            [[[0.4]], [[0.6]], [[0.0]]],
            [[[0.4]], [[0.6]], [[0.0]]],
            [[[0.5]], [[0.1]], [[0.4]]],
        ]
    )
    votes = count_votes(list(scores))
    torch.testing.assert_close(votes[:, 0, 0], torch.tensor([0.5, 0.5, 0.0]), atol=2e-4, rtol=0)
    assert votes[:, 0, 0].argmax() == 0  # mean 0.55 against 0.35
    assert votes.sum() == pytest.approx(1, abs=1e-6)


def test_majority_wins_over_the_mean(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", np.zeros((1, 40, 40), np.uint8))

    def constant(*values):
        column = torch.tensor(values, dtype=torch.float64)[None, :, None, None]
        return Network(lambda pixels, valid: column.expand(len(pixels), 2, WINDOW, WINDOW), 2)

    sure, unsure = constant(0.99, 0.01), constant(0.45, 0.55)
    groups = [[member(scene, sure)], [member(scene, unsure)], [member(scene, unsure, stride=5)]]
    scores, _ = collect(scene, groups)
    assert (scores.argmax(0) == 1).all()
    mean, _ = collect(scene, [[one for group in groups for one in group]])
    assert (mean.argmax(0) == 0).all()


@pytest.mark.parametrize(("name", "count"), [("flip", 2), ("d4", 8)])
def test_symmetries_are_distinct_and_undone(name, count):
    from geoseg.engine.symmetry import SYMMETRIES

    window = torch.arange(12 * 12).reshape(1, 12, 12)
    seen = [apply(window, symmetry) for symmetry in SYMMETRIES[name]]
    assert len({each.numpy().tobytes() for each in seen}) == count
    for each, symmetry in zip(seen, SYMMETRIES[name], strict=True):
        assert (undo(each, symmetry) == window).all()


@pytest.mark.parametrize("name", ["flip", "d4"])
def test_augmented_identity_returns_the_scene(tmp_path, name):
    scene = write_scene(tmp_path / "scene.tif", positions((61, 83)))
    scores, _ = run(scene, SymmetricBackend(identity(2), name))
    assert np.abs(scores - positions((61, 83))).max() <= 1e-4


def test_d4_makes_a_lopsided_network_even(tmp_path):
    """The mean over all turns and mirror images of a ramp is the same at all eight images."""
    ramp = torch.linspace(0, 1, WINDOW, dtype=torch.float64)
    lopsided = Network(lambda pixels, valid: pixels * 0 + ramp[:, None] * ramp**2, 1)
    backend = SymmetricBackend(lopsided, "d4")
    scores = backend.scores(torch.zeros(1, 1, WINDOW, WINDOW), None)[0, 0]
    expected = sum(
        np.rot90(image, turns)
        for image in [(ramp[:, None] * ramp**2).numpy(), (ramp[:, None] * ramp**2).numpy().T]
        for turns in range(4)
    )
    np.testing.assert_allclose(scores.numpy(), expected / 8, atol=1e-12)


def test_network_that_reuses_its_memory_is_averaged_right(tmp_path):
    """Run-times may hand out the same memory at each call."""
    buffer = torch.empty(3, 2, WINDOW, WINDOW, dtype=torch.float64)

    def function(pixels, valid):
        return buffer[: len(pixels)].copy_(pixels)

    scene = write_scene(tmp_path / "scene.tif", positions((61, 83)))
    scores, _ = run(scene, SymmetricBackend(Network(function, 2), "d4"))
    assert np.abs(scores - positions((61, 83))).max() <= 1e-4


@pytest.mark.parametrize("most", [1, 2, 5])
def test_out_of_memory_halves_the_batch_and_goes_on(tmp_path, most):
    sizes = []

    def function(pixels, valid):
        sizes.append(len(pixels))
        if len(pixels) > most:
            raise torch.OutOfMemoryError
        return pixels

    scene = write_scene(tmp_path / "scene.tif", positions((61, 83)))
    scores, _ = run(scene, Network(function, 2), batch_size=8)
    assert np.abs(scores - positions((61, 83))).max() <= 1e-4
    refused = [size for size in sizes if size > most]
    assert refused == [size for size in (8, 4, 2) if size > most]


def test_no_memory_for_one_window_is_told(tmp_path):
    from geoseg.errors import WorkError

    def function(pixels, valid):
        raise torch.OutOfMemoryError

    scene = write_scene(tmp_path / "scene.tif", positions((61, 83)))
    with pytest.raises(WorkError, match="no memory for one window"):
        run(scene, Network(function, 2), batch_size=8)


@pytest.mark.parametrize("batch_size", [2, 7])
@pytest.mark.parametrize("row", [17, 60, 104, 120])
def test_run_goes_on_in_and_behind_a_gap_with_the_same_batches(tmp_path, batch_size, row):
    """A batch that waits at a gap is run; the windows behind lie where they would have lain."""
    data = np.random.default_rng(3).integers(1, 999, (1, 150, 83)).astype(np.uint16)
    data[:, 40:110] = 0
    scene = write_scene(tmp_path / "scene.tif", data, nodata=0)

    def place_in_batch(pixels, valid):
        return pixels + torch.arange(len(pixels), dtype=torch.float64)[:, None, None, None] / 7

    one = member(scene, Network(place_in_batch, 1), batch_size=batch_size)
    counts = Counts()
    whole, valid = collect(scene, [[one]], counts=counts)
    before = counts.before(row)
    rest, rest_valid = collect(scene, [[cropped(one, (row, 150), (0, 83))]], counts=before)
    assert rest[:, rest_valid].tobytes() == whole[:, row:][:, valid[row:]].tobytes()
    assert before.windows == counts.windows


def test_counts_before_a_row_are_those_of_windows_above_it():
    counts = Counts()
    for end in (16, 24, 32):
        counts.begin(0, end)
        counts.windows[0] += 5
        counts.skipped[0] += 1
    assert counts.before(0).windows == [0]
    assert counts.before(15).windows == [0]
    assert counts.before(16).windows == [5]
    assert counts.before(31).windows == [10]
    assert counts.before(32).windows == [15]
    assert counts.before(24).skipped == [2]


def test_cropped_layout_keeps_the_windows_that_touch():
    layout = Layout.of((100, 100), 16, 8).crop((20, 40), (0, 5))
    assert layout.rows.offsets == (8, 16, 24, 32)
    assert layout.cols.offsets == (0,)
    assert layout.rows.core == (20, 40)
    assert layout.count == 4


def test_votes_of_unlike_windows_are_those_of_the_whole_in_every_part(tmp_path):
    """The sums of a network whose windows begin lower must be as empty as in a whole run."""
    data = np.random.default_rng(3).integers(0, 999, (2, 200, 40)).astype(np.uint16)
    scene = write_scene(tmp_path / "scene.tif", data)
    groups = [
        [member(scene, Network(place_in_window, 2), window=16, stride=8)],
        [member(scene, Network(place_in_window, 2), window=48, stride=24)],
    ]
    whole, _ = collect(scene, groups)
    for row in (16, 33, 64, 100, 199):
        part = [[cropped(one, (row, 200), (0, 40)) for one in group] for group in groups]
        rest, _ = collect(scene, part)
        assert rest.tobytes() == np.ascontiguousarray(whole[:, row:]).tobytes()
