"""Values counted, against NumPy's sorting."""

import numpy as np
import pytest
import rasterio

from geoseg.geo.values import count_raster_values, count_values, look_up

TYPES = ("uint8", "uint16", "int16", "int32", "uint32", "int64")


def sorted_counts(values):
    found, counts = np.unique(values, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("dtype", TYPES)
def test_counts_are_those_of_sorted_values(dtype):
    rng = np.random.default_rng(0)
    limits = np.iinfo(dtype)
    for low, high in ((0, 5), (max(limits.min, -70000), min(limits.max, 70000))):
        values = rng.integers(low, high, (60, 71), dtype=dtype, endpoint=True)
        valid = rng.random(values.shape) < 0.5
        for seen in (values, values[:0], values[::2, ::3], values.T):
            assert count_values(seen) == sorted_counts(seen)
        assert count_values(values, valid) == sorted_counts(values[valid])
        assert count_values(values.T, valid.T) == sorted_counts(values[valid])
        assert list(count_values(values)) == sorted(count_values(values))
        assert count_values(values, np.zeros(values.shape, bool)) == {}


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 32}])
@pytest.mark.parametrize("pixels", [10, 7000, 1 << 22])
def test_rasters_are_counted_whole_whatever_is_read_at_a_time(
    layout, pixels, tmp_path, monkeypatch
):
    monkeypatch.setattr("geoseg.geo.values._PIXELS", pixels)
    values = np.random.default_rng(1).integers(0, 9, (150, 100)).astype(np.uint8)
    shape = {"height": 150, "width": 100, "count": 1, "dtype": "uint8", "nodata": 3}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **shape, **layout) as dataset:
        dataset.write(values, 1)
    assert count_raster_values(tmp_path / "a.tif") == sorted_counts(values[values != 3])


@pytest.mark.parametrize("values", ["uint8", "uint16"])
@pytest.mark.parametrize("entries", ["bool", "uint8", "int8", "uint16"])
def test_what_is_looked_up_is_what_stands_in_the_table(values, entries):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 2 if entries == "bool" else 127, 1 << 16).astype(entries)
    places = rng.integers(0, np.iinfo(values).max, (6, 7, 8), dtype=values, endpoint=True)
    for seen in (
        places,
        places[0],
        places[:, ::2, 1:],
        places.T,
        places[:0],
        places[0, 0, 0, None],
    ):
        found = look_up(table, seen)
        assert found.dtype == table.dtype
        np.testing.assert_array_equal(found, table[seen])
        found[...] = 0  # belongs to whoever asked
    np.testing.assert_array_equal(look_up(table, places), table[places])
