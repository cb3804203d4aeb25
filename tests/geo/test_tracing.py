"""The tracer against scipy, GDAL's burning and GEOS, and its independence of the blocks."""

from dataclasses import fields as fields_of

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio import features
from scipy import ndimage
from strategies import class_maps

from geoseg.geo import tracing_pools
from geoseg.geo.arc_refining import ArcRefining
from geoseg.geo.class_rows import ArrayRows
from geoseg.geo.grid import Grid
from geoseg.geo.polygon_batch import PolygonBatch
from geoseg.geo.tracing import trace_polygons

NODATA = 9
MAPS = class_maps()
WITH_NODATA = class_maps((0, 1, NODATA))
CHECKERS = np.add.outer(np.arange(6), np.arange(7)) % 2
NESTED = np.minimum.outer(
    np.minimum(np.arange(9), np.arange(9)[::-1]), np.minimum(np.arange(9), np.arange(9)[::-1])
)
SPIRAL = np.array(
    [
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 1, 0, 1],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ]
)
PINCHED = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 1]])
for_maps = settings(deadline=None, max_examples=60)


def grid_of(values):
    return Grid(
        height=values.shape[0], width=values.shape[1], transform=Affine.identity(), crs=None
    )


def trace(values, rows=None, **options):
    """All polygons as one batch; None where there are none."""
    options.setdefault("row_areas", np.ones(len(values)))
    batches = list(trace_polygons(ArrayRows(values, rows), **options))
    assert all(len(batch) for batch in batches)
    return PolygonBatch.concatenate(batches) if batches else None


def polygons(values, **options):
    batch = trace(values, **options)
    return batch, batch.geometries(grid_of(values))


def burned(batch, geometries, shape):
    pairs = list(zip(geometries, batch.class_ids, strict=True))
    return features.rasterize(pairs, shape, fill=NODATA, dtype="int32")


def count_regions(values, structure=None):
    return sum(ndimage.label(values == value, structure)[1] for value in np.unique(values))


def assert_same(one, other):
    assert (one is None) == (other is None)
    for field in fields_of(PolygonBatch) if one is not None else ():
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@for_maps
@given(MAPS)
@example(CHECKERS)
@example(NESTED)
@example(SPIRAL)
@example(PINCHED)
@example(np.zeros((1, 1), np.uint8))
def test_polygons_are_the_regions(values):
    batch, geometries = polygons(values)
    assert len(batch) == count_regions(values)
    assert (burned(batch, geometries, values.shape) == values).all()
    assert (shapely.area(geometries) == batch.pixels).all()
    assert (batch.areas == batch.pixels).all()


@for_maps
@given(MAPS)
@example(CHECKERS)
@example(NESTED)
@example(SPIRAL)
@example(PINCHED)
@example(PINCHED[::-1])
def test_polygons_are_valid_and_a_coverage(values):
    _, geometries = polygons(values)
    assert shapely.is_valid(geometries).all()
    assert shapely.coverage_is_valid(geometries)
    assert shapely.is_ccw(shapely.get_exterior_ring(shapely.transform(geometries, _flip))).all()


def _flip(coords):
    return coords * [1, -1]


@for_maps
@given(MAPS)
@example(CHECKERS)
@example(PINCHED)
def test_vertices_stand_at_turns_and_where_three_regions_meet_only(values):
    batch, _ = polygons(values)
    around = np.pad(values.astype(int), 1, constant_values=-1)
    numbers = np.arange(around.size).reshape(around.shape)
    for cols, rows in np.unique(batch.coords, axis=0).astype(int):
        square = around[rows : rows + 2, cols : cols + 2]
        (a, b), (c, d) = square
        borders = [a != b, c != d, a != c, b != d]
        assert borders not in ([True, True, False, False], [False, False, True, True])
        assert numbers[rows, cols] >= 0
        assert any(borders)


