"""Label images of MATLAB files as the data sets lay them out, and files that are none."""

import numpy as np
import pytest
from scipy.io import savemat

from geoseg.errors import LabelError
from geoseg.geo.mat_labels import read_mat_labels

LABELS = np.array([[0, 15, 15], [0, 255, 20]], np.uint8)


def save(tmp_path, **variables):
    path = tmp_path / "labels.mat"
    savemat(path, variables)
    return path


def test_semantic_boundaries_classes(tmp_path):
    boundaries = np.array([[np.eye(2)], [np.eye(2)]], object)
    fields = {
        "Boundaries": boundaries, "Segmentation": LABELS, "CategoriesPresent": np.array([15, 20])
    }  # fmt: skip
    found = read_mat_labels(save(tmp_path, GTcls=fields))
    assert np.array_equal(found, LABELS)
    assert found.dtype == np.uint8


def test_instances_are_no_classes_unless_asked_for(tmp_path):
    path = save(tmp_path, GTinst={"Segmentation": LABELS, "Categories": np.array([[15]])})
    with pytest.raises(LabelError, match=r"It holds GTinst\.Segmentation, GTinst\.Categories"):
        read_mat_labels(path)
    assert np.array_equal(read_mat_labels(path, "GTinst.Segmentation"), LABELS)


def test_coco_stuff(tmp_path):
    path = save(
        tmp_path,
        S=LABELS.astype(float),
        regionMapStuff=np.arange(6).reshape(2, 3),
        names=np.array(["unlabeled", "person"], object),
    )
    assert np.array_equal(read_mat_labels(path), LABELS)


def test_the_only_array(tmp_path):
    path = save(tmp_path, depths=LABELS.astype(np.int32) * 100, name="a")
    found = read_mat_labels(path)
    assert np.array_equal(found, LABELS.astype(int) * 100)
    assert found.dtype == np.uint16


def test_several_arrays_are_not_guessed_among(tmp_path):
    path = save(tmp_path, a=LABELS, b=LABELS)
    with pytest.raises(LabelError, match="2 arrays that may be labels"):
        read_mat_labels(path)
    assert np.array_equal(read_mat_labels(path, "b"), LABELS)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.array([[0.5, 1.0], [1, 2]]), "holds fractions"),
        (np.array([[-1, 1], [1, 2]]), "holds -1 to 2"),
        (np.array([[0, 70000], [1, 2]]), "holds 0 to 70000"),
        (np.array([[np.nan, 1.0], [1, 2]]), "holds nan"),
        (np.zeros((2, 2, 3), np.uint8), "no label image"),
        ("words", "no label image"),
        (np.array([["a", "b"]], object), "no label image"),
    ],
)
def test_what_is_no_label_image_is_refused(tmp_path, value, told):
    with pytest.raises(LabelError, match=told):
        read_mat_labels(save(tmp_path, S=value))


@pytest.mark.parametrize("variable", ["T", "S.a", "GTcls.Classes", "GTcls.Segmentation.x"])
def test_missing_variable(tmp_path, variable):
    path = save(tmp_path, S=LABELS, GTcls={"Segmentation": LABELS})
    with pytest.raises(LabelError, match="has no array"):
        read_mat_labels(path, variable)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no matlab file",
        b"\x89PNG\r\n\x1a\n" * 40,
        b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\x00\x01IM",
        b"MATLAB 5.0 MAT-file" + b" " * 105 + b"\x00\x01IM" + b"\x0f\0\0\0\xff\xff\0\0" + b"x" * 99,
        b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\x00\x02IM" + b"\0" * 512,
    ],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "labels.mat"
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"labels\.mat"):
        read_mat_labels(path)


def test_cut_files_are_refused(tmp_path):
    path = tmp_path / "labels.mat"
    savemat(path, {"S": np.arange(3000).reshape(50, 60)}, do_compression=True)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(LabelError):
            read_mat_labels(path)


def test_missing_file(tmp_path):
    with pytest.raises(LabelError, match="No such file"):
        read_mat_labels(tmp_path / "none.mat")


@pytest.mark.parametrize("size", [63, 65])
def test_what_grows_when_it_is_unpacked_is_bounded(tmp_path, size):
    """65 MiB of zeros, of which the file holds 65 kB."""
    path = tmp_path / "labels.mat"
    savemat(path, {"S": np.zeros((size, 1 << 20), np.uint8)}, do_compression=True)
    assert path.stat().st_size < 1 << 17
    if size < 64:
        assert read_mat_labels(path).shape == (size, 1 << 20)
    else:
        with pytest.raises(LabelError, match="more than 64 MiB, packed"):
            read_mat_labels(path)
