"""Arrays of numpy as scenes and labels, against numpy's own reading."""

import numpy as np
import pytest
from rasterio.windows import Window

from geoseg.errors import SceneError
from geoseg.geo.labels import Labels
from geoseg.geo.legend import Legend, LegendClass
from geoseg.geo.raster import Scene, SceneOptions

TYPES = ["bool", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", ">u2", ">f4"]


def write(path, array):
    np.save(path, array)
    return path


def sample(shape, dtype="uint16"):
    return np.random.default_rng(1).integers(0, 2 if dtype == "bool" else 250, shape).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_every_type_is_read_as_numpy_reads_it(tmp_path, dtype):
    array = sample((7, 11), dtype)
    scene = Scene.open(write(tmp_path / "a.npy", array))
    raster = scene.read()
    assert scene.count == 1
    assert scene.grid.crs is None
    np.testing.assert_array_equal(raster.data[0], array)
    assert raster.valid.all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("axes", "moved"), [("bhw", (0, 1, 2)), ("hwb", (2, 0, 1))])
def test_three_axes_are_what_they_are_said_to_be(tmp_path, axes, moved, order):
    array = np.asarray(sample((5, 6, 7)), order=order)
    path = write(tmp_path / "odd & <name>.npy", array)
    scene = Scene.open(path, SceneOptions(npy_axes=axes))
    expected = array.transpose(moved)
    assert (scene.count, *scene.grid.shape) == expected.shape
    np.testing.assert_array_equal(scene.read().data, expected)
    part = scene.read(Window(1, 2, 3, 2)).data
    np.testing.assert_array_equal(part, expected[:, 2:4, 1:4])


def test_three_axes_are_never_guessed(tmp_path):
    path = write(tmp_path / "a.npy", sample((3, 64, 64)))
    with pytest.raises(SceneError, match=r"three axes, \(3, 64, 64\).*--npy-axes bhw or"):
        Scene.open(path)


def test_what_is_not_a_number_is_not_valid(tmp_path):
    array = sample((4, 5), "float32")
    array[1, 2] = np.nan
    valid = Scene.open(write(tmp_path / "a.npy", array)).read().valid
    np.testing.assert_array_equal(valid, np.isfinite(array))


def test_bad_arrays_are_refused(tmp_path):
    cases = {
        "four.npy": (sample((2, 2, 3, 3)), "has 4 axes"),
        "one.npy": (sample((9,)), "has 1 axes"),
        "empty.npy": (sample((0, 4)), "is empty"),
        "complex.npy": (sample((3, 4)).astype(complex), "holds complex128"),
        "text.npy": (np.array([["a", "b"]]), "holds <U1"),
    }
    for name, (array, told) in cases.items():
        with pytest.raises(SceneError, match=told):
            Scene.open(write(tmp_path / name, array))
    wide = write(tmp_path / "wide.npy", sample((3, 4, 5000)))
    with pytest.raises(SceneError, match="5000 bands"):
        Scene.open(wide, SceneOptions(npy_axes="hwb"))


def test_objects_are_never_unpickled(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[{}, {}]], dtype=object), allow_pickle=True)
    with pytest.raises(SceneError, match="holds object"):
        Scene.open(path)


def test_files_that_are_cut_or_no_arrays_are_refused(tmp_path):
    path = write(tmp_path / "a.npy", sample((30, 30)))
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(SceneError, match="is cut short"):
        Scene.open(path)
    for content_of_other in (content[:20], b"PK\x03\x04 no array", content[:6] + b"\x09\x00"):
        path.write_bytes(content_of_other)
        with pytest.raises(SceneError, match="is no array of numpy"):
            Scene.open(path)


def test_labels_are_arrays_too(tmp_path):
    mask = np.array([[1, 4, 4], [255, 1, 4]], np.uint8)
    classes = (
        LegendClass(value=1, name="land", color="#00ff00"),
        LegendClass(value=4, name="water", color="#0000ff"),
    )
    labels = Labels.open(str(write(tmp_path / "m.npy", mask)), Legend(classes=classes))
    scene = Scene.open(write(tmp_path / "a.npy", sample((2, 3))))
    np.testing.assert_array_equal(labels.mask(scene.grid), mask)
