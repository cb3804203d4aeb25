"""Finding images and labels by the patterns, lists and tables of a description."""

import pytest

from geoseg.errors import ConfigError, LabelError
from geoseg.geo.dataset_description import parse_description
from geoseg.geo.dataset_pairs import find_pairs

LEGEND = {"classes": [{"value": 0, "name": "ground"}, {"value": 1, "name": "roof"}]}


def describe(encoding="index", **splits):
    tables = {"title": "Roofs", "labels": {"encoding": encoding}, "legend": LEGEND}
    return parse_description({**tables, "splits": splits}, "roofs")


@pytest.fixture
def root(tmp_path):
    """`root("a/1.png", list="...")` makes empty files, and files with text."""

    def make(*files, **texts):
        for name in files:
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        for name, text in texts.items():
            (tmp_path / f"{name}.txt").write_text(text)
        return tmp_path

    return make


def names(found, split="train"):
    return [pair.name for pair in found.pairs if pair.split == split]


def faults(found):
    return [(fault.kind, fault.path) for fault in found.faults]


def test_wildcards_lead_from_the_image_to_its_labels(root):
    folder = root("x/a/s1_img.png", "x/a/s2_img.png", "x/b/s1_img.png", "y/.hidden/s1_img.png")
    root("m/a/1.tif", "m/a/2.tif", "m/b/1.tif")
    description = describe(
        train={"images": "x/*/s*_img.png", "labels": "m/{1}/{2}.tif", "name": "{1}/{2}"}
    )
    found = find_pairs(description, folder)
    assert names(found) == ["a/1", "a/2", "b/1"]
    assert [found.short(pair.labels) for pair in found.pairs] == [
        "m/a/1.tif", "m/a/2.tif", "m/b/1.tif",
    ]  # fmt: skip
    assert found.faults == []


def test_a_wildcard_stands_for_some_text_within_one_name(root):
    folder = root("i/_img.png", "i/a_img.png", "i/b/c_img.png", "m/a.png")
    found = find_pairs(describe(train={"images": "i/*_img.png", "labels": "m/{1}.png"}), folder)
    assert names(found) == ["a_img"]
    assert found.faults == []


def test_missing_partners_are_named(root):
    folder = root("i/a.png", "i/b.png", "m/a.png", "m/c.png")
    found = find_pairs(describe(train={"images": "i/*.png", "labels": "m/{stem}.png"}), folder)
    assert names(found) == ["a"]
    assert faults(found) == [("missing label", "i/b.png"), ("lone label", "m/c.png")]
    assert "no m/b.png" in str(found.faults[0])


def test_images_without_labels_may_be_passed_over(root):
    folder = root("i/a.png", "i/b.png", "m/a.png")
    part = {"images": "i/*.png", "labels": "m/{stem}.png", "unlabelled": "skip"}
    found = find_pairs(describe(train=part, test={"images": "i/*.png"}), folder)
    assert names(found) == ["a"]
    assert found.unlabelled == {"train": 1, "test": 2}
    assert found.faults == []


def test_double_stems_are_no_pairs(root):
    folder = root("i/a.png", "i/a.jpg", "i/b.png", "m/a.png", "m/b.png", "m/b.tif", "i/c.png")
    root("m/c.png")
    found = find_pairs(describe(train={"images": "i/*.*", "labels": "m/{stem}.*"}), folder)
    assert names(found) == ["c"]
    assert {fault.kind for fault in found.faults} == {"duplicate"}
    assert [str(fault) for fault in found.faults] == [
        "i/b.png: has several label files: b.png, b.tif",
        "m/a.png: is the label of several images: i/a.jpg, i/a.png",
    ]


def test_an_image_in_two_splits_is_in_none(root):
    folder = root("i/a.png", "i/b.png", "m/a.png", "m/b.png")
    part = {"images": "i/*.png", "labels": "m/{stem}.png"}
    found = find_pairs(describe(train=part, val={**part, "only": ["a"]}), folder)
    assert [(pair.name, pair.split) for pair in found.pairs] == [("b", "train")]
    assert [str(fault) for fault in found.faults] == ["i/a.png: comes 2 times (train, val)"]


def test_lists_choose_and_are_checked(root):
    folder = root(*(f"i/{n}.png" for n in "abcd"), *(f"m/{n}.png" for n in "abcd"))
    root(train="a\n\n# no name\nimages/b.jpg\nb\nz\n", leave="d\n")
    part = {"images": "i/*.png", "labels": "m/{stem}.png"}
    found = find_pairs(
        describe(
            train={**part, "list": "train.txt"},
            val={**part, "except": ["[ab]"], "except_list": "leave.txt"},
        ),
        folder,
    )
    assert names(found) == ["a", "b"]
    assert names(found, "val") == ["c"]
    assert [str(fault) for fault in found.faults] == [
        "train.txt: line 5 lists b again",
        "train.txt: line 6 lists z, which has no image",
    ]


