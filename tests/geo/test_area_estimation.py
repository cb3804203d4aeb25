"""Areas and accuracies, against the worked example that is printed in the paper, and by lot."""

import numpy as np
import pytest

from geoseg.geo.area_estimation import AreaSample

# Olofsson et al. 2014, section 5: Landsat pixels of 30 m, two classes of change and two without.
NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HECTARES = PIXELS * 0.09


@pytest.fixture
def found():
    return AreaSample(counts=COUNTS, areas=HECTARES).estimate.to_dict(NAMES)


def told(found, key):
    return [(row[key]["value"], row[key]["margin"]) for row in found["classes"]]


def test_areas_are_those_of_the_paper(found):
    printed = [(21158, 6158), (11686, 3756), (285770, 15510), (581386, 16282)]
    assert [(round(a), round(b)) for a, b in told(found, "area")] == printed
    assert found["total_area"] == 900_000


def test_accuracies_are_those_of_the_paper(found):
    users = [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    # The paper prints margins of 0.23 and 0.01 for the second and the last, which its equation 7
    # does not give with its own numbers: see the next test.
    producers = [(0.75, 0.21), (0.85, 0.25), (0.93, 0.03), (0.96, 0.02)]
    assert [(round(a, 2), round(b, 2)) for a, b in told(found, "users_accuracy")] == users
    assert [(round(a, 2), round(b, 2)) for a, b in told(found, "producers_accuracy")] == producers
    overall = found["overall_accuracy"]
    assert (round(overall["value"], 2), round(overall["margin"], 2)) == (0.95, 0.02)


def test_errors_of_producers_accuracy_equal_those_of_card(found):
    """Card 1982 (Photogrammetric Engineering & Remote Sensing 48, 431-439), equation 19."""
    weights, places = PIXELS / PIXELS.sum(), COUNTS.sum(axis=1)
    p = weights[:, None] * COUNTS / places[:, None]
    for j, (value, margin) in enumerate(told(found, "producers_accuracy")):
        total = p[:, j].sum()
        others = sum(p[i, j] * (weights[i] - p[i, j]) / places[i] for i in range(4) if i != j)
        own = (weights[j] - p[j, j]) * (total - p[j, j]) ** 2 / places[j]
        variance = p[j, j] * total**-4 * (p[j, j] * others + own)
        assert value == pytest.approx(p[j, j] / total)
        # Card divides by n where the paper divides by n - 1.
        assert margin == pytest.approx(1.96 * np.sqrt(variance), rel=0.01)


def test_proportions_are_those_of_the_paper(found):
    printed = [
        [0.0176, 0, 0.0013, 0.0011],
        [0, 0.0110, 0.0016, 0.0024],
        [0.0019, 0, 0.2967, 0.0213],
        [0.0040, 0.0020, 0.0179, 0.6212],
    ]
    np.testing.assert_allclose(found["proportions"], printed, atol=5.1e-5)
    assert [round(row["mapped_share"], 3) for row in found["classes"]] == [
        0.020,
        0.015,
        0.320,
        0.645,
    ]


def test_errors_are_the_spread_of_many_samples():
    """A map and a truth that are known: estimates fall around it as widely as they say."""
    rng = np.random.default_rng(0)
    shares = np.array([[0.8, 0.15, 0.05], [0.1, 0.85, 0.05], [0.02, 0.08, 0.9]])
    areas = np.array([10.0, 30.0, 60.0])
    truth = areas @ shares
    values, errors = [], []
    for _ in range(3000):
        counts = np.stack([rng.multinomial(60, row) for row in shares])
        estimate = AreaSample(counts=counts, areas=areas).estimate
        accuracies = (estimate.overall, estimate.users, estimate.producers)
        values.append(np.hstack([estimate.areas, *(each[0] for each in accuracies)]))
        errors.append(np.hstack([estimate.area_errors, *(each[1] for each in accuracies)]))
    np.testing.assert_allclose(np.mean(values, axis=0)[:3], truth, rtol=0.01)
    np.testing.assert_allclose(np.std(values, axis=0), np.mean(errors, axis=0), rtol=0.06)
    inside = np.abs(np.array(values)[:, :3] - truth) <= 1.96 * np.array(errors)[:, :3]
    assert (inside.mean(axis=0) > 0.9).all()


def test_classes_that_are_not_there():
    counts = np.array([[9, 1, 0], [2, 8, 0], [0, 0, 0]])
    areas = np.array([5.0, 5.0, 0.0])
    found = AreaSample(counts=counts, areas=areas).estimate.to_dict(("a", "b", "c"))
    assert np.isnan([found["classes"][2][k]["value"] for k in ("users_accuracy",)]).all()
    assert np.isnan(found["classes"][2]["producers_accuracy"]["margin"])
    assert found["classes"][2]["area"]["value"] == 0
    two = AreaSample(counts=counts[:2, :2], areas=areas[:2]).estimate.to_dict(("a", "b"))
    assert found["classes"][:2] == two["classes"]


def test_a_class_that_the_map_lacks_has_an_area():
    """Places of a class that the map never shows: all of it is omitted."""
    counts = np.array([[8, 2], [0, 0]])
    found = AreaSample(counts=counts, areas=np.array([10.0, 0])).estimate.to_dict(("a", "b"))
    assert found["classes"][1]["area"]["value"] == pytest.approx(2)
    assert found["classes"][1]["producers_accuracy"]["value"] == 0


def test_too_few_places_are_refused():
    with pytest.raises(ValueError, match="fewer than 2"):
        _ = AreaSample(counts=np.array([[1, 0], [0, 5]]), areas=np.ones(2)).estimate
