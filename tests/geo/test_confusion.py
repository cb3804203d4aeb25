"""Scores against scikit-learn and worked numbers."""

import math

import numpy as np
import pytest
from sklearn import metrics

from geoseg.geo.confusion import confusion, majority_scores, scores


def _maps(seed: int, count: int = 4, size: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, count, size).astype(np.uint8)
    prediction = np.where(rng.random(size) < 0.6, reference, rng.integers(0, count, size))
    return reference.reshape(40, -1), prediction.astype(np.uint8).reshape(40, -1)


def test_confusion_equals_sklearn() -> None:
    reference, prediction = _maps(0)
    expected = metrics.confusion_matrix(reference.ravel(), prediction.ravel())
    assert (confusion(reference, prediction, 4) == expected).all()
    assert confusion(reference, prediction, 4).dtype == np.int64


def test_confusion_of_parts_adds_up() -> None:
    reference, prediction = _maps(1)
    parts = [confusion(reference[i : i + 7], prediction[i : i + 7], 4) for i in range(0, 40, 7)]
    assert (sum(parts) == confusion(reference, prediction, 4)).all()


@pytest.mark.parametrize("side", ["reference", "prediction"])
def test_ignored_pixels_are_not_counted_on_either_side(side: str) -> None:
    reference, prediction = _maps(2)
    (reference if side == "reference" else prediction)[:10] = 255
    expected = metrics.confusion_matrix(reference[10:].ravel(), prediction[10:].ravel())
    assert (confusion(reference, prediction, 4) == expected).all()


def test_index_255_is_a_class_when_there_are_many() -> None:
    reference = np.array([255, 299, 65535], np.uint16)
    matrix = confusion(reference, np.array([255, 0, 1], np.uint16), 300)
    assert matrix[255, 255] == 1
    assert matrix[299, 0] == 1
    assert matrix.sum() == 2


def test_index_65535_is_ignored_when_classes_are_few() -> None:
    reference = np.array([1, 65535, 0], np.uint16)
    assert confusion(reference, np.array([1, 1, 1], np.uint16), 2).tolist() == [[0, 1], [0, 1]]


def test_unknown_index_is_refused() -> None:
    with pytest.raises(ValueError, match="index 4 in the prediction is none of the 4"):
        confusion(np.array([0, 1]), np.array([4, 1]), 4)
    with pytest.raises(ValueError, match="index -1 in the reference"):
        confusion(np.array([-1, 1]), np.array([0, 1]), 4)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        confusion(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 2)


def test_no_pixels_give_a_matrix_of_zeros() -> None:
    empty = np.zeros((0, 5), np.uint8)
    assert (confusion(empty, empty, 3) == np.zeros((3, 3))).all()


@pytest.mark.parametrize("seed", range(5))
def test_scores_equal_sklearn(seed: int) -> None:
    reference, prediction = (a.ravel() for a in _maps(seed, count=2 + seed))
    found = scores(confusion(reference, prediction, 2 + seed))
    iou = metrics.jaccard_score(reference, prediction, average=None)
    f1 = metrics.f1_score(reference, prediction, average=None)
    assert [row["iou"] for row in found["classes"]] == pytest.approx(iou)
    assert [row["f1"] for row in found["classes"]] == pytest.approx(f1)
    assert [row["dice"] for row in found["classes"]] == pytest.approx(f1)
    assert [row["precision"] for row in found["classes"]] == pytest.approx(
        metrics.precision_score(reference, prediction, average=None)
    )
    assert [row["recall"] for row in found["classes"]] == pytest.approx(
        metrics.recall_score(reference, prediction, average=None)
    )
    assert found["mean_iou"] == pytest.approx(iou.mean())
    assert found["mean_f1"] == found["mean_dice"] == pytest.approx(f1.mean())
    assert found["fw_iou"] == pytest.approx(
        metrics.jaccard_score(reference, prediction, average="weighted")
    )
    assert found["pixel_accuracy"] == pytest.approx(metrics.accuracy_score(reference, prediction))
    assert found["mean_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(reference, prediction)
    )
    assert found["kappa"] == pytest.approx(metrics.cohen_kappa_score(reference, prediction))


def test_absent_class_has_no_score_and_no_part_in_the_means() -> None:
    found = scores([[5, 0, 0], [0, 0, 0], [5, 0, 0]], ["a", "absent", "missed"])
    absent, missed = found["classes"][1:]
    assert math.isnan(absent["iou"])
    assert math.isnan(absent["dice"])
    assert math.isnan(absent["precision"])
    assert math.isnan(absent["recall"])
    assert missed["iou"] == 0
    assert missed["recall"] == 0
    assert math.isnan(missed["precision"])
    assert found["mean_iou"] == pytest.approx((5 / 10 + 0) / 2)
    assert found["mean_accuracy"] == pytest.approx((1 + 0) / 2)


def test_empty_matrix_has_no_scores() -> None:
    found = scores(np.zeros((2, 2), int))
    summary = ("pixel_accuracy", "mean_accuracy", "mean_iou", "fw_iou", "mean_f1", "kappa")
    assert all(math.isnan(found[key]) for key in summary)


def test_one_class_everywhere_has_accuracy_but_no_kappa() -> None:
    found = scores([[7, 0], [0, 0]])
    assert found["pixel_accuracy"] == 1
    assert found["mean_iou"] == 1
    assert math.isnan(found["kappa"])


def test_left_out_class_keeps_misses_and_drops_its_own_pixels() -> None:
    # background (0) left out: its 100 pixels vanish, 4 buildings missed as background stay.
    found = scores([[90, 10], [4, 16]], ["background", "building"], left_out=[0])
    assert found["pixel_accuracy"] == pytest.approx(16 / 20)
    assert found["mean_iou"] == found["classes"][1]["iou"] == pytest.approx(16 / 20)
    assert math.isnan(found["classes"][0]["iou"])
    assert found["confusion"] == [[0, 0], [4, 16]]


def test_scores_do_not_change_their_input() -> None:
    matrix = np.array([[90, 10], [4, 16]])
    scores(matrix, left_out=[0])
    assert matrix.tolist() == [[90, 10], [4, 16]]


def test_large_counts_do_not_overflow() -> None:
    many = 3 * 10**12
    found = scores([[many, 0], [0, many]])
    assert found["kappa"] == pytest.approx(1)
    assert found["pixel_accuracy"] == 1


def test_majority_is_the_constant_map() -> None:
    reference, prediction = _maps(3)
    reference[:20] = 2
    constant = np.full_like(reference, 2)
    expected = scores(confusion(reference, constant, 4))
    found = majority_scores(confusion(reference, prediction, 4))
    assert found["class"] == 2
    assert found["pixel_accuracy"] == expected["pixel_accuracy"]
    assert found["mean_iou"] == expected["mean_iou"]


def test_majority_of_a_larger_whole_may_be_given():
    found = majority_scores([[8, 0], [0, 2]], majority=1)
    assert (found["class"], found["pixel_accuracy"]) == (1, 0.2)


@pytest.mark.parametrize("matrix", [[[1, 2, 3]], [1, 2]])
def test_matrix_must_be_square(matrix: list[object]) -> None:
    with pytest.raises(ValueError, match="square"):
        scores(np.array(matrix))


def test_names_must_be_one_a_class() -> None:
    with pytest.raises(ValueError, match="3 names for 2 classes"):
        scores(np.eye(2), ["a", "b", "c"])