@for_maps
@given(MAPS)
@example(CHECKERS)
@example(PINCHED)
def test_corners_join_parts_where_asked(values):
    batch, geometries = polygons(values, connectivity=8)
    assert len(batch) == count_regions(values, np.ones((3, 3)))
    assert shapely.is_valid(geometries).all()
    assert shapely.coverage_is_valid(geometries)
    assert (burned(batch, geometries, values.shape) == values).all()
    assert (shapely.area(geometries) == batch.pixels).all()
    assert (shapely.get_num_geometries(geometries) == np.diff(batch.offsets)).all()


@for_maps
@given(WITH_NODATA, st.sampled_from([4, 8]))
def test_nodata_becomes_no_polygon(values, connectivity):
    batch = trace(values, nodata=NODATA, connectivity=connectivity)
    if batch is None:
        assert (values == NODATA).all()
        return
    geometries = batch.geometries(grid_of(values))
    assert (burned(batch, geometries, values.shape) == values).all()
    assert NODATA not in batch.class_ids
    assert shapely.coverage_is_valid(geometries)


@for_maps
@given(WITH_NODATA, st.sampled_from([4, 8]))
def test_blocks_change_nothing(values, connectivity):
    options = {
        "connectivity": connectivity,
        "nodata": NODATA,
        "row_areas": np.linspace(1, 2, len(values)),
        "refine": ArcRefining(tolerance=1.5),
        "fields": _fields,
    }
    whole = trace(values, **options)
    for rows in range(1, len(values)):
        assert_same(trace(values, rows, **options), whole)


def _fields(row, values):
    """Something of the place, and something that is not everywhere."""
    rows, cols = np.indices(values.shape)
    wave = np.sin((rows + row) * 3 + cols)
    return np.stack([wave, np.where(wave > 0, wave * 7, np.nan)]).astype(np.float32)


@for_maps
@given(MAPS, st.sampled_from([4, 8]))
def test_polygons_come_by_last_row_and_first_pixel(values, connectivity):
    batch, geometries = polygons(values, connectivity=connectivity)
    lasts = shapely.bounds(geometries)[:, 3]
    shells = np.split(batch.coords, batch.ring_offsets[1:-1])
    tops = [
        min(
            tuple(vertex[::-1])
            for polygon in range(batch.offsets[n], batch.offsets[n + 1])
            for vertex in shells[batch.polygon_offsets[polygon]]
        )
        for n in range(len(batch))
    ]
    keys = list(zip(lasts, tops, strict=True))
    assert keys == sorted(keys)


@for_maps
@given(MAPS, st.sets(st.integers(0, 3)))
def test_values_left_out_change_no_border(values, keep):
    every = trace(values)
    some = trace(values, keep=keep)
    if some is None:
        assert not np.isin(values, list(keep)).any()
        return
    kept = np.isin(every.class_ids, list(keep))
    one, other = every.geometries(grid_of(values))[kept], some.geometries(grid_of(values))
    assert (some.class_ids == every.class_ids[kept]).all()
    assert shapely.equals_exact(shapely.normalize(one), shapely.normalize(other)).all()


@for_maps
@given(MAPS)
def test_sums_are_those_of_the_pixels(values):
    row_areas = np.linspace(1, 3, len(values))
    batch, geometries = polygons(values, row_areas=row_areas, fields=_fields)
    found = _fields(0, values)
    for place, geometry in enumerate(geometries):
        inside = features.rasterize([(geometry, 1)], values.shape).astype(bool)
        areas = np.broadcast_to(row_areas[:, None], values.shape)[inside]
        assert batch.areas[place] == pytest.approx(areas.sum())
        for mean, field in zip(batch.field_means[:, place], found, strict=True):
            known = field[inside][~np.isnan(field[inside])]
            expected = known.mean() if len(known) else np.nan
            assert mean == pytest.approx(expected, rel=1e-5, abs=1e-7, nan_ok=True)


