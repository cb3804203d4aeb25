import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine
from scipy import ndimage
from shapely import affinity

from geoseg.geo import regularizing
from geoseg.geo.regularizing import LEAST_IOU, regularize
from geoseg.geo.regularizing_overlap import shared_area

PIXEL = 0.5


def footprint(rng):
    """A building of 7 to 45 metres: a box, an L, a T, or one with a court."""
    width, height = rng.uniform(7, 25, 2)
    kind = rng.integers(4)
    if kind == 0:
        return shapely.box(0, 0, width, height)
    wide, high = width + 10, height + 10
    if kind == 1:
        return shapely.box(0, 0, wide, high * 0.45) | shapely.box(0, 0, wide * 0.5, high)
    if kind == 2:
        return shapely.box(0, 0, wide, high / 2) | shapely.box(wide * 0.3, 0, wide * 0.6, high)
    court = shapely.box(wide * 0.35, high * 0.35, wide * 0.65, high * 0.65)
    return shapely.box(0, 0, wide, high) - court


def traced(shape, rng, spoilt):
    """The outline of a shape as a map of pixels shows it, its edge spoilt by smooth noise."""
    x0, y0, x1, y1 = shape.bounds
    size = int((y1 - y0) / PIXEL) + 12, int((x1 - x0) / PIXEL) + 12
    transform = Affine(PIXEL, 0, x0 - 5 * PIXEL, 0, -PIXEL, y1 + 5 * PIXEL)
    mask = rasterio.features.rasterize([shape], size, transform=transform).astype(float)
    errors = ndimage.gaussian_filter(rng.normal(size=size), 1.2) * spoilt
    if spoilt:
        mask = ndimage.gaussian_filter(mask, 1) + errors
    mask = (mask > 0.5).astype(np.uint8)
    found = rasterio.features.shapes(mask, mask == 1, transform=transform)
    largest = max((shapely.geometry.shape(f) for f, _ in found), key=lambda s: s.area)
    # Specks inside are another option's business: what is tested here are walls.
    courts = [ring for ring in largest.interiors if shapely.Polygon(ring).area > 5]
    return shapely.Polygon(largest.exterior, courts)


def row_of(shapes):
    """Shapes side by side, so far apart that none meets another."""
    return np.array([affinity.translate(s, 1000 * i, 5e6) for i, s in enumerate(shapes)])


def iou(some, others):
    shared = shapely.area(shapely.intersection(some, others))
    return shared / (shapely.area(some) + shapely.area(others) - shared)


def walls(polygon):
    """Directions (degrees) and lengths of all sides."""
    rings = [polygon.exterior, *polygon.interiors]
    steps = np.concatenate([np.diff(np.asarray(ring.coords), axis=0) for ring in rings])
    return np.degrees(np.arctan2(steps[:, 1], steps[:, 0])), np.hypot(*steps.T)


def angles(polygon):
    """Degrees by which each corner differs from a right angle."""
    off = []
    for ring in (polygon.exterior, *polygon.interiors):
        steps = np.diff(np.asarray(ring.coords), axis=0)
        steps = np.concatenate([steps, steps[:1]])
        turned = np.degrees(np.arctan2(steps[:, 1], steps[:, 0]))
        off.append(np.abs(np.diff(turned)) % 180 - 90)
    return np.concatenate(off)


