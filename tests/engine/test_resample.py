import pytest
import torch
from torch.nn import functional

from geoseg.engine.resample import RowResampler, source_row

SHAPES = [
    pytest.param((8, 8), (31, 17), id="larger"),
    pytest.param((31, 17), (8, 8), id="smaller"),
    pytest.param((5, 9), (5, 9), id="same"),
    pytest.param((1, 1), (4, 6), id="from one pixel"),
    pytest.param((6, 4), (1, 1), id="to one pixel"),
]


@pytest.mark.parametrize(("source", "target"), SHAPES)
@pytest.mark.parametrize("step", [1, 3, 100])
def test_rows_fed_bit_by_bit_equal_torchs_bilinear_interpolation(source, target, step):
    scores = torch.rand(3, *source, generator=torch.Generator().manual_seed(0))
    resampler = RowResampler(source, target)
    parts = []
    for first in range(0, source[0], step):
        fed = scores[:, first : first + step, slice(*resampler.source_cols)]
        for row, part in resampler.feed(first, fed):
            assert row == sum(p.shape[1] for p in parts)
            parts.append(part)
    expected = functional.interpolate(scores[None], size=target, mode="bilinear")[0]
    torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_part_of_the_target_is_made_of_a_part_of_the_source(source, target):
    scores = torch.rand(2, *source, generator=torch.Generator().manual_seed(0))
    rows = target[0] // 3, max(target[0] * 2 // 3, target[0] // 3 + 1)
    cols = target[1] // 4, max(target[1] * 3 // 4, target[1] // 4 + 1)
    resampler = RowResampler(source, target, rows, cols)
    top, bottom = resampler.source_rows
    part = scores[:, top:bottom, slice(*resampler.source_cols)]
    (first, made), *rest = resampler.feed(top, part)
    assert first == rows[0]
    assert not rest
    expected = functional.interpolate(scores[None], size=target, mode="bilinear")[0]
    expected = expected[:, slice(*rows), slice(*cols)]
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-6)
    assert source_row(rows[0], source[0], target[0]) == top
