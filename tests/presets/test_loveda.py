"""LoveDA: land cover in two kinds of landscape, masks with 0 for no data."""

from geoseg.geo.dataset_description import open_description


def test_classes_are_the_published_ones():
    description = open_description("loveda")
    assert description.legend.count == 7  # arXiv 2110.08733
    assert description.legend.ignore == 255
    parts = description.splits.train + description.splits.val
    assert [part.pairs for part in parts] == [2522, 1669]