@pytest.mark.parametrize("direction", [None, 0, 30, 45])
@pytest.mark.parametrize(("spoilt", "off"), [(0, 1), (0.5, 1.2), (1, 3)])
def test_buildings_get_their_shape_back(direction, spoilt, off):
    rng = np.random.default_rng(1)
    turns = rng.uniform(-45, 45, 60) if direction is None else np.full(60, direction)
    true = [affinity.rotate(footprint(rng).simplify(0), turn) for turn in turns]
    raw, true = row_of([traced(shape, rng, spoilt) for shape in true]), row_of(true)
    found = regularize(raw, PIXEL)
    changed = ~shapely.equals_exact(found, raw, 0)
    assert changed.mean() > 0.97
    assert shapely.is_valid(found).all()
    assert max(np.abs(angles(polygon)).max() for polygon in found[changed]) < 1e-6
    errors = [
        np.abs((walls(polygon)[0] - turn + 45) % 90 - 45).max()
        for polygon, turn in zip(found[changed], turns[changed], strict=True)
    ]
    assert np.quantile(errors, 0.9) < off and np.median(errors) < off / 2
    assert iou(true, found).mean() > iou(true, raw).mean() - 1e-9
    assert (iou(true, found) - iou(true, raw)).min() > -0.03
    assert iou(raw, found).min() >= LEAST_IOU
    same = shapely.get_num_coordinates(found) == shapely.get_num_coordinates(true)
    assert same.mean() > 0.8


def blobs(seed, size=260, width=2.5):
    """Outlines without any building in them, on a ground of pixels."""
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(size, size)), width) > 0.05
    shapes = rasterio.features.shapes(mask.astype(np.uint8), mask)
    return np.array([shapely.geometry.shape(found) for found, _ in shapes])


def overlapping(polygons):
    tree = shapely.STRtree(polygons)
    one, other = tree.query(polygons, predicate="intersects")
    one, other = one[one < other], other[one < other]
    return shapely.area(shapely.intersection(polygons[one], polygons[other])).max(initial=0)


@pytest.mark.parametrize("seed", range(3))
def test_outlines_of_anything_stay_valid_and_apart(seed):
    raw = blobs(seed)
    found = regularize(raw)
    changed = ~shapely.equals_exact(found, raw, 0)
    assert 0.02 < changed.mean() < 1
    assert shapely.is_valid(found).all() and not shapely.is_empty(found).any()
    assert iou(raw, found).min() >= LEAST_IOU
    assert overlapping(found) < 1e-6
    assert max(np.abs(angles(polygon)).max() for polygon in found[changed]) < 1e-6


def test_neither_order_nor_far_neighbours_change_an_outline():
    raw = blobs(5, size=150)
    found = regularize(raw)
    order = np.random.default_rng(0).permutation(len(raw))
    assert shapely.equals_exact(regularize(raw[order]), found[order], 0).all()
    near = shapely.intersects(raw, shapely.box(0, 0, 70, 70))
    around = shapely.intersects(raw, shapely.box(0, 0, 150, 150))
    part = regularize(raw[around])
    assert shapely.equals_exact(part[near[around]], found[near], 0).all()


