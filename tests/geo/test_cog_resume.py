"""A raster that was left off at any moment and gone on with is the same, to the byte."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.windows import Window

from geoseg.errors import OutputError, WorkError
from geoseg.geo import cog, temporary
from geoseg.geo.cog import BLOCK, RasterProfile, RasterWriter, partial_path
from geoseg.geo.grid import Grid

HEIGHT, WIDTH = 3 * BLOCK + 77, BLOCK + 76


def grid_of(height=HEIGHT, width=WIDTH, crs="EPSG:32632"):
    transform = Affine(0.5, 0, 500000, 0, -0.5, 5400000)
    return Grid(height=height, width=width, transform=transform, crs=CRS.from_user_input(crs))


CLASSES = RasterProfile(
    grid=grid_of(),
    nodata=255,
    colormap={0: (0, 0, 0, 255), 3: (230, 25, 75, 255)},
    band_names=("class",),
    tags={"GEOSEG_SCENE": " é  b.tif\n", "GEOSEG_BUNDLE": "roofs"},
)
PROFILES = {
    "classes": CLASSES,
    "plain": RasterProfile(
        grid=Grid(height=HEIGHT, width=WIDTH, transform=Affine.identity(), crs=None)
    ),
    "probabilities": RasterProfile(
        grid=grid_of(),
        count=3,
        nodata=255,
        scale=0.005,
        band_names=("a", "b", "c"),
        overview_resampling="average",
    ),
    "float": RasterProfile(grid=grid_of(width=300), count=2, dtype="float32", nodata=float("nan")),
    "CRS in a side file": RasterProfile(grid=grid_of(crs="+proj=eqearth")),
    "one block": RasterProfile(grid=grid_of(300, 200), nodata=0),
}


def data_of(profile, seed=1):
    shape = (profile.count, *profile.grid.shape)
    data = np.random.default_rng(seed).choice([0, 3, 7], shape, p=[0.7, 0.2, 0.1])
    data = data.astype(profile.dtype)
    data[:, : BLOCK // 2] = 0  # some blocks are small, some are large
    return data


def windows_of(grid, rows=BLOCK, cols=None):
    cols = cols or grid.width
    return [
        Window(col, row, min(cols, grid.width - col), min(rows, grid.height - row))
        for row in range(0, grid.height, rows)
        for col in range(0, grid.width, cols)
    ]


def write(writer, data, window):
    writer.write(data[(slice(None), *window.toslices())], window)


def uninterrupted(path, profile, data, rows=BLOCK):
    with RasterWriter(path, profile) as writer:
        for window in windows_of(profile.grid, rows):
            write(writer, data, window)
    return path.read_bytes()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def left_off(target, profile, data, windows, checkpoints, *, more=0):
    """What a run leaves that ends after some checkpoints and some windows more."""
    writer = RasterWriter(target, profile, overwrite=True, lasting=True)
    known = []
    for place, window in enumerate(windows[: checkpoints + more]):
        write(writer, data, window)
        if place < checkpoints:
            known += writer.checkpoint()
    writer.keep = True
    writer.abort()
    return known


@pytest.fixture
def target(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "classes.tif"


@pytest.fixture
def side_by_side(tmp_path):
    return tmp_path / "whole.tif"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_checkpoints_do_not_change_a_byte(target, side_by_side, profile):
    data = data_of(profile)
    expected = uninterrupted(side_by_side, profile, data)
    windows = windows_of(profile.grid)
    with RasterWriter(target, profile, lasting=True) as writer:
        assert writer.checkpoint() == []
        for window in windows:
            write(writer, data, window)
            ((told, _),) = writer.checkpoint()
            assert told == window
    assert target.read_bytes() == expected
    assert [name for name in names(target.parent) if name.startswith(".")] == []


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_going_on_after_every_checkpoint(target, side_by_side, profile):
    data = data_of(profile)
    expected = uninterrupted(side_by_side, profile, data)
    windows = windows_of(profile.grid)
    for done in range(1, len(windows) + 1):
        other = data_of(profile, seed=2)
        other[:, : done * BLOCK] = data[:, : done * BLOCK]
        # One window more is written, otherwise than later, and is in no checkpoint.
        known = left_off(target, profile, other, windows, done, more=1)
        with RasterWriter.resumed(target, profile, known, overwrite=True) as writer:
            for window in windows[done:]:
                write(writer, data, window)
                writer.checkpoint()
        assert target.read_bytes() == expected
    assert [name for name in names(target.parent) if name.startswith(".")] == []


@pytest.mark.parametrize(("rows", "cols"), [(BLOCK, BLOCK), (300, 333), (BLOCK + 1, WIDTH)])
def test_windows_in_another_order(target, side_by_side, rows, cols):
    data = data_of(CLASSES)
    expected = uninterrupted(side_by_side, CLASSES, data, rows=130)
    windows = windows_of(CLASSES.grid, rows, cols)
    windows = [windows[i] for i in np.random.default_rng(0).permutation(len(windows))]
    half = len(windows) // 2
    known = left_off(target, CLASSES, data, windows, half, more=3)
    with RasterWriter.resumed(target, CLASSES, known) as writer:
        for window in windows[half:]:
            write(writer, data, window)
            writer.checkpoint()
    assert target.read_bytes() == expected


KILLED_RUN = """
import os, random, signal, sys, time
import numpy as np
from affine import Affine
from pathlib import Path
from rasterio.windows import Window
from geoseg.errors import WorkError
from geoseg.geo.cog import RasterProfile, RasterWriter
from geoseg.geo.grid import Grid

