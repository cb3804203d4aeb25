"""Every preset against what its publishers say, on the smallest true copy of its layout."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from published_common import COMMON_IMAGES
from published_remote import REMOTE_SENSING
from published_sets import SHAPE, digest_of, write_copy

from geoseg.datasets import DatasetTileOptions, check_dataset, tile_dataset
from geoseg.geo.dataset_description import open_description, preset_names

CASES = [*REMOTE_SENSING, *COMMON_IMAGES]
TILED = [
    "loveda",
    "vaihingen",
    "inria",
    "voc-sbd",
    "cityscapes",
    "ade20k",
    "mapillary-vistas",
    "tianchi-buildings",
    "spacenet-2",
]
ONE_LABEL_FILE_EACH = [case for case in CASES if case.name != "tianchi-buildings"]


def first_label(case, layout):
    return layout.root / next(iter(case.files.values()))[0][1]


def about(name):
    return open_description(name).about.obtain


def test_every_preset_is_tried():
    assert sorted(case.name for case in CASES) == preset_names()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_classes_colors_and_counts_are_the_published_ones(case):
    description = open_description(case.name)
    legend = description.legend
    assert legend.count == case.count
    assert legend.ignore == case.ignore
    assert {c.name: c.color for c in legend.classes}.items() >= case.colors.items()
    # value 0 is background only where the data set has one, and not, say, a road
    assert legend.background is None or legend.background.name.startswith(("background", "not "))
    assert description.about.page.startswith("http")
    assert all(source.startswith("http") for source in description.about.sources)
    assert description.about.sources


@pytest.mark.parametrize("case", [c for c in CASES if c.digest], ids=str)
def test_long_lists_are_the_published_ones(case):
    legend = open_description(case.name).legend
    assert digest_of(legend.classes, colored=bool(case.colors)) == case.digest


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_copy_of_the_layout_is_found_whole(case, layout):
    expected = write_copy(case, layout)
    report = check_dataset(case.name, layout.root, jobs=1)
    assert report.faults == ()
    assert report.unknown == {}
    assert report.pairs == {split: len(case.files.get(split, [])) for split in report.pairs}
    assert {s: n for s, n in report.unlabelled.items() if n} == {
        split: len(paths) for split, paths in case.unlabelled.items()
    }
    assert {s: n for s, n in report.published.items() if n} == {
        split: n for split, n in case.pairs.items() if n
    }
    assert report.dtype == case.dtype
    for split, found in report.class_pixels.items():
        assert {name: n for name, n in found.items() if n} == {
            name: n for name, n in expected[split].items() if name is not None
        }
        assert report.ignored[split] == expected[split][None]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_root_may_be_the_inner_folder_and_images_without_labels_be_absent(case, layout):
    write_copy(replace(case, unlabelled={}), layout)
    description = open_description(case.name)
    inner = [layout.root / root for root in description.roots if (layout.root / root).is_dir()]
    assert bool(inner) == bool(description.roots)
    report = check_dataset(case.name, *(inner or [layout.root]), jobs=1)
    assert report.faults == ()
    assert sum(report.pairs.values()) == sum(map(len, case.files.values()))


@pytest.mark.parametrize("case", ONE_LABEL_FILE_EACH, ids=str)
def test_labels_that_are_gone_are_told(case, layout):
    write_copy(case, layout)
    first_label(case, layout).unlink()
    report = check_dataset(case.name, layout.root, jobs=1)
    assert [fault.kind for fault in report.faults] == ["missing label"]


@pytest.mark.parametrize("case", [c for c in CASES if c.truth is None], ids=str)
def test_what_means_no_class_is_told(case, layout):
    write_copy(case, layout)
    label = first_label(case, layout)
    path = label.relative_to(layout.root).as_posix()
    if isinstance(next(iter(case.keys)), str):
        # Potsdam's are brought to full red, green and blue, of which all but this mean a class.
        color = "#e010e0" if case.name.startswith("potsdam") else "#f01020"
        layout.color(path, np.zeros(SHAPE, int), {0: color})
    else:
        layout.index(path, np.full(SHAPE, 254))
    report = check_dataset(case.name, layout.root, jobs=1)
    assert [fault.kind for fault in report.faults] == ["values"]
    assert sum(report.unknown.values()) == SHAPE[0] * SHAPE[1]


@pytest.mark.parametrize("case", [c for c in CASES if c.name in TILED], ids=str)
def test_tiles_keep_the_official_splits(case, layout, tmp_path):
    expected = write_copy(case, layout)
    options = DatasetTileOptions(size=14, jobs=1)
    tiles = tile_dataset(case.name, layout.root, tmp_path / "tiles", options)
    legend = open_description(case.name).legend
    assert tiles.legend == legend
    found = {split: Counter() for split in case.files}
    for tile in tiles.tiles:
        with rasterio.open(tile.mask) as mask:
            found[tile.split].update(mask.read(1)[: SHAPE[0]].ravel().tolist())
    for split, counts in found.items():
        classes = {legend.class_of(n).value: c for n, c in expected[split].items() if n is not None}
        assert counts == Counter(classes | {legend.ignore: expected[split][None]})


@pytest.mark.parametrize("name", ["potsdam", "vaihingen"])
def test_labels_with_and_without_boundaries_may_share_a_folder(name, layout):
    for case in CASES:
        if case.name in (name, f"{name}-no-boundary"):
            write_copy(case, layout)
    for each in (name, f"{name}-no-boundary"):
        report = check_dataset(each, layout.root, jobs=1)
        assert report.faults == ()
        assert report.pairs == report.published
        assert each.endswith("no-boundary") or f"{name}-no-boundary" in about(each)


@pytest.mark.parametrize("case", [c for c in CASES if c.name.startswith("potsdam")], ids=str)
def test_blurred_colours_of_potsdam_are_its_classes(case, layout):
    write_copy(case, layout)
    label = first_label(case, layout)
    path = label.relative_to(layout.root).as_posix()
    layout.color(path, np.zeros(SHAPE, int), {0: "#fcff00"})  # as most cars of label 6_7
    assert check_dataset(case.name, layout.root, jobs=1).faults == ()
