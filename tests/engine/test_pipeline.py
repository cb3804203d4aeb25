"""The oracles of the engine: networks whose answer is known at every pixel."""

import numpy as np
import pytest
import torch
from known_networks import WINDOW, Network, identity, member, positions, run, write_scene

from geoseg.engine.layout import Layout
from geoseg.engine.pipeline import Counts, predict_windows
from geoseg.engine.resized import predict_resized
from geoseg.errors import SceneError, WorkError
from geoseg.geo.raster import Scene

SHAPES = [
    pytest.param((5, 7), id="smaller than a window"),
    pytest.param((1, 40), id="one pixel high"),
    pytest.param((40, 1), id="one pixel wide"),
    pytest.param((1, 1), id="one pixel"),
    pytest.param((16, 16), id="one window"),
    pytest.param((17, 17), id="one pixel more than a window"),
    pytest.param((61, 83), id="primes"),
    pytest.param((150, 33), id="several strips"),
]
STRIDES = [1 + WINDOW // 2, WINDOW // 2, WINDOW, 5]
BLENDS = ["mean", "hann", "gaussian", "crop"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("blend", BLENDS)
def test_identity_network_returns_the_scene(tmp_path, shape, stride, blend):
    """The scene holds each pixel's own position, so that a slip by one pixel reads as 1."""
    scene = write_scene(tmp_path / "scene.tif", positions(shape))
    scores, valid = run(scene, identity(2), stride=stride, blend=blend)
    assert np.abs(scores - positions(shape)).max() <= 1e-4
    assert valid.all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blend", BLENDS)
def test_constant_network_is_constant_at_every_pixel(tmp_path, shape, blend):
    scene = write_scene(tmp_path / "scene.tif", np.zeros((1, *shape), np.uint8))
    constant = Network(lambda pixels, valid: torch.full_like(pixels, 0.7), 1)
    scores, _ = run(scene, constant, stride=5, blend=blend)
    assert np.abs(scores - 0.7).max() <= 1e-6


@pytest.mark.parametrize(("stride", "blend"), [(8, "mean"), (5, "mean"), (7, "hann"), (16, "crop")])
def test_streamed_equals_the_whole_scene_average(tmp_path, stride, blend):
    """A network that depends on the place in the window, averaged naively in float64."""
    data = np.random.default_rng(3).integers(0, 999, (2, 70, 45)).astype(np.uint16)
    scene = write_scene(tmp_path / "scene.tif", data)
    ramp = torch.linspace(0, 1, WINDOW, dtype=torch.float64)

    def function(pixels, valid):
        return torch.sin(pixels / 99) + ramp[:, None] * ramp**2

    scores, _ = run(scene, Network(function, 2), stride=stride, blend=blend)
    layout = Layout.of((70, 45), WINDOW, stride, blend)
    total, weight = np.zeros((2, 70, 45)), np.zeros((70, 45))
    for i, row in enumerate(layout.rows.offsets):
        for j, col in enumerate(layout.cols.offsets):
            part = np.s_[row : row + WINDOW, col : col + WINDOW]
            w = np.outer(layout.rows.weight(i), layout.cols.weight(j)).astype(np.float64)
            pixels = torch.from_numpy(data[:, part[0], part[1]].astype(np.float64))[None]
            total[:, part[0], part[1]] += function(pixels, None)[0].numpy() * w
            weight[part] += w
    assert np.abs(scores - total / weight).max() <= 1e-6


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_batches_change_nothing(tmp_path, batch_size):
    data = np.random.default_rng(1).random((3, 50, 40)).astype(np.float32)
    scene = write_scene(tmp_path / "scene.tif", data)
    scores, _ = run(scene, identity(3), stride=7, batch_size=batch_size)
    expected, _ = run(scene, identity(3), stride=7, batch_size=1)
    assert scores.tobytes() == expected.tobytes()


LAYOUTS = [
    pytest.param({"tiled": True, "blockxsize": 16, "blockysize": 16}, id="tiled"),
    pytest.param({"tiled": True, "blockxsize": 256, "blockysize": 128}, id="large tiles"),
    pytest.param({"blockysize": 1}, id="strips of a row"),
    pytest.param({"interleave": "band"}, id="planar"),
    pytest.param({"interleave": "pixel", "compress": "lzw"}, id="interleaved"),
    pytest.param({"bigtiff": "yes", "endianness": "big"}, id="big-endian BigTIFF"),
]


@pytest.mark.parametrize("profile", LAYOUTS)
def test_file_layout_changes_nothing(tmp_path, profile):
    scene = write_scene(tmp_path / "scene.tif", positions((130, 70)), **profile)
    scores, _ = run(scene, identity(2), stride=8)
    assert np.abs(scores - positions((130, 70))).max() <= 1e-4


def test_windows_without_data_are_skipped_and_nothing_else_changes(tmp_path):
    data = positions((90, 60)) + 1
    data[:, :40, :30] = 0
    scene = write_scene(tmp_path / "scene.tif", data, nodata=0)
    counts = Counts()
    scores, valid = run(scene, identity(2), counts=counts)
    expected = np.ones((90, 60), bool)
    expected[:40, :30] = False
    assert (valid == expected).all()
    assert np.abs(scores - data)[:, expected].max() <= 1e-4
    layout = Layout.of((90, 60), WINDOW, 8)
    empty = sum(
        row + WINDOW <= 40 and col + WINDOW <= 30
        for row in layout.rows.offsets
        for col in layout.cols.offsets
    )
    assert counts.skipped == [empty]
    assert empty > 0
    assert counts.windows == [layout.count - empty]


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_rows_of_a_gap_are_handed_out_and_not_kept(tmp_path, batch_size):
    """Also where a batch waits for windows behind the gap."""
    data = positions((4000, 24)) + 1
    data[:, 40:-40] = 0
    scene = write_scene(tmp_path / "scene.tif", data, nodata=0)
    read, kept = [0], []

    def hide(raster):
        read.append(read[-1] + raster.valid.shape[0])
        return raster.valid

    one = member(scene, identity(2), batch_size=batch_size)
    rows = []
    for first, scores, valid in predict_windows(scene, [[one]], hide=hide):
        kept.append(read[-1] - first)
        rows.append(np.where(valid, scores.numpy(), 0))
    assert np.abs(np.concatenate(rows, 1) - data).max() <= 1e-3
    assert max(kept) < 600  # a few strips of 64 rows
    assert read[-1] == 4000


@pytest.mark.parametrize("window", [16, 80])
def test_gaps_of_any_height_between_rows_with_data(tmp_path, window):
    """Rows are read by 64: some of these reads find nothing, where there is still a window."""
    draw = np.random.default_rng(window)
    data = positions((3000, 24)) + 1
    for row in range(0, 3000, 32):
        data[:, row : row + 32, : draw.choice([0, 20, 24, 24])] = 0
    scene = write_scene(tmp_path / "scene.tif", data, nodata=0, tiled=True, blockysize=16)
    counts, stride = Counts(), 3 * window // 8
    scores, valid = run(scene, identity(2), window=window, stride=stride, counts=counts)
    assert (valid == (data > 0).any(0)).all()
    assert np.abs(scores - data)[:, valid].max() <= 1e-3
    layout = Layout.of((3000, 24), window, stride)
    seen = [
        valid[row : row + window, col : col + window].any()
        for row in layout.rows.offsets
        for col in layout.cols.offsets
    ]
    assert (counts.windows, counts.skipped) == ([sum(seen)], [len(seen) - sum(seen)])
    assert len(seen) > sum(seen)


def test_scene_without_any_data_gives_rows_without_any(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", np.zeros((1, 50, 50), np.uint8), nodata=0)
    counts = Counts()
    _, valid = run(scene, identity(1), counts=counts)
    assert not valid.any()
    assert counts.windows == [0]


def test_halo_wide_enough_equals_the_network_on_the_whole_scene(tmp_path):
    """A 5 x 5 mean sees 2 pixels around; cropped windows keep 4 away from their border."""
    data = np.random.default_rng(2).random((1, 60, 52)).astype(np.float32)
    scene = write_scene(tmp_path / "scene.tif", data)
    kernel = torch.full((1, 1, 5, 5), 1 / 25, dtype=torch.float64)

    def function(pixels, valid=None):
        return torch.nn.functional.conv2d(pixels, kernel, padding=2)

    scores, _ = run(scene, Network(function, 1), stride=8, blend="crop")
    whole = function(torch.from_numpy(data).double()[None])[0].numpy()
    assert np.abs(scores - whole).max() <= 1e-6


def test_nan_of_the_network_names_the_window(tmp_path):
    data = np.zeros((1, 40, 40), np.float32)
    data[0, 35, 3] = 1
    scene = write_scene(tmp_path / "scene.tif", data)
    network = Network(lambda pixels, valid: 1 / (1 - pixels), 1)
    with pytest.raises(WorkError, match="row 24, column 0"):
        run(scene, network)


def test_broken_scene_is_an_error_of_the_reading_thread(tmp_path):
    data = np.random.default_rng(0).integers(0, 255, (1, 400, 300)).astype(np.uint8)
    scene = write_scene(tmp_path / "scene.tif", data, compress="deflate", blockysize=16)
    content = (tmp_path / "scene.tif").read_bytes()
    (tmp_path / "scene.tif").write_bytes(content[: len(content) // 2])
    try:
        scene = Scene.open(tmp_path / "scene.tif")
    except SceneError:
        return  # cut where even its header is gone
    with pytest.raises(SceneError, match=r"scene\.tif"):
        run(scene, identity(1))


def test_resize_gives_a_constant_scene_back_and_its_own_validity(tmp_path):
    data = np.full((1, 90, 41), 7, np.uint8)
    data[0, :10] = 0
    scene = write_scene(tmp_path / "scene.tif", data, nodata=0)
    rows = list(predict_resized(scene, [[member(scene, identity(1))]]))
    scores = torch.cat([scores for _, scores, _ in rows], 1).numpy()
    valid = np.concatenate([valid for _, _, valid in rows])
    assert scores.shape == (1, 90, 41)
    assert (valid == (data[0] != 0)).all()
    assert np.abs(scores[0, 20:] - 7).max() < 1e-5


def test_scores_near_the_largest_float_are_no_error(tmp_path):
    scene = write_scene(tmp_path / "scene.tif", np.full((1, 40, 40), 1, np.uint8))
    large = Network(lambda pixels, valid: torch.full_like(pixels, 1e37), 1)
    scores, _ = run(scene, large)
    np.testing.assert_allclose(scores, 1e37, rtol=1e-6)
