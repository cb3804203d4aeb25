"""Pictures of a training run: what they show of arrays whose answer is known."""

import math
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.sample_view import SampleView
from geoseg.reports.figures import (
    IGNORE_COLOR,
    _limit_loss,
    draw_confusion,
    draw_curves,
    draw_samples,
    stretch_images,
)

LEGEND = Legend(
    classes=(
        LegendClass(value=3, name="land", color="#11cc22"),
        LegendClass(value=5, name="water", color="#2233dd"),
    )
)


def make_view(bands=3, side=40):
    image = np.zeros((bands, side, side), np.float32)
    image[:] = np.linspace(100, 4000, side)[None, None, :]
    reference = np.full((side, side), 3, np.uint8)
    reference[:, side // 2 :] = 5
    reference[: side // 4] = 255
    valid = np.ones((side, side), bool)
    valid[-5:] = False
    return SampleView(
        name="tile", image=image, valid=valid, reference=reference, prediction=reference * 0 + 5
    )


def colors_of(path):
    with Image.open(path) as picture:
        return {color: count for count, color in picture.convert("RGB").getcolors(1 << 24)}


def test_stretch_goes_from_2_to_98_percent_and_marks_what_is_not_valid():
    view = make_view()
    (picture,) = stretch_images([view])
    low, high = np.percentile(view.image[0][view.valid], (2, 98))
    expected = np.clip((view.image[0] - low) / (high - low), 0, 1) * 255
    assert np.abs(picture[..., 0][view.valid].astype(int) - expected[view.valid]).max() <= 1
    assert (picture[~view.valid] == IGNORE_COLOR).all()


@pytest.mark.parametrize("bands", [1, 2, 3, 13])
def test_any_number_of_bands_is_drawn(tmp_path, bands):
    draw_samples([make_view(bands)], LEGEND, tmp_path / "s.png")
    colors = colors_of(tmp_path / "s.png")
    # The reference and the prediction show the legend's own colours in large areas.
    assert colors[(0x11, 0xCC, 0x22)] > 1000
    assert colors[(0x22, 0x33, 0xDD)] > 2 * colors[(0x11, 0xCC, 0x22)]
    assert colors[IGNORE_COLOR] > 1000


def test_bands_are_found_by_name():
    view = make_view()
    view.image[2] = 0
    view.image[2, :, 20:] = 9
    (picture,) = stretch_images([view], ("blue", "green", "red"))
    assert set(np.unique(picture[..., 0][view.valid])) == {0, 255}


def test_a_constant_or_empty_image_is_drawn(tmp_path):
    view = make_view()
    view.image[:] = np.nan
    draw_samples([view], LEGEND, tmp_path / "s.png")
    assert (tmp_path / "s.png").exists()


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_confusion_of_any_size_is_drawn(tmp_path, count):
    matrix = np.eye(count, dtype=np.int64) * 2_500_000
    matrix[0] = 0  # a class that is not in the reference
    draw_confusion(matrix, [f"class {i}" for i in range(count)], tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert min(picture.size) > 300


def test_curves_skip_what_is_not_defined(tmp_path):
    history = [
        {"epoch": 1, "train/loss": 1.0, "lr": 0.1, "val/loss": float("nan")},
        {"epoch": 2, "train/loss": 0.5, "lr": 0.05, "val/mean_iou": 0.4, "val/iou/land": 0.4},
    ]
    draw_curves(history, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_no_global_state_of_matplotlib_is_touched():
    code = "import geoseg.reports.figures, sys; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def loss_axes(losses):
    history = [{"epoch": i + 1, "train/loss": loss} for i, loss in enumerate(losses)]
    axes = Figure().subplots()
    axes.plot(range(len(losses)), losses)
    _limit_loss(axes, history)
    return axes


def test_one_high_loss_does_not_squeeze_the_others():
    losses = list(np.linspace(1.3, 0.3, 30))
    losses[3] = 250.0
    axes = loss_axes(losses)
    low, high = axes.get_ylim()
    assert low == 0 and 1.3 <= high < 2
    assert axes.get_yscale() == "linear"
    assert [text.get_text() for text in axes.texts] == ["up to 250 in epoch 4"]


def test_losses_over_decades_are_shown_on_a_logarithmic_axis():
    axes = loss_axes(list(0.02 + 20 * np.exp(-np.arange(30) / 3)))
    assert axes.get_yscale() == "log"
    assert 0 < axes.get_ylim()[0] < 0.02


@pytest.mark.parametrize(
    "losses", [[], [0.5], [1.4, 1.2, 1.1, 0.9], [0.0, 0.0], [math.nan, 1.0, 0.8], [0.2, -0.5]]
)
def test_usual_losses_begin_at_zero(losses):
    axes = loss_axes(losses)
    low, high = axes.get_ylim()
    finite = [loss for loss in losses if math.isfinite(loss)]
    assert axes.get_yscale() == "linear" and not axes.texts
    assert low == min(0, *finite, 0) and (not finite or high >= max(finite))
