import os

import pytest

from geoseg.errors import SceneError
from geoseg.geo.paths import find_scenes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    files = ("b.tif", "a.TIF", "c.vrt", "d.png", "e.jp2")
    sides = (
        "a.TIF.aux.xml",
        "b.tif.ovr",
        "b.tif.msk",
        "d.pgw",
        "notes.txt",
        ".hidden.tif",
        "x[1].tif",
    )
    for name in files + sides:
        (tmp_path / name).write_text("x")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "f.tif").write_text("x")
    (tmp_path / "folder.tif").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


SCENES = ["a.TIF", "b.tif", "c.vrt", "d.png", "e.jp2", "x[1].tif"]


def test_folders_hold_scenes_without_their_side_files(folder):
    assert find_scenes([folder]) == [str(folder / name) for name in SCENES]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["b.tif", "a.TIF"], ["b.tif", "a.TIF"]),  # the order given
        (["b.tif", "*.tif", "b.tif"], ["b.tif", "x[1].tif"]),  # no repeats
        (["*"], SCENES),
        (["?.*"], SCENES[:-1]),
        (["x[1].tif"], ["x[1].tif"]),  # a file, though it looks like a pattern
        (["notes.txt", "*.txt"], ["notes.txt"]),  # the user's own word
        (["**/*.tif"], ["b.tif", "sub/f.tif", "x[1].tif"]),
        (["https://example.org/*.tif", "/vsis3/b/k.tif"], None),
    ],
)
def test_what_a_user_types(folder, entries, expected):
    assert find_scenes(entries) == (entries if expected is None else expected)


def test_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert find_scenes(["~/b.tif", "~/s*/*.tif"]) == [f"{folder}/b.tif", f"{folder}/sub/f.tif"]


def test_lists(folder):
    (folder / "list.txt").write_text("\ufeff# scenes\n\n b.tif \n*.png\nsub\r\n", encoding="utf-8")
    assert find_scenes(["@list.txt", "b.tif"]) == ["b.tif", "d.png", "sub/f.tif"]


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        ("missing.tif", None, "missing.tif: stands for no scene. Check the path.$"),
        ("*.jpg", None, "stands for no scene"),
        ("empty", None, "stands for no scene"),
        ("", None, "stands for no scene"),
        ("@nowhere.txt", None, "@nowhere.txt: is no list of paths"),
        ("@sub", None, "is no list of paths"),
        ("@list", b"\xff\xfe\x00b", "is no list of paths"),
        ("@list", b"# nothing\n", "holds no path"),
        ("@list", b"@other\n", "names another list"),
        ("@list", b"missing.tif\n", "missing.tif: stands for no scene"),
    ],
)
def test_entries_that_stand_for_nothing(folder, entry, content, message):
    (folder / "empty").mkdir()
    if content is not None:
        (folder / "list").write_bytes(content)
    with pytest.raises(SceneError, match=message):
        find_scenes([entry])


def test_urls_in_lists_need_leave(folder):
    (folder / "list").write_text("b.tif\nhttps://e.org/x.tif\n/vsis3/b/k.tif\n")
    told = r"@list: names a remote path, https://e.org/x.tif. Name it on the command line"
    with pytest.raises(SceneError, match=told + r"\.$"):
        find_scenes(["@list"])
    with pytest.raises(SceneError, match=told + r", or give --allow-remote\.$"):
        find_scenes(["@list"], allow_remote=False)
    found = find_scenes(["@list"], allow_remote=True)
    assert found == ["b.tif", "https://e.org/x.tif", "/vsis3/b/k.tif"]


def test_strange_names(folder):
    for name in ("é 测 #%.tif", "a b.tif", "-o.tif"):
        (folder / name).write_text("x")
        assert find_scenes([folder / name]) == [os.fspath(folder / name)]
