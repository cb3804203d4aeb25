import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from geoseg.errors import OutputError, WorkError
from geoseg.geo import outputs
from geoseg.geo.output_lock import lock_path
from geoseg.geo.outputs import (
    check_output,
    check_output_folder,
    publish,
    publish_folder,
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


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a file system of Linux")
def test_a_folder_that_takes_no_files_is_refused():
    """Root has every permission there, and yet cannot make one."""
    for check in (check_output, check_output_folder):
        with pytest.raises(OutputError, match=r"^/proc: cannot be written to \(.*Choose a folder"):
            check("/proc/x")


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    for check, place in ((check_output, "a.tif"), (check_output_folder, "a/b")):
        with pytest.raises(OutputError, match=r"cannot be written to \(permission denied\)"):
            check(tmp_path / place)


def test_a_check_leaves_nothing_behind(tmp_path):
    check_output(tmp_path / "a.tif")
    check_output_folder(tmp_path / "a" / "b")
    assert names(tmp_path) == []


def test_publish_names_only_what_is_whole(tmp_path):
    with publish(tmp_path / "a.tif") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".tif"
        temporary.write_text("whole")
        assert names(tmp_path) == sorted([temporary.name, lock_path(tmp_path / "a.tif").name])
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

    monkeypatch.setattr(outputs, "exchange", lambda *_: False)  # as on systems that cannot
    monkeypatch.setattr(Path, "replace", replace_or_fail)
    with pytest.raises(WorkError, match="Input/output error"):
        fill(target, "two")
    assert (content(target), names(tmp_path)) == ({"sub/a.txt": "one"}, ["tiles"])


def test_publish_folder_swaps_in_steps_where_the_system_cannot_exchange(tmp_path, monkeypatch):
    target = tmp_path / "tiles"
    fill(target, "one")
    monkeypatch.setattr(outputs, "exchange", lambda *_: False)
    fill(target, "two")
    assert (content(target), names(tmp_path)) == ({"sub/a.txt": "two"}, ["tiles"])


def test_an_interrupted_swap_puts_the_old_one_back(tmp_path, monkeypatch):
    target = tmp_path / "tiles"
    fill(target, "one")
    replace = Path.replace

    def interrupted(self, other):
        replace(self, other)
        if self == target:
            raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "exchange", lambda *_: False)
    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
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
        "from geoseg.errors import OutputError\n"
        "for _ in range(50):\n"
        "    try:\n"
        "        with publish(sys.argv[1]) as temporary:\n"
        "            temporary.write_text(sys.argv[2] * 10000)\n"
        "    except OutputError as error:\n"
        "        assert 'is being written by ' in str(error)"
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
