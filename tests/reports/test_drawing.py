import math

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.crs import CRS

from geoseg.geo.grid import Grid
from geoseg.reports.drawing import compound_path, ground_ratio, round_length, stretch

UTM = CRS.from_epsg(32632)


def grid(transform=None, crs=UTM, shape=(40, 60)):
    transform = transform or Affine(2, 0, 500000, 0, -2, 5400000)
    return Grid(height=shape[0], width=shape[1], transform=transform, crs=crs)


def signed_area(ring):
    """By the shoelace formula."""
    x, y = ring.T
    return 0.5 * (x[:-1] @ y[1:] - x[1:] @ y[:-1])


def everywhere(shape):
    return np.ones(shape, bool)


class TestStretch:
    def test_one_band_is_gray_from_first_to_last_percentile(self):
        values = np.arange(101, dtype=np.uint16).reshape(1, 1, 101)
        gray = stretch(values, everywhere((1, 101)), natural=False)
        expected = np.round(255 * np.clip((np.arange(101) - 1) / 98, 0, 1) ** 0.8)
        for band in range(3):
            np.testing.assert_array_equal(gray[0, :, band], expected)

    def test_what_is_not_valid_is_transparent_and_does_not_count(self):
        values = np.array([[[0, 100, 200, 65535]]], np.uint16)
        valid = np.array([[False, True, True, False]])
        picture = stretch(values, valid, natural=False)
        np.testing.assert_array_equal(picture[0, :, 3], [0, 255, 255, 0])
        assert picture[0, 1, 0] == 0
        assert picture[0, 2, 0] == 255

    def test_natural_bands_share_their_span(self):
        ramp = np.linspace(0, 1000, 200)
        bands = np.stack([ramp, ramp / 2, ramp / 4])[:, None]
        natural = stretch(bands, everywhere((1, 200)), natural=True)
        single = stretch(bands, everywhere((1, 200)), natural=False)
        assert natural[0, -1, :3].tolist() == [
            255,
            pytest.approx(255 * 0.505**0.8, abs=2),
            pytest.approx(255 * 0.2525**0.8, abs=2),
        ]
        assert single[0, -1, :3].tolist() == [255, 255, 255]

    @pytest.mark.parametrize("values", [np.full((1, 3, 3), 7, np.uint8), np.zeros((3, 3, 3))])
    def test_constant_values_are_black(self, values):
        assert not stretch(values, everywhere((3, 3)), natural=False)[..., :3].any()

    def test_nothing_valid(self):
        picture = stretch(np.ones((1, 2, 2)), np.zeros((2, 2), bool), natural=False)
        assert not picture[..., 3].any()

    def test_nan_is_black(self):
        values = np.array([[[np.nan, 1.0, 2.0, np.inf]]])
        picture = stretch(values, np.array([[False, True, True, False]]), natural=False)
        assert picture[0, 0].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("longest", "length"),
    [(1, 1), (1.99, 1), (2, 2), (4.9, 2), (5, 5), (999, 500), (0.3, 0.2), (75000, 50000)],
)
def test_round_length(longest, length):
    assert round_length(longest) == pytest.approx(length)


class TestGroundRatio:
    def test_projected(self):
        assert ground_ratio(grid(Affine(3, 0, 0, 0, -2, 0))) == 1.5

    def test_geographic_pixels_narrow_toward_the_pole(self):
        transform = Affine(0.001, 0, 10, 0, -0.001, 60.02)
        ratio = ground_ratio(grid(transform, CRS.from_epsg(4326)))
        assert ratio == pytest.approx(math.cos(math.radians(60)))

    def test_pixels_without_a_crs_are_as_they_are(self):
        assert ground_ratio(grid(Affine.identity(), None)) == 1


class TestCompoundPath:
    @pytest.mark.parametrize("turn", [0, 30])
    def test_corners_are_in_pixels(self, turn):
        transform = Affine(2, 0, 500000, 0, -2, 5400000) @ Affine.rotation(turn)
        pixels = [(3, 4), (10, 4), (10, 12), (3, 4)]
        ground = shapely.Polygon([transform @ point for point in pixels])
        path = compound_path(ground, grid(transform))
        found = {tuple(point) for point in np.round(path.vertices + 0.5, 6).tolist()}
        assert found == set(pixels)

    @pytest.mark.parametrize("turned", [False, True])
    def test_holes_turn_against_their_shell(self, turned):
        hole = [(500004, 5399990), (500008, 5399990), (500008, 5399994), (500004, 5399994)]
        shell = shapely.box(500000, 5399980, 500020, 5400000).exterior
        holed = shapely.Polygon(shell, [hole[::-1] if turned else hole])
        both = shapely.MultiPolygon([holed, shapely.box(500030, 5399980, 500032, 5399990)])
        rings = compound_path(both, grid()).to_polygons()
        areas = [signed_area(ring) for ring in rings]
        assert areas == pytest.approx([-100, 4, -5]) or areas == pytest.approx([100, -4, 5])

    def test_empty(self):
        assert len(compound_path(shapely.MultiPolygon(), grid()).vertices) == 0
