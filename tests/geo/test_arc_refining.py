import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from naive_borders import find_borders
from scipy import ndimage

from geoseg.geo.arc_refining import ArcRefining
from geoseg.geo.arc_refining_guard import Corners, Triangle, holds_vertex


def noise(rng, height, width):
    return rng.integers(0, 3, (height, width))


def blobs(rng, height, width):
    fields = [ndimage.gaussian_filter(rng.normal(size=(height, width)), 2) for _ in range(4)]
    return np.argmax(fields, axis=0)


def lines(rng, height, width):
    rows, cols = np.mgrid[:height, :width]
    down, across = rng.integers(1, 4, 2)
    return ((rows * down + cols * across) % rng.integers(3, 9) < 1) | (
        rng.random((height, width)) < 0.03
    )


def stairs(rng, height, width):
    rows, cols = np.mgrid[:height, :width]
    return (rows * rng.integers(1, 4) + cols * rng.integers(1, 4)) // rng.integers(4, 12) % 3


def holes(rng, height, width):
    rows, cols = np.mgrid[:height, :width]
    rings = np.hypot(rows - height / 2, (cols - width / 2) * rng.uniform(0.5, 1)) // 2 % 3
    return np.where(rng.random((height, width)) < 0.03, 3, rings)


def specks(rng, height, width):
    return rng.random((height, width)) < 0.25


MAPS = [noise, blobs, lines, stairs, holes, specks]
TOLERANCES = [0, 0.5, 0.75, 1, 1.5, 2, 4, 30]


def refine(borders, refining):
    corners = Corners(borders.bits(), 0)
    return refining.refine(borders.coords, borders.offsets, borders.closed, borders.fixed, corners)


def check_coverage(borders, coords, offsets):
    polygons = borders.polygons(coords, offsets)
    before = borders.polygons(borders.coords, borders.offsets)
    assert (shapely.get_type_id(polygons) == shapely.GeometryType.POLYGON).all()
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.area(polygons).min() > 0
    assert shapely.area(polygons).sum() == pytest.approx(borders.labels.size, rel=1e-12)
    rings = shapely.get_num_interior_rings
    assert (rings(polygons) == rings(before)).all()
    return polygons


maps = st.builds(
    lambda draw, seed, height, width: draw(np.random.default_rng(seed), height, width),
    st.sampled_from(MAPS),
    st.integers(0, 2**32),
    st.integers(1, 24),
    st.integers(1, 24),
)


@given(maps, st.sampled_from(TOLERANCES), st.integers(0, 3))
def test_any_map_stays_a_coverage(values, tolerance, rounds):
    borders = find_borders(values)
    check_coverage(borders, *refine(borders, ArcRefining(tolerance=tolerance, rounds=rounds)))


@given(maps, st.sampled_from(TOLERANCES[1:]), st.integers(0, 2), st.integers(0, 2**32))
def test_a_border_depends_on_itself_and_on_original_vertices(values, tolerance, rounds, seed):
    borders, rng = find_borders(values), np.random.default_rng(seed)
    refining = ArcRefining(tolerance=tolerance, rounds=rounds)
    bits = borders.bits()
    coords, offsets = refine(borders, refining)
    for number in rng.permutation(len(borders.arcs))[:20]:
        arc = borders.arcs[number]
        backward = rng.random() < 0.5 and not borders.closed[number]
        top, bottom = int(arc[:, 1].min()), int(arc[:, 1].max())
        corners = Corners(bits[top : bottom + 1].copy(), top)
        alone, _ = refining.refine(
            arc[::-1].copy() if backward else arc,
            np.array([0, len(arc)]),
            borders.closed[[number]],
            borders.fixed[[number]],
            corners,
        )
        together = coords[offsets[number] : offsets[number + 1]]
        assert np.array_equal(alone[::-1] if backward else alone, together)
        assert np.array_equal(corners.bits, bits[top : bottom + 1])