target, rows, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
data = np.load(sys.argv[4])
grid = Grid(
    height=data.shape[1], width=data.shape[2], transform=Affine(1, 0, 9, 0, -1, 9), crs=None
)
profile = RasterProfile(grid=grid, nodata=255)
record = target.parent.parent / "record"  # one line a checkpoint: checksum; the last may be cut

def work():
    tops = range(0, grid.height, rows)
    known = [Window(0, top, grid.width, min(rows, grid.height - top)) for top in tops]
    lines = record.read_text().split(chr(10))[:-1] if record.exists() else []
    written = list(zip(known, map(int, lines), strict=False))
    try:
        writer = RasterWriter.resumed(target, profile, written) if written else None
    except WorkError:
        writer = None
    if writer is None:
        written = []
        record.write_text("")
        writer = RasterWriter(target, profile, lasting=True)
    with writer, record.open("r+") as file:
        file.seek(0, 2)
        for top in range(len(written) * rows, grid.height, rows):
            window = Window(0, top, grid.width, min(rows, grid.height - top))
            writer.write(data[:, top : top + rows], window)
            for _, checksum in writer.checkpoint():
                file.write(f"{checksum}" + chr(10))
                file.flush()
    return len(written)

def start():
    pid = os.fork()
    if pid == 0:
        os._exit(10 + work())
    return pid

started = time.perf_counter()
os.waitpid(start(), 0)
seconds = time.perf_counter() - started
random.seed(rows)
killed, longest = 0, 0
for number in range(rounds):
    record.unlink(missing_ok=True)
    target.unlink(missing_ok=True)
    patience = 1.2 * seconds
    while not target.exists():
        pid = start()
        time.sleep(random.uniform(0, patience))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        patience *= 1.1  # so that a slow machine comes to an end
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) >= 10, "the work failed"
            longest = max(longest, os.WEXITSTATUS(status) - 10)
            assert not list(target.parent.glob(".*")), list(target.parent.glob(".*"))
        else:
            killed += 1
    target.replace(target.with_suffix(f".{number}.done"))
    # What is left where it was killed while it put its last things away.
    for left in target.parent.glob(".geoseg-*"):
        left.unlink()