def test_only_suffixes_of_images_are_taken_off_the_lines_of_a_list(root):
    folder = root("i/tile.png", "m/tile.png", "i/tile.2.png", "m/tile.2.png", "i/b.png", "m/b.png")
    root(train="tile.1\ni/tile.2.png\nx/b.JPG\n")
    part = {"images": "i/*.png", "labels": "m/{stem}.png", "list": "train.txt"}
    found = find_pairs(describe(train=part), folder)
    assert names(found) == ["tile.2", "b"]
    assert [str(f) for f in found.faults] == [
        "train.txt: line 1 lists tile.1, which has no image",
    ]


def test_patterns_of_names_choose_and_tell_what_is_missing(root):
    stems = [f"austin{n}" for n in range(1, 8)]
    folder = root(*(f"i/{s}.tif" for s in stems), *(f"m/{s}.tif" for s in stems))
    part = {"images": "i/*.tif", "labels": "m/{stem}.tif"}
    description = describe(
        train={**part, "except": ["austin[1-5]"]}, val={**part, "only": ["austin[1-5]", "wien1"]}
    )
    found = find_pairs(description, folder)
    assert names(found) == ["austin6", "austin7"]
    assert names(found, "val") == stems[:5]
    assert faults(found) == [("missing image", "wien1")]


def test_lists_of_pairs(root):
    folder = root("i/a.jpg", "m/a.png", "i/b.jpg", train="/i/a.jpg /m/a.png\ni/b.jpg m/b.png\n")
    found = find_pairs(describe(train={"list": "train.txt", "list_of": "pairs"}), folder)
    assert [(p.name, found.short(p.labels)) for p in found.pairs] == [("a", "m/a.png")]
    assert [str(f) for f in found.faults] == ["train.txt: line 2 lists m/b.png, which is not there"]


@pytest.mark.parametrize("line", ["../a.jpg m/a.png", "i/a.jpg m/../../a.png", "C:/a.jpg m/a.png"])
def test_lists_that_lead_out_of_the_folder_are_refused(root, line):
    folder = root("i/a.jpg", train=f"i/a.jpg m/a.png\n{line}\n")
    with pytest.raises(ConfigError, match=r"train.txt: line 2: .* leads out"):
        find_pairs(describe(train={"list": "train.txt", "list_of": "pairs"}), folder)


def test_lists_that_are_none_are_refused(root):
    description = describe(train={"list": "train.txt", "list_of": "pairs"})
    with pytest.raises(LabelError, match=r"train.txt: is a list that cannot be read"):
        find_pairs(description, root())
    with pytest.raises(LabelError, match=r"line 1 holds 3 words"):
        find_pairs(description, root(train="a b c\n"))


def test_tables_of_runs(root):
    folder = root("i/a.jpg", "i/b.jpg", "i/c.jpg", table="a.jpg\t1 2\nb.jpg\t\nz.jpg\t1 1\n")
    found = find_pairs(describe("rle", train={"images": "i/*.jpg", "labels": "table.txt"}), folder)
    assert [(pair.name, pair.key) for pair in found.pairs] == [("a", "a.jpg"), ("b", "b.jpg")]
    assert [str(fault) for fault in found.faults] == [
        "i/c.jpg: has no labels: no line c.jpg in table.txt",
        "table.txt: has a line z.jpg, which has no image",
    ]


def test_the_folder_may_be_given_at_several_depths(root):
    folder = root("VOCdevkit/VOC2012/i/a.png", "VOCdevkit/VOC2012/m/a.png")
    tables = {
        "title": "x",
        "roots": ["VOCdevkit/VOC2012", "VOC2012"],
        "labels": {"encoding": "index"},
        "legend": LEGEND,
        "splits": {"train": {"images": "i/*.png", "labels": "m/{stem}.png"}},
    }
    description = parse_description(tables, "x")
    for place in (folder, folder / "VOCdevkit", folder / "VOCdevkit" / "VOC2012"):
        assert names(find_pairs(description, place)) == ["a"]


def test_an_empty_or_missing_folder_is_told(root):
    description = describe(
        train={"images": "i/*.png", "labels": "m/{stem}.png"}, test={"images": "t/*.png"}
    )
    found = find_pairs(description, root())
    assert [str(fault) for fault in found.faults] == [
        "i/*.png: no image of train fits this pattern"
    ]
    with pytest.raises(ConfigError, match="does not exist"):
        find_pairs(description, root() / "nowhere")
    with pytest.raises(ConfigError, match="is a file"):
        find_pairs(description, root("file") / "file")


def test_labels_of_another_split_are_not_left_over(root):
    folder = root("train/a.png", "val/b.png", "m/a.png", "m/b.png", "m/c.png")
    description = describe(
        train={"images": "train/*.png", "labels": "m/{stem}.png"},
        val={"images": "val/*.png", "labels": "m/{stem}.png"},
    )
    assert faults(find_pairs(description, folder)) == [("lone label", "m/c.png")]
