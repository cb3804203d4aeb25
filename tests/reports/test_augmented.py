"""The sheet of augmented samples."""

import numpy as np
import pytest
from PIL import Image

from geoseg.geo.legend import Legend, LegendClass
from geoseg.reports import augmented
from geoseg.reports.augmented import SampleVersions, draw_augmented

LEGEND = Legend(
    classes=(
        LegendClass(value=3, name="land", color="#11cc22"),
        LegendClass(value=5, name="water", color="#2233dd"),
    )
)
WATER = np.array([0x22, 0x33, 0xDD])


def versions(count=3, bands=4, side=40, *, name="images/a.tif"):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(count, bands, side, side)).astype(np.float32)
    masks = np.full((count, side, side), 3, np.uint8)
    masks[:, : side // 2] = 5
    valid = np.ones((count, side, side), bool)
    valid[1, :, : side // 4] = False
    masks[~valid] = LEGEND.ignore
    masks[2, -side // 4 :] = LEGEND.ignore
    return SampleVersions(name=name, images=images, masks=masks, valid=valid)


def test_classes_lie_over_the_image_and_ignored_pixels_are_striped():
    sample = versions()
    picture = augmented._pictures([sample], ())[0][2]
    painted = augmented._paint(picture, sample.masks[2], LEGEND)
    water = sample.masks[2] == 5
    expected = 0.6 * picture[water] + 0.4 * WATER
    np.testing.assert_allclose(painted[water], expected, atol=0.51)
    ignored = sample.masks[2] == LEGEND.ignore
    striped = (painted == 250).all(axis=-1) & ignored
    assert 0.15 < striped.sum() / ignored.sum() < 0.35
    np.testing.assert_array_equal(painted[ignored & ~striped], picture[ignored & ~striped])


def test_all_versions_have_the_stretch_of_the_samples_as_read():
    sample = versions(bands=1)
    sample.images[1] = sample.images[0] + 1
    plain, brighter = augmented._pictures([sample], ())[0][:2]
    low, high = np.percentile(sample.images[0], (2, 98))
    expected = np.clip((sample.images[1, 0] - low) / (high - low), 0, 1) * 255
    assert np.abs(brighter[..., 0] - expected).max() <= 1
    assert brighter.mean() > plain.mean() + 30


@pytest.mark.parametrize("bands", [1, 2, 3, 13])
@pytest.mark.parametrize("shape", [(1, 2), (4, 5)])
def test_a_sheet_has_a_row_a_sample_and_a_column_a_version(tmp_path, bands, shape):
    rows, count = shape
    names = ["a.tif", "x" * 300, "west 10,20", "folder/b.tif"]
    samples = [versions(max(3, count), bands, name=name) for name in names[:rows]]
    draw_augmented(samples, LEGEND, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        wide, high = picture.size
    single = tmp_path / "one.png"
    draw_augmented([versions(3, bands)], LEGEND, single)
    with Image.open(single) as picture:
        assert (wide > picture.size[0]) == (count > 3)
        assert (high > picture.size[1]) == (rows > 1)
    assert list(tmp_path.glob("*")) and wide < 3000


def test_samples_without_data_are_drawn(tmp_path):
    empty = versions()
    empty.valid[:] = False
    draw_augmented([empty], LEGEND, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def test_long_names_are_shortened():
    assert augmented._shorten("far/away/tile.tif") == "tile.tif"
    short = augmented._shorten("a" * 40 + "end")
    assert len(short) <= 26 and short.endswith("end") and "..." in short


@pytest.mark.parametrize("classes", [1, 5, 6, 30])
def test_lines_of_the_legend_hold_all_entries(classes):
    legend = Legend.of_values(range(classes))
    lines = augmented._lines(legend)
    assert lines * 7 >= classes + 2 > (lines - 1) * 7
