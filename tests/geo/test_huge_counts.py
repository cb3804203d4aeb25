"""Rows, regions, corners and pixels whose numbers pass 2^31, without a raster of that size.

What is handed over begins far down a scene, or was counted many times: the answers are those of
the same pixels at its top, or of those that were counted once.
"""

import numpy as np
import pytest
from affine import Affine
from rasterio.crs import CRS

from geoseg.geo.arc_refining import ArcRefining
from geoseg.geo.calibration import CalibrationCounts
from geoseg.geo.class_rows import ArrayRows
from geoseg.geo.confusion import scores
from geoseg.geo.generalising import fill_holes, merge_small
from geoseg.geo.grid import Grid
from geoseg.geo.polygon_batch import PolygonBatch
from geoseg.geo.region_stream import GIVEN, RegionStream
from geoseg.geo.sample_design import allocate, draw
from geoseg.geo.stats import BandStatsAccumulator
from geoseg.geo.tracing import trace_polygons

LIMIT = 1 << 31
WIDTH, HEIGHT = 3000, 24
TOP = LIMIT // WIDTH - HEIGHT // 2
"""Pixel 2^31 of the scene lies in the middle of the rows."""
NODATA = 9


class LowRows(ArrayRows):
    """Rows that are the last ones of a high scene, those above them left out."""

    def __init__(self, values, top):
        super().__init__(values, rows=7)
        self._top = top

    @property
    def shape(self):
        height, width = super().shape
        return self._top + height, width

    def blocks(self):
        for top, values in super().blocks():
            yield self._top + top, values


@pytest.fixture
def values():
    """Specks on the left and on the right, where columns are as large as they get."""
    values = np.full((HEIGHT, WIDTH), NODATA, np.uint8)
    specks = np.random.default_rng(0).integers(0, 4, (HEIGHT, 80))
    values[:, :40], values[:, -40:] = specks[:, :40], specks[:, 40:]
    return values


def grid_of(rows):
    height, width = rows.shape
    place = Affine(1, 0, 4e5, 0, -1, 5e6)
    return Grid(height=height, width=width, transform=place, crs=CRS.from_epsg(32632))


@pytest.mark.parametrize(
    "options",
    [{"connectivity": 4}, {"connectivity": 8}, {"refine": ArcRefining(tolerance=1.0)}],
    ids=["sides", "corners", "refined"],
)
def test_outlines_are_those_further_up(values, options):
    # Here the area under one long line is beyond 2^31, and numbers of 32 bits would be negative.
    values[HEIGHT // 2, 40:-40], top = 5, TOP * 5 // 4
    batches = [
        PolygonBatch.concatenate(
            list(
                trace_polygons(
                    rows,
                    nodata=NODATA,
                    row_areas=np.ones(rows.shape[0]),
                    **options,
                )
            )
        )
        for rows in (ArrayRows(values), LowRows(values, top))
    ]
    high, low = batches
    assert len(high) > 100
    assert np.array_equal(low.coords, np.add(high.coords, (0, top)))
    for name in ("class_ids", "pixels", "areas", "ring_offsets", "polygon_offsets", "offsets"):
        assert np.array_equal(getattr(low, name), getattr(high, name)), name


@pytest.mark.parametrize("generalise", [merge_small, fill_holes])
def test_generalising_is_that_further_up(values, generalise):
    high, low = (
        np.concatenate(
            [block for _, block in generalise(rows, grid_of(rows), 6.0, NODATA).blocks()]
        )
        for rows in (ArrayRows(values), LowRows(values, TOP))
    )
    assert not np.array_equal(high, values)
    assert np.array_equal(low, high)


def test_regions_are_numbered_beyond(values):
    streams = [RegionStream(WIDTH) for _ in range(2)]
    numbers = [streams[0].push(values)]
    streams[1]._slots.counts[GIVEN] = skipped = LIMIT - 30
    numbers.append(streams[1].push(values))
    assert streams[1].count == streams[0].count + skipped > LIMIT
    for first, second in (
        numbers,
        [stream.merged for stream in streams],
        [stream.ended for stream in streams],
        [stream.find(each) for stream, each in zip(streams, numbers, strict=True)],
        [stream.finish() for stream in streams],
    ):
        assert len(first)
        assert np.array_equal(second, first + skipped)


def test_points_are_drawn_from_more_pixels():
    counts = np.array([[5 << 30, 3], [7 << 30, 0]])
    pixels = counts.sum(axis=0)
    assert allocate(pixels * 0.25, pixels, 4000, 3).tolist() == [3997, 3]
    picks = draw(counts, np.array([1.0, 1.0]), np.array([3997, 3]), 0)
    places = counts[picks.rows, picks.classes]
    assert (picks.ordinals >= 0).all()
    assert (picks.ordinals < places).all()
    large = places > 3
    # Five and seven parts of the pixels lie in the rows; four standard deviations are allowed.
    assert abs((picks.rows[large] == 1).mean() - 7 / 12) < 4 * (35 / 144 / 3997) ** 0.5
    shares = picks.ordinals[large] / places[large]
    assert abs(shares.mean() - 0.5) < 4 * (1 / 12 / 3997) ** 0.5


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_statistics_of_more_pixels_are_those_of_each_part(dtype):
    data = np.random.default_rng(0).integers(60_000, 60_003, (1, 64, 64)).astype(dtype)
    total = BandStatsAccumulator(1, dtype)
    total.update(data, np.ones((64, 64), bool))
    once = total.result()
    for _ in range(21):
        total.merge(total)
    many = total.result()
    assert many.count == (64 * 64 << 21,)
    for name in ("mean", "std", "min", "max", "p2", "p98"):
        assert getattr(many, name) == pytest.approx(getattr(once, name), rel=1e-12)


def test_scores_of_more_pixels_are_those_of_each_part():
    matrix = np.random.default_rng(0).integers(0, 1000, (4, 4))
    names = ["a", "b", "c", "d"]
    once, many = scores(matrix, names), scores(matrix << 31, names)
    for key in ("pixel_accuracy", "mean_iou", "fw_iou", "kappa"):
        assert many[key] == pytest.approx(once[key], rel=1e-12)
    assert [one["reference_pixels"] << 31 for one in once["classes"]] == [
        one["reference_pixels"] for one in many["classes"]
    ]


def test_calibration_of_more_pixels_is_that_of_each_part():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1.0, 1, 1], 500).T.astype(np.float32)
    counts = CalibrationCounts.of(shares, rng.integers(0, 3, 500).astype(np.uint8), 1e-3)
    names = ["a", "b", "c"]
    once = counts.scores(names)
    for _ in range(24):
        counts = counts + counts
    many = counts.scores(names)
    assert many["pixels"] == 500 << 24
    for key in ("expected_calibration_error", "brier", "negative_log_likelihood", "accuracy"):
        assert many[key] == pytest.approx(once[key], rel=1e-12)