print("killed", killed, "longest", longest)
"""


@pytest.mark.parametrize("rows", [BLOCK, 200])
def test_killed_at_any_moment_again_and_again(target, tmp_path, rows):
    """Rows of blocks go on where they were; windows that share blocks at worst begin anew."""
    data = data_of(RasterProfile(grid=grid_of()))
    np.save(tmp_path / "data.npy", data)
    rounds = 8
    command = [sys.executable, "-W", "ignore", "-c", KILLED_RUN, target, rows, rounds]
    command = [*map(str, command), str(tmp_path / "data.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    counts = re.search(r"killed (\d+) longest (\d+)", done.stdout)
    assert int(counts[1]) >= rounds
    assert int(counts[2]) >= 1  # some went on
    whole = tmp_path / "whole.tif"
    grid = Grid(height=HEIGHT, width=WIDTH, transform=Affine(1, 0, 9, 0, -1, 9), crs=None)
    expected = uninterrupted(whole, RasterProfile(grid=grid, nodata=255), data)
    results = list(target.parent.glob("*.done"))
    assert len(results) == rounds
    assert all(result.read_bytes() == expected for result in results)


def test_a_checkpoint_that_was_torn(target, side_by_side):
    """Any mixture of old and new parts of the file, as after a power cut: right or refused."""
    data = data_of(CLASSES)
    expected = uninterrupted(side_by_side, CLASSES, data)
    windows = windows_of(CLASSES.grid)
    known = left_off(target, CLASSES, data, windows, 2)
    before = partial_path(target).read_bytes()
    partial_path(target).unlink()
    left_off(target, CLASSES, data, windows, 2, more=1)
    after = partial_path(target).read_bytes()
    assert len(after) > len(before)
    rng = np.random.default_rng(3)
    same = refused = 0
    for number in range(24):
        torn = bytearray(before + bytes(len(after) - len(before)))
        for start in range(0, len(after), 4096 if number % 2 else 16):
            # The table of blocks lies in the first page: it is torn, too, in every other round.
            if rng.random() < 0.5:
                torn[start : start + 4096] = after[start : start + 4096]
                if number % 2 == 0 and start > 4096:
                    break
        partial_path(target).write_bytes(torn[: int(rng.integers(len(before), len(after) + 1))])
        try:
            with RasterWriter.resumed(target, CLASSES, known, overwrite=True) as writer:
                for window in windows[2:]:
                    write(writer, data, window)
        except WorkError:
            refused += 1
            continue
        same += 1
        assert target.read_bytes() == expected
    assert same + refused == 24
    assert same > 0


def test_blocks_left_unreadable_are_emptied(target, side_by_side):
    """A window that covers a block in part reads the rest of it: that must not fail for ever."""
    data = data_of(CLASSES)
    expected = uninterrupted(side_by_side, CLASSES, data)
    known = left_off(target, CLASSES, data, windows_of(CLASSES.grid), 2, more=2)
    with rasterio.open(partial_path(target)) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_3", "TIFF", bidx=1))
    with partial_path(target).open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 50)
    with RasterWriter.resumed(target, CLASSES, known) as writer:
        for top in range(2 * BLOCK, HEIGHT, 100):
            for window in windows_of(grid_of(min(100, HEIGHT - top)), cols=100):
                write(writer, data, Window(window.col_off, top, window.width, window.height))
    assert target.read_bytes() == expected


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0xFF
    path.write_bytes(content)


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "no raster": lambda path: path.write_bytes(b"II*\0" + bytes(500)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5000]),
    "changed": lambda path: flip(path, 0.5),
    "a link": lambda path: path.symlink_to(path.rename(path.with_name("elsewhere.tif"))),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_and_one_can_begin_anew(target, side_by_side, damage):
    data = data_of(CLASSES)
    windows = windows_of(CLASSES.grid)
    known = left_off(target, CLASSES, data, windows, len(windows))
    damage(partial_path(target))
    with pytest.raises(WorkError, match=r"classes\.tif: "):
        RasterWriter.resumed(target, CLASSES, known)
    if partial_path(target).is_dir():
        partial_path(target).rmdir()
    with RasterWriter(target, CLASSES, lasting=True) as writer:
        write(writer, data, CLASSES.grid.window)
    assert target.read_bytes() == uninterrupted(side_by_side, CLASSES, data)
    assert [name for name in names(target.parent) if name.startswith(".")] == []


CHANGES = {
    "size": {"grid": grid_of(HEIGHT + 1)},
    "place": {"grid": Grid(height=HEIGHT, width=WIDTH, transform=Affine(1, 0, 9, 0, -1, 9),
                           crs=CLASSES.grid.crs)},
    "CRS": {"grid": grid_of(crs="EPSG:32633")},
    "bands": {"count": 2, "colormap": None, "band_names": ()},
    "dtype": {"dtype": "uint16", "colormap": None},
    "nodata": {"nodata": 254},
    "no nodata": {"nodata": None},
    "colours": {"colormap": {0: (0, 0, 9, 255)}},
    "no colours": {"colormap": None},
    "names": {"band_names": ("klass",)},
    "scale": {"scale": 0.5},
    "tags": {"tags": {"GEOSEG_BUNDLE": "roads"}},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_of_another_raster_is_refused(target, change):
    known = left_off(target, CLASSES, data_of(CLASSES), windows_of(CLASSES.grid), 1)
    settings = {name: getattr(CLASSES, name) for name in CLASSES.__dataclass_fields__}
    with pytest.raises(WorkError, match="is of another raster"):
        RasterWriter.resumed(target, RasterProfile(**{**settings, **change}), known)
    RasterWriter.resumed(target, CLASSES, known).abort()


@pytest.mark.parametrize(
    "window",
    [Window(0, 0, WIDTH + 1, 9), Window(0, HEIGHT, 1, 1), Window(-1, 0, 5, 5), Window(0, -3, 5, 5)],
)
def test_windows_outside_are_refused(target, window):
    left_off(target, CLASSES, data_of(CLASSES), windows_of(CLASSES.grid), 1)
    with pytest.raises(WorkError, match="tells of pixels outside of it"):
        RasterWriter.resumed(target, CLASSES, [(window, 0)])


def test_what_is_kept(target):
    data = data_of(CLASSES)
    writer = RasterWriter(target, CLASSES, lasting=True)
    writer.abort()
    assert names(target.parent) == []
    known = left_off(target, CLASSES, data, windows_of(CLASSES.grid), 1)
    kept = names(target.parent)
    assert [name.startswith(".geoseg-keep-") for name in kept] == [True]
    temporary._remove_stale.cache_clear()  # a new process would look
    temporary.temporary_path(target)
    assert names(target.parent) == kept
    RasterWriter.resumed(target, CLASSES, known).abort()  # what was there stays
    assert names(target.parent) == kept
    writer = RasterWriter.resumed(target, CLASSES, known)
    writer.keep = False
    writer.abort()
    assert names(target.parent) == []


def test_a_failing_end_can_be_repeated(target, side_by_side, monkeypatch):
    """The COG needs room of its own: the work must not be lost when it lacks."""
    data = data_of(CLASSES)
    known = []

    def fail(*_):
        raise OSError(28, "No space left on device")

    def work():
        with RasterWriter(target, CLASSES, lasting=True) as writer:
            write(writer, data, CLASSES.grid.window)
            known.extend(writer.checkpoint())
            writer.keep = True
            monkeypatch.setattr(RasterWriter, "_copy", fail)

    with pytest.raises(WorkError, match=r"no space left on device\)\. Check the free space"):
        work()
    monkeypatch.undo()
    RasterWriter.resumed(target, CLASSES, known).commit()
    assert target.read_bytes() == uninterrupted(side_by_side, CLASSES, data)
    assert names(target.parent) == ["classes.tif"]


FULL_DISK = """
import resource, sys
import numpy as np
from affine import Affine
from pathlib import Path
from rasterio.windows import Window
from geoseg.errors import WorkError
from geoseg.geo.cog import RasterProfile, RasterWriter
from geoseg.geo.grid import Grid