class Watching:
    """Hands arcs back as they came, or with a vertex in every side, and looks at them."""

    def __init__(self, values, *, halves=False):
        self.values, self.halves, self.arcs = values, halves, []

    def refine(self, coords, offsets, closed, fixed, corners):
        cols, rows = coords.astype(int).T
        assert (corners.bits[rows - corners.first_row, cols // 8] >> cols % 8 & 1).all()
        assert not fixed.any()
        arcs = np.split(coords, offsets[1:-1])
        for arc, is_closed in zip(arcs, closed, strict=True):
            turns = np.abs(np.diff(np.sign(np.diff(arc, axis=0)), axis=0)).sum(axis=1)
            assert (turns == 2).all()
            if is_closed:
                assert (arc[0] == arc[-1]).all()
                assert arc[0].tolist() == min(arc.tolist(), key=lambda vertex: vertex[::-1])
        self.arcs.extend(arcs)
        if not self.halves:
            return coords, offsets
        more = [np.repeat(arc, 2, axis=0)[:-1] for arc in arcs]
        for arc in more:
            arc[1::2] = (arc[:-1:2] + arc[2::2]) / 2
        return np.concatenate(more), np.concatenate([[0], np.cumsum([len(arc) for arc in more])])


@for_maps
@given(MAPS)
@example(NESTED)
@example(SPIRAL)
def test_each_border_inside_is_refined_once(values):
    watching = Watching(values)
    batch = trace(values, refine=watching)
    assert batch.is_refined
    for field in ("coords", "ring_offsets", "polygon_offsets", "class_ids"):
        np.testing.assert_array_equal(getattr(batch, field), getattr(trace(values), field))
    length = sum(np.abs(np.diff(arc, axis=0)).sum() for arc in watching.arcs)
    assert length == (values[1:] != values[:-1]).sum() + (values[:, 1:] != values[:, :-1]).sum()


@for_maps
@given(MAPS)
def test_refined_borders_are_those_of_both_sides(values):
    _, plain = polygons(values)
    batch, geometries = polygons(values, refine=Watching(values, halves=True))
    assert shapely.equals(plain, geometries).all()
    assert shapely.coverage_is_valid(geometries)
    assert len(batch.coords) >= shapely.get_num_coordinates(plain).sum()


def noise(height, width=12, classes=3):
    return np.random.default_rng(1).integers(0, classes, (height, width)).astype(np.uint8)


@pytest.mark.parametrize("connectivity", [4, 8])
def test_emptying_the_pools_in_between_changes_nothing(connectivity, monkeypatch):
    values = noise(300)
    options = {"connectivity": connectivity, "refine": ArcRefining(tolerance=1.0)}
    whole = trace(values, **options)
    monkeypatch.setattr(tracing_pools, "_FEWEST", 1)
    batches = list(trace_polygons(ArrayRows(values, 7), row_areas=np.ones(300), **options))
    assert len(batches) > 3
    assert_same(PolygonBatch.concatenate(batches), whole)


def test_memory_does_not_grow_with_height(monkeypatch):
    monkeypatch.setattr(tracing_pools, "_FEWEST", 1)
    pools = []

    def with_room(*args, **options):
        pools.append(tracing_pools.with_room(*args, **options))
        return pools[-1]

    monkeypatch.setattr("geoseg.geo.tracing.with_room", with_room)
    batch = trace(noise(5000, classes=6), 50, refine=ArcRefining(tolerance=1.0))
    assert len(batch) > 30_000
    assert len(pools[-1].regions) < 200
    assert len(pools[-1].arcs) < 1000
    assert len(pools[-1].vertices) < 2000
    assert len(pools[-1].corners.bits) < 1000


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint32", "int64"])
def test_every_integer_type(dtype):
    assert trace(np.array([[1, 2]], dtype)).class_ids.tolist() == [1, 2]


def test_negative_classes_and_nodata():
    assert trace(np.array([[-1, -9999, 2]]), nodata=-9999).class_ids.tolist() == [-1, 2]
