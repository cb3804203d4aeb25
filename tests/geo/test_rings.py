"""Traced outlines against drawings and rasterio."""

import numpy as np
import pytest
import shapely
from rasterio import features

from geoseg.geo.regions import label_regions
from geoseg.geo.rings import shell_contacts, trace_rings


def _labels(values: list[list[int]]) -> np.ndarray:
    return label_regions(np.array(values), np.ones(len(values))).labels


def _polygons(values: list[list[int]]) -> np.ndarray:
    return trace_rings(_labels(values)).polygons()


def test_one_pixel_is_a_square():
    (square,) = _polygons([[3]])
    assert square.normalize() == shapely.box(0, 0, 1, 1).normalize()


def test_straight_borders_have_no_vertices_but_junctions():
    top, left, right = _polygons([[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 3, 3]])
    assert shapely.get_num_coordinates(top) == 4 + 1 + 1  # corners, the junction, the closing one
    assert (2, 2) in top.exterior.coords
    assert shapely.get_num_coordinates(left) == shapely.get_num_coordinates(right) == 5


def test_a_hole_that_touches_the_shell_at_a_corner_is_a_hole():
    around, hole, *_ = _polygons([[1, 1, 1, 1], [1, 2, 1, 1], [1, 1, 3, 3], [1, 1, 3, 3]])
    assert len(around.interiors) == 1
    assert around.area == 16 - 1 - 4
    assert around.is_valid
    assert hole.area == 1


def test_regions_that_meet_at_a_corner_stay_apart():
    polygons = _polygons([[1, 2], [2, 1]])
    assert len(polygons) == 4
    assert shapely.coverage_is_valid(polygons)


def test_shells_run_anticlockwise_on_the_screen():
    rings = trace_rings(_labels([[1, 1, 1], [1, 2, 1], [1, 1, 1]]))
    flipped = [shapely.affinity.scale(p, 1, -1, origin=(0, 0)) for p in rings.polygons()]
    assert all(shapely.is_ccw(p.exterior) for p in flipped)
    assert not shapely.is_ccw(flipped[0].interiors[0])
    assert rings.areas.tolist() == [9, -1, 1]
    assert rings.labels.tolist() == [1, 1, 2]


def test_contacts_tell_who_lies_around_whom():
    # 1 holds 2 and 3, which touch each other; 3 holds 4.
    labels = _labels(
        [
            [1, 1, 1, 1, 1, 1],
            [1, 2, 3, 3, 3, 1],
            [1, 2, 3, 4, 3, 1],
            [1, 2, 3, 3, 3, 1],
            [1, 1, 1, 1, 1, 1],
        ]
    )
    contacts = {tuple(pair) for pair in shell_contacts(labels).tolist()}
    assert contacts == {(1, 0), (2, 1), (3, 1), (2, 3), (3, 2), (4, 3)}


@pytest.mark.parametrize("classes", [2, 3, 6])
def test_outlines_cover_the_pixels_that_rasterio_burns(classes: int):
    rng = np.random.default_rng(classes)
    for _ in range(60):
        values = rng.integers(0, classes, rng.integers(1, 15, 2))
        labels = _labels(values.tolist())
        polygons = trace_rings(labels).polygons()
        assert shapely.is_valid(polygons).all()
        assert shapely.coverage_is_valid(polygons)
        burned = features.rasterize(
            list(zip(polygons, range(1, len(polygons) + 1), strict=True)), labels.shape
        )
        assert (burned == labels).all()
