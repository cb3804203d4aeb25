import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geoseg.errors import OutputError, WorkError
from geoseg.geo import outputs
from geoseg.geo.outputs import (
    check_output,
    check_output_folder,
    publish,
    publish_folder,
    temporary_path,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def publish_and(act, path, **options):
    """Write a file, then do something before its end."""
    with publish(path, **options) as temporary:
        temporary.write_text("new")
        Path(f"{temporary}.aux.xml").write_text("new")
        act()


def fail():
    raise ZeroDivisionError


@pytest.fixture
def dead_pid():
    """The number of a process that ran and ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_new_file_is_accepted(tmp_path):
    assert check_output(tmp_path / "a.tif") == tmp_path / "a.tif"
    assert check_output(str(tmp_path / "a.tif")) == tmp_path / "a.tif"


def test_refused_places(tmp_path):
    (tmp_path / "old.tif").write_text("old")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling.tif").symlink_to(tmp_path / "nowhere.tif")
    cases = {
        "missing/a.tif": "folder .*missing does not exist. Make it first.$",
        "old.tif/a.tif": "does not exist",
        ".": "is a folder, a file is wanted",
        "old.tif": "already exists. Give --overwrite to replace it.$",
        "dangling.tif": "already exists",
        "pipe": "is a device or pipe",
        "n" * 300 + ".tif": "file name too long",
    }
    for name, message in cases.items():
        with pytest.raises(OutputError, match=message):
            check_output(tmp_path / name)
    assert check_output(tmp_path / "old.tif", overwrite=True)
    with pytest.raises(OutputError, match="is a device"):
        check_output("/dev/null", overwrite=True)


@pytest.mark.parametrize("link", [os.link, os.symlink, None])
def test_the_input_is_never_the_output(tmp_path, link):
    source, target = tmp_path / "scene.tif", tmp_path / "out.tif"
    source.write_text("pixels")
    if link is None:
        target = tmp_path / "folder" / ".." / "scene.tif"
        (tmp_path / "folder").mkdir()
    else:
        link(source, target)
    with pytest.raises(OutputError, match="is the input itself"):
        check_output(target, overwrite=True, inputs=["https://example.org/a.tif", source])
    assert check_output(tmp_path / "other.tif", inputs=[source])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(OutputError, match="cannot be written to"):
            check_output(tmp_path / "a.tif")
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(OutputError, match="cannot be written to"):
        check_output(tmp_path / "a.tif")
    with pytest.raises(OutputError, match="cannot be written to"):
        check_output_folder(tmp_path / "a" / "b")


def test_publish_names_only_what_is_whole(tmp_path):
    with publish(tmp_path / "a.tif") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".tif"
        temporary.write_text("whole")
        assert names(tmp_path) == [temporary.name]
    assert names(tmp_path) == ["a.tif"]
    with pytest.raises(ZeroDivisionError):
        publish_and(fail, tmp_path / "a.tif")
    assert (names(tmp_path), (tmp_path / "a.tif").read_text()) == (["a.tif"], "whole")
    with pytest.raises(WorkError, match="nothing was written"), publish(tmp_path / "b.tif"):
        pass
    assert names(tmp_path) == ["a.tif"]


def test_publish_reports_a_failing_disk(tmp_path, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(WorkError, match=r"a.tif: No space left on device. Check the disk.$"):
        publish_and(list, tmp_path / "a.tif")
    assert names(tmp_path) == []


def test_publish_does_not_replace_what_appeared_meanwhile(tmp_path):
    target = tmp_path / "a.tif"
    with pytest.raises(OutputError, match="was made by another program meanwhile"):
        publish_and(lambda: target.write_text("theirs"), target, overwrite=False)
    assert (names(tmp_path), target.read_text()) == (["a.tif"], "theirs")
    publish_and(list, tmp_path / "b.tif", overwrite=False)
    assert names(tmp_path) == ["a.tif", "b.tif"]
    assert (tmp_path / "b.tif").stat().st_nlink == 1


def test_publish_without_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with publish(tmp_path / "a.tif", overwrite=False) as temporary:
        temporary.write_text("mine")
    assert names(tmp_path) == ["a.tif"]


def test_the_longest_names_can_be_written(tmp_path):
    longest = tmp_path / ("é" * 125 + ".json")  # 255 bytes
    with publish(longest) as temporary:
        temporary.write_text("whole")
    assert names(tmp_path) == [longest.name]


def test_temporary_files_of_the_dead_are_removed(tmp_path, dead_pid):
    machine = temporary_path(tmp_path / "sub" / "x").name.split("-")[1]
    mine, theirs = f".geoseg-{machine}", ".geoseg-00000000"
    kept = [
        f"{mine}-{os.getpid()}-999.tif",
        f"{mine}-1-0.tif",
        f"{theirs}-{dead_pid}-0.tif",
        ".geoseg-notes",
        "scene.tif",
    ]
    dead = [f"{mine}-{dead_pid}-0.tif", f"{mine}-{dead_pid}-1.tif.aux.xml", f"{theirs}-1-1.tif"]
    for name in kept + dead:
        (tmp_path / name).write_text("x")
    (tmp_path / f"{mine}-{dead_pid}-2").mkdir()
    (tmp_path / f"{mine}-{dead_pid}-2" / "tile.tif").write_text("x")
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(tmp_path / dead[-1], (long_ago, long_ago))
    temporary_path(tmp_path / "a.tif")
    assert names(tmp_path) == sorted(kept)


def test_temporary_names_are_new(tmp_path, monkeypatch):
    first = temporary_path(tmp_path / "a.tif")
    monkeypatch.setattr(outputs, "_counter", iter(range(int(first.stem.split("-")[-1]), 10**9)))
    first.write_text("of a process with the same number, killed before")
    assert temporary_path(tmp_path / "a.tif") != first


def test_folder_refusals(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    full = tmp_path / "full"
    full.mkdir()
    (full / "scene.tif").write_text("x")
    with pytest.raises(OutputError, match="is a file, a folder is wanted"):
        check_output_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="is a file"):
        check_output_folder(tmp_path / "file" / "a" / "b")
    with pytest.raises(OutputError, match=r"already exists and is not empty\. Give --over"):
        check_output_folder(full)
    with pytest.raises(OutputError, match=r"holds the input .*scene\.tif"):
        check_output_folder(full, overwrite=True, inputs=[full / "scene.tif"])
    with pytest.raises(OutputError, match=r"holds other things, no tileset\.json"):
        check_output_folder(full, overwrite=True, marker="tileset.json")
    (full / "tileset.json").write_text("{}")
    assert check_output_folder(full, overwrite=True, marker="tileset.json") == full
    assert check_output_folder(tmp_path / "new" / "deep") == tmp_path / "new" / "deep"
    assert not (tmp_path / "new").exists()
    (tmp_path / "full" / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "full" / "inside")
    for place in (full, "..", Path.home()):
        with pytest.raises(OutputError, match=r"your own folder|holds the input"):
            check_output_folder(place, overwrite=True)
    assert check_output_folder(".") == Path()


def fill(folder, text):
    with publish_folder(folder) as temporary:
        (temporary / "sub").mkdir()
        (temporary / "sub" / "a.txt").write_text(text)


def content(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_publish_folder_swaps(tmp_path):
    target = tmp_path / "deep" / "tiles"
    fill(target, "one")
    (target / "old.txt").write_text("of the first run")
    fill(target, "two")
    assert content(target) == {"sub/a.txt": "two"}
    assert names(target.parent) == ["tiles"]


def test_publish_folder_of_many_files(tmp_path):
    with publish_folder(tmp_path / "tiles") as temporary:
        for number in range(100):
            (temporary / f"{number}.txt").write_text("x")
    assert len(names(tmp_path / "tiles")) == 100


def test_publish_folder_leaves_the_old_one_on_failure(tmp_path, monkeypatch):
    target = tmp_path / "tiles"
    fill(target, "one")
    with monkeypatch.context() as patch:
        patch.setattr(outputs, "_sync_tree", lambda _: fail())
        with pytest.raises(ZeroDivisionError):
            fill(target, "two")
    assert (content(target), names(tmp_path)) == ({"sub/a.txt": "one"}, ["tiles"])
    replace = Path.replace

    def replace_or_fail(self, other):
        if (self / "sub" / "a.txt").read_text() == "two":
            raise OSError(5, "Input/output error")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", replace_or_fail)
    with pytest.raises(WorkError, match="Input/output error"):
        fill(target, "two")
    assert (content(target), names(tmp_path)) == ({"sub/a.txt": "one"}, ["tiles"])


def test_publish_folder_through_a_link(tmp_path):
    real, link = tmp_path / "disk" / "tiles", tmp_path / "tiles"
    fill(real, "one")
    link.symlink_to(real)
    fill(link, "two")
    assert link.is_symlink()
    assert content(real) == {"sub/a.txt": "two"}
    assert names(real.parent) == ["tiles"]


def test_publish_folder_fills_the_folder_one_stands_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old").mkdir()
    (tmp_path / "old.txt").write_text("x")
    fill(".", "one")
    assert content(tmp_path) == {"sub/a.txt": "one"}
    assert os.listdir() == ["sub"]  # the same folder still, not one that was removed


def test_two_processes_at_once_give_one_whole_file(tmp_path):
    code = (
        "import sys; from geoseg.geo.outputs import publish\n"
        "for _ in range(50):\n"
        "    with publish(sys.argv[1]) as temporary:\n"
        "        temporary.write_text(sys.argv[2] * 10000)"
    )
    target = tmp_path / "a.txt"
    processes = [subprocess.Popen([sys.executable, "-c", code, target, sign]) for sign in "ab"]
    assert [process.wait() for process in processes] == [0, 0]
    assert target.read_text() in ("a" * 10000, "b" * 10000)
    assert names(tmp_path) == ["a.txt"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    """Some libraries make files for their owner alone; a model is to be shared."""
    (tmp_path / "plain").write_text("")
    with publish(tmp_path / "made") as temporary:
        temporary.write_text("x")
        temporary.chmod(0o600)
    assert (tmp_path / "made").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    (tmp_path / "made").write_text("old")
    (tmp_path / "made").chmod(0o640)
    with publish(tmp_path / "made") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o640