@given(maps, st.sampled_from(TOLERANCES), st.integers(0, 2))
def test_ends_and_fixed_borders_stay(values, tolerance, rounds):
    borders = find_borders(values)
    coords, offsets = refine(borders, ArcRefining(tolerance=tolerance, rounds=rounds))
    for number, before in enumerate(borders.arcs):
        after = coords[offsets[number] : offsets[number + 1]]
        if borders.fixed[number]:
            assert np.array_equal(after, before)
        if borders.closed[number]:
            assert np.array_equal(after[0], after[-1]) and len(after) >= 4
        else:
            assert np.array_equal(after[[0, -1]], before[[0, -1]])
        if rounds == 0:
            assert {*map(tuple, after)} <= {*map(tuple, before)}


def large_blobs():
    rng = np.random.default_rng(7)
    fields = [ndimage.gaussian_filter(rng.normal(size=(150, 170)), 6) for _ in range(5)]
    return np.argmax(fields, axis=0)


@pytest.mark.parametrize("tolerance", [1, 1.5, 2])
def test_simplifies_as_geos_does(tolerance):
    borders = find_borders(large_blobs())
    before = borders.polygons(borders.coords, borders.offsets)
    ours = check_coverage(borders, *refine(borders, ArcRefining(tolerance=tolerance)))
    theirs = shapely.coverage_simplify(before, tolerance, simplify_boundary=False)
    count, apart = shapely.get_num_coordinates, shapely.hausdorff_distance
    assert count(ours).sum() < 0.6 * count(before).sum()
    assert count(ours).sum() == pytest.approx(count(theirs).sum(), rel=0.1)
    lines = shapely.boundary(before)
    deviations = apart(lines, shapely.boundary(ours)), apart(lines, shapely.boundary(theirs))
    assert deviations[0].mean() == pytest.approx(deviations[1].mean(), rel=0.15)
    assert deviations[0].max() < deviations[1].max() + 0.75
    shared = [shapely.area(shapely.intersection(before, p)).sum() for p in (ours, theirs)]
    assert shared[0] > 0.99 * shared[1]


@pytest.mark.parametrize(("tolerance", "simpler"), [(1.41, False), (1.42, True)])
def test_the_square_of_the_tolerance_is_the_area_that_may_go(tolerance, simpler):
    """Here each triangle has an area of 2, the square of 1.4142."""
    step = np.array([[0, 0], [4, 0], [4, 1], [8, 1], [8, 2], [12, 2], [12, 3]], float)
    corners = Corners(np.zeros((4, 3), np.uint8), 0)
    found, _ = ArcRefining(tolerance=tolerance).refine(
        step, np.array([0, 7]), np.array([False]), np.array([False]), corners
    )
    assert (len(found) < 7) == simpler
    below = shapely.polygons([*step, (12, 9), (0, 9)])
    above = shapely.polygons([*step, (12, -9), (0, -9)])
    pair = shapely.coverage_simplify([below, above], tolerance, simplify_boundary=False)
    assert (shapely.get_num_coordinates(pair)[0] < 10) == simpler


@pytest.mark.parametrize(
    "rows",
    [
        ["aaaaaa", "abbbca", "abccca", "aaaaaa"],
        ["aaaaaa", "aaxaaa", "axbbbb", "bbbbbb"],
        ["aaaaa", "axxxa", "bbbbb"],
        ["aaaaa", "bxxxb", "bbbbb"],
        ["aaaax", "aaaxx", "aaxxb", "axxbb", "xxbbb", "xbbbb"],
    ],
)
def test_a_region_between_two_nodes_does_not_vanish(rows):
    values = np.array([[ord(letter) for letter in row] for row in rows])
    for turned in (values, values.T, values[::-1], values[:, ::-1]):
        borders = find_borders(turned)
        for rounds in (0, 2):
            refining = ArcRefining(tolerance=100, rounds=rounds)
            check_coverage(borders, *refine(borders, refining))


