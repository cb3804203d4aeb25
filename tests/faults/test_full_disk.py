"""A disk that fills up, at every single write: one clear line, and what was there stays."""

import errno
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from fault_tasks import TASKS
from fault_work import JOBS, WorkServer, hidden, visible

pytestmark = pytest.mark.slow

MOST = 40
"""Writes of a task that fail one by one; of more, these many spread over all."""


@pytest.fixture(scope="module")
def failing(inputs, tmp_path_factory):
    """Runs jobs whose writes fail when they are told to."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = tmp_path_factory.mktemp("shim") / "failing_writes.so"
    source = Path(__file__).parents[1] / "failing_writes.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    server = WorkServer(inputs, preload=library)
    yield server
    server.close()


def check_failure(answer, folder, before, *, resumable=False):
    """It was told in one line, the old output is untouched, and nothing is left."""
    assert answer.code == 1, answer.log
    assert "Traceback" not in answer.log
    assert "defect of geoseg" not in answer.log
    told = [line for line in answer.log.splitlines() if line.startswith("Error: ")]
    assert len(told) == 1, answer.log
    assert re.search(r"written|space|disk|read back", told[0]), told
    assert visible(folder) == before
    kept = [name for name in hidden(folder) if not name.startswith(".geoseg-keep-")]
    assert (kept if resumable else hidden(folder)) == []


@pytest.mark.long
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("number", [errno.ENOSPC])
def test_every_write_may_fail(failing, tmp_path, name, number):
    folder, count = tmp_path / "work", tmp_path / "count"
    folder.mkdir()
    words = f"task '{name}'"
    done = failing.run(words, folder, fail_at=0, count=str(count))
    assert done.code == 0, done.log
    total = count.stat().st_size
    assert total > 0, "no write was seen"
    before = visible(folder)
    step = max(1, total // MOST)
    failed = 0
    for place in [*range(1, min(total, 10)), *range(10, total + 1, step), total]:
        done = failing.run(words, folder, fail_at=place, count=str(count))
        if done.code == 0:  # what cannot be written is not needed: who has a lock
            assert visible(folder).keys() == before.keys()
            assert hidden(folder) == []
            before = visible(folder)
            continue
        failed += 1
        check_failure(done, folder, before)
    assert failed


@pytest.mark.parametrize("name", ["predict", "tile", "vectorize", "relabel", "evaluate", "export"])
def test_every_command_meets_a_full_disk(failing, tmp_path, name):
    folder, count = tmp_path / "work", tmp_path / "count"
    folder.mkdir()
    done = failing.run(JOBS[name], folder, fail_at=0, count=str(count))
    assert done.code == 0, done.log
    total = count.stat().st_size
    before = visible(folder)
    for place in sorted({2, total // 3, 2 * total // 3, total - 1}):
        done = failing.run(f"{JOBS[name]} --overwrite", folder, fail_at=place, count=str(count))
        if done.code == 0:  # it was the lock that could not say whose it is
            assert visible(folder).keys() == before.keys()
            before = visible(folder)
            continue
        check_failure(done, folder, before, resumable=name == "predict")


@pytest.mark.parametrize("largest", [100, 5_000])
@pytest.mark.parametrize("name", ["predict", "tile", "train", "vectorize", "relabel", "export"])
def test_a_quota_is_told(server, tmp_path, name, largest):
    """A limit of the size of files, as of quotas: `EFBIG`, that GDAL drops at close."""
    if (name, largest) in {("tile", 5_000), ("relabel", 5_000)}:
        largest = 300  # their files are smaller
    done = server.run(JOBS[name], tmp_path, largest=largest)
    assert done.code == 1, done.log
    assert "Traceback" not in done.log and "defect of geoseg" not in done.log
    assert sum(line.startswith("Error: ") for line in done.log.splitlines()) == 1, done.log
    if name != "train":
        assert visible(tmp_path) == {}
    assert hidden(tmp_path) == []
