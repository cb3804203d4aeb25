import numpy as np
import pytest
import torch
from target_blocks import IGNORE, blocks, naive_boundaries

from geoseg.nn.boundaries import boundary_distance, boundary_target


@pytest.mark.parametrize("reach", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_boundaries_are_where_classes_meet(seed, reach):
    target = blocks(seed)
    found = boundary_target(torch.from_numpy(target), IGNORE, reach=reach)
    expected = naive_boundaries(target, IGNORE, reach)
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.int32])
def test_a_straight_boundary_is_four_pixels_wide(dtype):
    """The authors' edges, one pixel wide, are dilated by a square of four."""
    target = torch.zeros(1, 6, 12, dtype=dtype)
    target[..., 5:] = 7
    found = boundary_target(target, IGNORE)
    expected = torch.zeros(1, 6, 12, dtype=torch.bool)
    expected[..., 3:7] = True
    assert torch.equal(found, expected)


def test_the_rim_of_what_is_ignored_is_no_boundary():
    target = torch.zeros(1, 8, 8, dtype=torch.uint8)
    target[:, 2:5, 2:5] = IGNORE
    assert not boundary_target(target, IGNORE).any()
    assert not boundary_target(torch.full((1, 8, 8), IGNORE), IGNORE).any()
    wide = target.int().where(target == 0, 65535)
    assert not boundary_target(wide, 65535).any()


def test_classes_parted_by_an_ignored_line_have_a_boundary():
    target = torch.zeros(1, 1, 9, dtype=torch.int64)
    target[..., 5:] = 1
    target[..., 4] = IGNORE
    found = boundary_target(target, IGNORE)[0, 0].int().tolist()
    assert found == [0, 0, 0, 1, 0, 1, 0, 0, 0]


@pytest.mark.parametrize("reach", [1, 2, 5])
@pytest.mark.parametrize("ignored", [0.0, 0.4])
def test_distances_are_the_least_reach_at_which_a_pixel_is_near_a_boundary(reach, ignored):
    target = blocks(1, ignored=ignored)
    expected = np.full(target.shape, reach + 1)
    for distance in range(reach, 0, -1):
        expected[naive_boundaries(target, IGNORE, distance)] = distance
    found = boundary_distance(torch.from_numpy(target), IGNORE, reach=reach)
    np.testing.assert_array_equal(found.numpy(), expected)


def test_without_another_class_all_distances_are_beyond_reach():
    for value in (3, IGNORE):
        target = torch.full((1, 6, 6), value, dtype=torch.uint8)
        assert (boundary_distance(target, IGNORE, reach=4) == 5).all()
