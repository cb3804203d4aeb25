"""Names of bands: one key for every way of writing them."""

import pytest

from geoseg.nn.band_names import band_key, match_bands, wavelengths

SENTINEL2 = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8a", "B9", "B10", "B11", "B12")
LANDSAT_TM = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")


@pytest.mark.parametrize(
    "name", ["B2", "B02", "b02", "Band 2", "S2_B02", "blue", "Blue", " B ", "b"]
)
def test_ways_to_write_the_blue_of_sentinel2(name):
    assert band_key(name, "sentinel2") == "blue"


@pytest.mark.parametrize(
    ("sensor", "name", "color"),
    [
        ("sentinel2", "B8A", "nir08"),
        ("sentinel2", "B08", "nir"),
        ("sentinel2", "B12", "swir22"),
        ("sentinel2", "B1", "coastal"),
        ("landsat_tm", "B2", "green"),
        ("landsat_etm", "SR_B7", "swir22"),
        ("landsat_etm", "B6_VCID_2", "thermal2"),
        ("landsat_oli", "B2", "blue"),
        ("landsat_oli", "SR_B5", "nir"),
        ("landsat_oli", "B10", "thermal"),
        ("rgb", "R", "red"),
        ("sentinel1", "VV", "vv"),
        ("", "B2", "b2"),
        ("", "", ""),
    ],
)
def test_a_number_means_what_the_sensor_says(sensor, name, color):
    assert band_key(name, sensor) == color


def test_bands_are_found_by_color_and_by_number():
    found = match_bands(("red", "GREEN", "B02", "nir", "ndvi", ""), SENTINEL2, "sentinel2")
    assert found == (3, 2, 1, 7, None, None)


def test_the_same_number_is_another_color_of_another_sensor():
    assert match_bands(("blue",), SENTINEL2, "sentinel2") == (1,)
    assert match_bands(("blue",), LANDSAT_TM, "landsat_tm") == (0,)


def test_bands_without_names_are_not_found():
    assert match_bands(("", ""), ("", ""), "sentinel2") == (None, None)


def test_every_band_of_sentinel2_is_itself():
    assert match_bands(SENTINEL2, SENTINEL2, "sentinel2") == tuple(range(13))


def test_wavelengths_rise_with_the_numbers_of_sentinel2():
    found = wavelengths(SENTINEL2)
    assert None not in found
    assert list(found) == sorted(found)
    assert wavelengths(("red", "elevation")) == (0.665, None)