def test_a_ring_without_a_node_may_leave_its_first_vertex():
    rows, cols = np.mgrid[:40, :40]
    borders = find_borders(np.hypot(rows - 20, cols - 20) < 15)
    coords, offsets = refine(borders, ArcRefining(tolerance=2))
    number = int(np.flatnonzero(borders.closed & ~borders.fixed)[0])
    ring = coords[offsets[number] : offsets[number + 1]]
    area = shapely.area(shapely.polygons(ring))
    assert 5 < len(ring) < 20 and area == pytest.approx(np.pi * 15**2, rel=0.06)
    before = borders.arcs[number]
    assert shapely.is_ccw(shapely.linearrings(ring)) == shapely.is_ccw(shapely.linearrings(before))


@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_smoothing_cuts_corners(rounds):
    borders = find_borders(np.pad(np.ones((4, 4), int), 3))
    coords, offsets = refine(borders, ArcRefining(rounds=rounds))
    number = int(np.flatnonzero(~borders.fixed)[0])
    found = coords[offsets[number] : offsets[number + 1]]
    ring = borders.arcs[number][:-1]
    for _ in range(rounds):  # as in Chaikin's paper
        following = np.roll(ring, -1, axis=0)
        quarters = 0.75 * ring + 0.25 * following, 0.25 * ring + 0.75 * following
        ring = np.stack(quarters, axis=1).reshape(-1, 2)
    assert {*map(tuple, found)} == {*map(tuple, ring)} and len(found) == len(ring) + 1
    assert shapely.polygons(found).is_valid


def test_smoothing_changes_areas_little():
    borders = find_borders(large_blobs())
    simple = check_coverage(borders, *refine(borders, ArcRefining(tolerance=1.5)))
    smooth = check_coverage(borders, *refine(borders, ArcRefining(tolerance=1.5, rounds=3)))
    large = shapely.area(simple) > 100
    change = shapely.area(smooth)[large] / shapely.area(simple)[large] - 1
    assert np.abs(change).max() < 0.05 and np.abs(change).mean() < 0.02


def test_smoothing_turns_by_less():
    borders = find_borders(large_blobs())
    sharpest = []
    for rounds in range(4):
        coords, offsets = refine(borders, ArcRefining(tolerance=1.5, rounds=rounds))
        number = int(np.argmax(np.where(borders.fixed, 0, np.diff(borders.offsets))))
        steps = np.diff(coords[offsets[number] : offsets[number + 1]], axis=0)
        turns = np.diff(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])))
        sharpest.append(np.quantile(np.abs(turns), 0.95))
    assert sharpest == sorted(sharpest, reverse=True) and sharpest[3] < sharpest[0] / 3


def test_no_borders():
    nothing = np.empty(0, bool)
    corners = Corners(np.zeros((1, 1), np.uint8), 0)
    coords, offsets = ArcRefining(tolerance=1).refine(
        np.empty((0, 2)), np.zeros(1, int), nothing, nothing, corners
    )
    assert coords.shape == (0, 2) and offsets.tolist() == [0]


points = st.tuples(st.integers(0, 40), st.integers(0, 40))


@given(points, points, points, points)
def test_triangles_tell_what_lies_inside_them(one, other, third, vertex):
    """Exactly, sides included: by the signs of three areas in whole numbers."""
    point = tuple(value // 2 * 2 for value in vertex)  # on the lattice, in half pixels
    bits = np.zeros((25, 25), np.uint8)
    bits[point[1] // 2, point[0] // 2] = 1
    corners = Corners(np.packbits(bits, axis=1, bitorder="little"), 0)

    def side(a, b):
        return (b[0] - a[0]) * (point[1] - a[1]) - (b[1] - a[1]) * (point[0] - a[0])

    def within(axis):
        return (
            min(one[axis], other[axis], third[axis])
            <= point[axis]
            <= max(one[axis], other[axis], third[axis])
        )

    signs = [side(one, other), side(other, third), side(third, one)]
    inside = (min(signs) >= 0 or max(signs) <= 0) and within(0) and within(1)
    expected = inside and point not in (one, other, third)
    assert holds_vertex(corners, Triangle(*one, *other, *third)) == expected