def test_touching_buildings_do_not_overlap():
    """Side by side, but each turned by another angle."""
    mask = np.zeros((120, 120), np.uint8)
    for value, turn in enumerate([7, -9, 12, 0], start=1):
        x, y = 20 + 25 * (value % 2), 20 + 25 * (value // 3)
        house = affinity.rotate(shapely.box(x, y, x + 27, y + 27), turn)
        rasterio.features.rasterize([(house, value)], out=mask)
    found = rasterio.features.shapes(mask, mask > 0)
    raw = np.array([shapely.geometry.shape(shape) for shape, _ in found])
    assert len(raw) >= 4 and overlapping(raw) == 0
    alone = np.concatenate([regularize(raw[[place]]) for place in range(len(raw))])
    assert overlapping(alone) > 1
    together = regularize(raw)
    assert overlapping(together) < 1e-6
    is_raw = shapely.equals_exact(together, raw, 0)
    assert (is_raw | shapely.equals_exact(together, alone, 0)).all()


def test_of_two_that_overlap_when_rebuilt_the_better_one_is_taken(monkeypatch):
    """Slim points that face each other: either outline may grow into the gap, but not both."""
    pair = np.array([shapely.box(0, 0, 10, 10), shapely.box(12, 0, 22, 9)])
    grown = np.array([shapely.box(0, 0, 11.3, 10), shapely.box(10.9, 0, 22, 9)])
    ious = iou(pair, grown)
    monkeypatch.setattr(regularizing, "_closest", lambda *_: (grown, ious))
    assert ious[1] > ious[0]
    found = regularize(pair)
    assert found[0].equals(pair[0]) and found[1].equals(grown[1])


@pytest.mark.parametrize("radius", [3, 5, 8, 13, 20, 60])
def test_round_things_stay_round(radius):
    rows, cols = np.mgrid[: 3 * radius, : 3 * radius]
    mask = (np.hypot(rows - 1.4 * radius, cols - 1.5 * radius) < radius).astype(np.uint8)
    raw = np.array(
        [shapely.geometry.shape(s) for s, _ in rasterio.features.shapes(mask, mask == 1)]
    )
    assert shapely.equals_exact(regularize(raw), raw, 0).all()


def test_units_and_place_do_not_matter():
    rng = np.random.default_rng(3)
    raw = row_of([traced(affinity.rotate(footprint(rng), 20), rng, 0.5) for _ in range(5)])
    found = regularize(raw, PIXEL)
    moved = shapely.transform(raw, lambda coords: (coords - (0, 5e6)) * 8)
    back = shapely.transform(regularize(moved, 8 * PIXEL), lambda c: c / 8 + (0, 5e6))
    assert shapely.hausdorff_distance(back, found).max() < 1e-6


def test_parts_of_multipolygons_are_handled_one_by_one():
    rng = np.random.default_rng(4)
    raw = row_of([traced(affinity.rotate(footprint(rng), 20), rng, 0.5) for _ in range(4)])
    mixed = np.array([raw[0], shapely.MultiPolygon(list(raw[1:3])), raw[3]])
    found, single = regularize(mixed, PIXEL), regularize(raw, PIXEL)
    assert [shape.geom_type for shape in found] == ["Polygon", "MultiPolygon", "Polygon"]
    assert shapely.equals_exact(shapely.get_parts(found), single, 0).all()


def test_no_outlines():
    assert len(regularize(np.empty(0, object))) == 0


def test_a_single_pixel():
    raw = np.array([shapely.box(3, 4, 4, 5)])
    assert regularize(raw)[0].equals(raw[0])


@pytest.mark.parametrize("seed", range(20))
def test_shared_areas_are_those_of_geos(seed):
    rng = np.random.default_rng(seed)
    some = shapely.box(0, 0, 9, 7) - shapely.box(2, 2, 5, 4)
    some = affinity.rotate(some, rng.uniform(0, 360) if seed else 0)
    points = shapely.multipoints(rng.uniform(-8, 16, (12, 2)))
    others = shapely.concave_hull(points, 0.2) if seed else shapely.box(1, 1, 4, 9)
    rings = []
    for polygon in (some, others):
        _, coords, (starts, _) = shapely.to_ragged_array([shapely.orient_polygons(polygon)])
        rings += [coords, starts]
    expected = shapely.area(shapely.intersection(some, others))
    assert shared_area(*rings) == pytest.approx(expected, abs=1e-9)
    turned = [rings[0], rings[1], rings[2][::-1].copy(), rings[3]]
    assert shared_area(*turned) == pytest.approx(expected, abs=1e-9)


def test_rings_that_would_cross_are_left_alone(monkeypatch):
    """Detail finer than pixels makes walls of single steps, and these cross in thin places."""
    monkeypatch.setattr(regularizing, "ATTEMPTS", ((0.1, 0.1, -5.0),))
    raw = blobs(8)
    found = regularize(raw)
    assert shapely.is_valid(found).all() and overlapping(found) < 1e-6


def test_no_outline_is_led_far_off():
    """A square of 1200 pixels on its corner, cut off: its walls would meet 265 pixels off."""
    rows, cols = np.indices((1500, 1750)) - 872
    diamond = (abs(rows + 20) + abs(cols) < 849) & (rows < 500)
    found = rasterio.features.shapes(diamond.astype(np.uint8), diamond)
    outline = max((shapely.geometry.shape(shape) for shape, _ in found), key=lambda s: s.area)
    rebuilt = regularize(np.array([outline]))[0]
    off = np.abs(np.array(rebuilt.bounds) - outline.bounds).max()
    assert off <= regularizing.FURTHEST
