"""The same small copies read by torchgeo and torchvision, which know some of the data sets too."""

from collections import Counter

import numpy as np
import pytest
import torchgeo.datasets as geo
import torchvision.datasets as vision
from published_common import COMMON_IMAGES
from published_remote import REMOTE_SENSING
from published_sets import write_copy

from geoseg.datasets import check_dataset, list_datasets

CASES = {case.name: case for case in [*REMOTE_SENSING, *COMMON_IMAGES]}


def torchgeo_masks(kind, root, split, **arguments):
    return [sample["mask"].numpy() for sample in kind(str(root), split, **arguments)]


def torchvision_masks(kind, root, **arguments):
    return [np.array(target) for _, target in kind(root, **arguments)]


def test_the_classes_that_descriptions_name_are_there():
    abouts = {description.name: description.about for description in list_datasets()}
    for about in abouts.values():
        assert not about.torchgeo or hasattr(geo, about.torchgeo)
        assert not about.torchvision or hasattr(vision, about.torchvision)
    assert abouts["voc-sbd"].torchvision == "SBDataset"
    assert "benchmark_RELEASE/dataset" in abouts["voc-sbd"].obtain


def loveda(root, split):
    """Class names by number begin at 1; 0 is no data."""
    return torchgeo_masks(geo.LoveDA, root, split), dict(enumerate(geo.LoveDA.classes[:-1], 1))


def inria(root, split):
    masks = torchgeo_masks(geo.InriaAerialImageLabeling, root, split)
    return masks, {0: "not building", 1: "building"}


def landcover_ai(root, split):
    names = [name.lower() for name in geo.LandCoverAI.classes]
    return torchgeo_masks(geo.LandCoverAI, root, split), dict(enumerate(names))


def spacenet_2(root, split):
    masks = torchgeo_masks(geo.SpaceNet2, root, split, aois=[2, 5], image="RGB-PanSharpen")
    return masks, {0: "background", 1: "building"}


def voc_2012(root, split):
    masks = torchvision_masks(vision.VOCSegmentation, root, year="2012", image_set=split)
    return masks, dict(enumerate(CASES["voc-2012"].keys.values()))


def cityscapes(root, split):
    masks = torchvision_masks(vision.Cityscapes, root, split=split, target_type="semantic")
    return masks, {c.id: c.name for c in vision.Cityscapes.classes if c.train_id not in {-1, 255}}


READERS = {
    "loveda": loveda,
    "inria": inria,
    "landcover-ai": landcover_ai,
    "spacenet-2": spacenet_2,
    "voc-2012": voc_2012,
    "cityscapes": cityscapes,
}


@pytest.mark.filterwarnings("ignore:The inplace keyword in GeoDataFrame")
@pytest.mark.parametrize("name", READERS)
def test_other_readers_count_the_same_classes(name, layout, monkeypatch):
    write_copy(CASES[name], layout)
    # torchgeo looks for the numbers of Inria's images in the whole path
    monkeypatch.chdir(layout.root)
    report = check_dataset(name, layout.root, jobs=1)
    for split in CASES[name].files:
        masks, names = READERS[name](".", split)
        assert len(masks) == report.pairs[split]
        numbers = Counter(np.concatenate([mask.ravel() for mask in masks]).tolist())
        found = {names[number]: n for number, n in numbers.items() if number in names}
        assert found == {c: n for c, n in report.class_pixels[split].items() if n}


def test_torchgeo_reads_the_colors_of_vaihingen_alike(layout):
    case = CASES["vaihingen"]
    # torchgeo takes boundaries that were taken out for clutter
    write_copy(case, layout)
    report = check_dataset("vaihingen", layout.root, jobs=1)
    names = ["clutter", "impervious surfaces", "building", "low vegetation", "tree", "car"]
    for split in case.files:
        masks = torchgeo_masks(geo.Vaihingen2D, layout.root, split)
        assert len(masks) == report.pairs[split]
        numbers = Counter(np.concatenate([mask.ravel() for mask in masks]).tolist())
        expected = dict(report.class_pixels[split])
        expected["clutter"] += report.ignored[split]
        assert {names[number]: n for number, n in numbers.items()} == expected


def test_torchvision_reads_the_files_of_sbd_alike(layout):
    case = CASES["voc-sbd"]
    expected = write_copy(case, layout)
    files = [label for _, label in case.files["train"] if label.endswith(".mat")]
    stems = [label.rsplit("/", 1)[1].removesuffix(".mat") for label in files]
    layout.text("benchmark_RELEASE/dataset/train.txt", "\n".join(stems) + "\n")
    root = layout.root / "benchmark_RELEASE" / "dataset"
    masks = torchvision_masks(vision.SBDataset, root, image_set="train", mode="segmentation")
    masks += torchvision_masks(vision.VOCSegmentation, layout.root, year="2012", image_set="train")
    numbers = Counter(np.concatenate([mask.ravel() for mask in masks]).tolist())
    assert {case.keys[number]: n for number, n in numbers.items()} == expected["train"]
    report = check_dataset("voc-sbd", layout.root, jobs=1)
    assert report.class_pixels["train"] == expected["train"]
