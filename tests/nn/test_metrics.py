import math

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, jaccard_score

from geoseg.nn.metrics import ConfusionMatrix


def make_maps(classes=4, shape=(3, 9, 11), seed=0):
    rng = np.random.default_rng(seed)
    target = rng.integers(0, classes, shape).astype(np.uint8)
    target[rng.random(shape) < 0.2] = 255
    return rng.integers(0, classes, shape), target


def test_counts_are_those_of_sklearn():
    prediction, target = make_maps()
    matrix = ConfusionMatrix(4)
    for n in range(len(target)):  # batch by batch
        matrix.update(torch.from_numpy(prediction[n : n + 1]), torch.from_numpy(target[n : n + 1]))
    seen = target != 255
    expected = confusion_matrix(target[seen], prediction[seen], labels=range(4))
    assert matrix.matrix.dtype == torch.int64
    np.testing.assert_array_equal(matrix.matrix.numpy(), expected)
    ious = [row["iou"] for row in matrix.scores()["classes"]]
    np.testing.assert_allclose(ious, jaccard_score(target[seen], prediction[seen], average=None))


def test_logits_count_as_their_largest_channel():
    logits = torch.randn(2, 3, 5, 6)
    target = torch.randint(3, (2, 5, 6))
    one, other = ConfusionMatrix(3), ConfusionMatrix(3)
    one.update(logits, target)
    other.update(logits.argmax(1), target)
    assert torch.equal(one.matrix, other.matrix)
    assert one.matrix.sum() == 60


def test_a_class_absent_from_both_is_left_out_of_the_mean():
    matrix = ConfusionMatrix(3)
    matrix.update(torch.tensor([[[0, 0, 1, 1]]]), torch.tensor([[[0, 0, 1, 0]]]))
    found = matrix.scores(("land", "water", "snow"))
    assert math.isnan(found["classes"][2]["iou"])
    assert found["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["pixel_accuracy"] == pytest.approx(3 / 4)


def test_nothing_labelled_gives_nan_and_reset_forgets():
    matrix = ConfusionMatrix(2)
    matrix.update(torch.zeros(1, 2, 2, dtype=torch.int64), torch.full((1, 2, 2), 255))
    assert math.isnan(matrix.scores()["mean_iou"])
    matrix.update(torch.zeros(1, 2, 2, dtype=torch.int64), torch.zeros(1, 2, 2))
    assert matrix.matrix[0, 0] == 4
    matrix.reset()
    assert matrix.matrix.sum() == 0 and matrix.pixels.sum() == 0


def test_it_moves_with_its_module_and_is_not_saved():
    holder = torch.nn.ModuleDict({"confusion": ConfusionMatrix(2)})
    assert not holder.state_dict()
    assert "confusion.matrices" in dict(holder.named_buffers())


@pytest.mark.parametrize("classes", [2, 7])
def test_each_group_has_the_matrix_of_sklearn(classes):
    prediction, target = make_maps(classes, (6, 8, 5), seed=classes)
    groups = np.array([2, 0, 2, 2, 0, 3])
    valid = np.random.default_rng(9).random(target.shape) < 0.8
    matrix = ConfusionMatrix(classes, groups=4)
    for part in (slice(0, 4), slice(4, 6)):  # a group comes twice in a batch, and in two batches
        arrays = (prediction[part], target[part], groups[part], valid[part])
        matrix.update(*map(torch.from_numpy, arrays))
    for group in range(4):
        chosen = groups == group
        seen = target[chosen] != 255
        expected = np.zeros((classes, classes), np.int64)
        if chosen.any():
            expected = confusion_matrix(
                target[chosen][seen], prediction[chosen][seen], labels=range(classes)
            )
        np.testing.assert_array_equal(matrix.matrices[group], expected)
        assert matrix.pixels[group] == valid[chosen].sum()
    np.testing.assert_array_equal(matrix.matrix, matrix.matrices.sum(0))
    assert matrix.matrix.sum() == (target != 255).sum()
