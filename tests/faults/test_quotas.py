"""Files that may not grow, and a disk that is really full: one clear line, and what was stays.

A limit of the size of files gives `EFBIG`, as quotas do, which GDAL drops where a file is closed.
"""

import os
import shutil
import subprocess

import pytest
from fault_tasks import TASKS
from fault_torch_tasks import TASKS as TORCH_TASKS
from fault_work import JOBS, OTHER_JOBS, check_failure, hidden, visible

pytestmark = pytest.mark.slow

ALL_JOBS = JOBS | OTHER_JOBS


@pytest.mark.parametrize("name", ALL_JOBS)
def test_every_command_tells_that_nothing_may_grow(server, unbroken, tmp_path, name):
    shutil.copytree(unbroken(name).folder, tmp_path, dirs_exist_ok=True)
    before = visible(tmp_path)
    done = server.run(f"{ALL_JOBS[name]} --overwrite", tmp_path, largest=100)
    if name == "train":  # its folder fills up while it trains
        before = visible(tmp_path)
    check_failure(done, tmp_path, before)


@pytest.mark.parametrize(
    ("name", "largest"),
    [("predict", 5_000), ("tile", 300), ("train", 5_000), ("vectorize", 5_000), ("relabel", 300)],
)
def test_what_outgrows_its_quota_late_is_told(server, tmp_path, name, largest):
    done = server.run(JOBS[name], tmp_path, largest=largest)
    check_failure(done, tmp_path, visible(tmp_path) if name == "train" else {})


def test_the_demo_tells_it(server, tmp_path):
    check_failure(server.run("demo -o out", tmp_path, largest=100), tmp_path, {})


@pytest.mark.parametrize("share", [0.0, 0.5, 0.97])
@pytest.mark.parametrize("name", [*TASKS, *TORCH_TASKS])
def test_every_writer_tells_that_its_file_may_not_grow(server, tmp_path, name, share):
    assert server.run(f"task '{name}'", tmp_path).code == 0
    before = visible(tmp_path)
    largest = max(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    done = server.run(f"task '{name}'", tmp_path, largest=int(largest * share))
    check_failure(done, tmp_path, before)


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of 48 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("nobody may mount a disk here")
    words = [mount, "-t", "tmpfs", "-o", "size=48k", "none", folder]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("name", ["vectorize", "tile", "evaluate", "export", "preview"])
def test_a_small_disk_is_full(server, small_disk, name):
    work = small_disk / "work"
    work.mkdir()
    (small_disk / "ballast").write_bytes(bytes(36 * 1024))
    done = server.run(ALL_JOBS[name], work, largest=1 << 30)
    check_failure(done, work, {})
    (small_disk / "ballast").write_bytes(b"")
    assert hidden(small_disk) == []