target, data = Path(sys.argv[1]), np.load(sys.argv[2])
grid = Grid(
    height=data.shape[1], width=data.shape[2], transform=Affine(1, 0, 9, 0, -1, 9), crs=None
)
profile = RasterProfile(grid=grid, nodata=255)
tops = range(0, grid.height, 512)
rows = [Window(0, top, grid.width, min(512, grid.height - top)) for top in tops]

def go_on(writer, known):
    with writer:
        for window in rows[len(known):]:
            writer.write(data[(slice(None), *window.toslices())], window)
            known += writer.checkpoint()
            writer.keep = True
    return known

refused = []
for limit in [*range(100, 1100, 93)]:
    known = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit * 1000, resource.RLIM_INFINITY))
    try:
        go_on(RasterWriter(target, profile, lasting=True), known)
    except WorkError as error:
        assert "Check the free space" in str(error), error
        refused.append(len(known))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if not target.exists():
        go_on(RasterWriter.resumed(target, profile, known) if known
              else RasterWriter(target, profile, lasting=True), known)
    target.rename(target.with_suffix(f".{limit}.done"))
    assert not list(target.parent.glob(".*"))
print("refused", sorted(set(refused)))
"""


def test_a_full_disk_leaves_earlier_checkpoints_good(target, tmp_path):
    data = np.random.default_rng(5).integers(0, 200, (1, HEIGHT, 550)).astype("uint8")
    np.save(tmp_path / "data.npy", data)
    command = [sys.executable, "-W", "ignore", "-c", FULL_DISK, target, tmp_path / "data.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    # The disk was full before the first checkpoint, after each, and at the end.
    assert done.stdout.split("refused ")[1].strip() == "[0, 1, 2, 3, 4]"
    grid = Grid(height=HEIGHT, width=550, transform=Affine(1, 0, 9, 0, -1, 9), crs=None)
    expected = uninterrupted(tmp_path / "whole.tif", RasterProfile(grid=grid, nodata=255), data)
    results = list(target.parent.glob("*.done"))
    assert len(results) == 11
    assert all(result.read_bytes() == expected for result in results)


def test_only_one_process_writes(target, side_by_side):
    data = data_of(CLASSES)
    known = left_off(target, CLASSES, data, windows_of(CLASSES.grid), 1)
    code = (
        "import sys\n"
        "from affine import Affine\n"
        "from geoseg.geo.cog import RasterProfile, RasterWriter\n"
        "from geoseg.geo.grid import Grid\n"
        "grid = Grid(height=9, width=9, transform=Affine(1, 0, 9, 0, -1, 9), crs=None)\n"
        "RasterWriter(sys.argv[1], RasterProfile(grid=grid), lasting=True).abort()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, target]
    with RasterWriter.resumed(target, CLASSES, known) as writer:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        expected = f"classes.tif: is being written by process {os.getpid()} since "
        assert done.returncode == 1 and f"OutputError: {target.parent}/{expected}" in done.stderr
        for _ in range(2):
            with pytest.raises(OutputError, match="is being written by process "):
                RasterWriter.resumed(target, CLASSES, known)
            with pytest.raises(OutputError, match="is being written by process "):
                RasterWriter(target, CLASSES, lasting=True)
        for window in windows_of(CLASSES.grid)[1:]:
            write(writer, data, window)
    assert target.read_bytes() == uninterrupted(side_by_side, CLASSES, data)
    assert names(target.parent) == ["classes.tif"]


def test_outputs_of_one_folder_do_not_meet(tmp_path):
    longest = "x" * 251
    targets = [tmp_path / f"{name}.tif" for name in ("a", "b", "é", longest)]
    profile = RasterProfile(grid=grid_of(9, 9))
    with contextlib.ExitStack() as stack:
        for value, target in enumerate(targets):
            writer = stack.enter_context(RasterWriter(target, profile, lasting=True))
            writer.write(np.full((1, 9, 9), value, "uint8"), profile.grid.window)
            writer.checkpoint()
    for value, target in enumerate(targets):
        with rasterio.open(target) as dataset:
            assert (dataset.read() == value).all()
    assert len(names(tmp_path)) == len(targets)


def test_a_folder_without_locks_does(target, monkeypatch):
    def unknown(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unknown)
    with RasterWriter(target, RasterProfile(grid=grid_of(9, 9)), lasting=True) as writer:
        writer.write(np.ones((1, 9, 9), "uint8"), Window(0, 0, 9, 9))
    assert names(target.parent) == ["classes.tif"]


def test_a_lock_that_cannot_be_opened_is_told(target):
    cog.lasting_path(target, ".lock").symlink_to("elsewhere")
    with pytest.raises(OutputError, match=r"cannot be worked on: \.geoseg-keep-.* Remove that"):
        RasterWriter(target, CLASSES, lasting=True)
    assert not (target.parent / "elsewhere").exists()


def test_no_handle_stays_open(target):
    folder = Path("/proc/self/fd")
    if not folder.exists():
        pytest.skip("needs /proc")

    def handles():
        links = [entry for entry in folder.iterdir() if entry.is_symlink()]
        return [link for link in links if str(target.parent) in str(link.readlink())]

    known = left_off(target, CLASSES, data_of(CLASSES), windows_of(CLASSES.grid), 3)
    assert handles() == []
    writer = RasterWriter.resumed(target, CLASSES, known)
    for _ in range(5):
        writer.checkpoint()
    assert len(handles()) == 2  # the raster and its lock
    writer.abort()
    flip(partial_path(target), 0.5)
    with pytest.raises(WorkError):
        RasterWriter.resumed(target, CLASSES, known)
    assert handles() == []
