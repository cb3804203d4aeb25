"""A disk that fills up, at every single write: one clear line, and what was there stays."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fault_tasks import TASKS
from fault_torch_tasks import TASKS as TORCH_TASKS
from fault_work import JOBS, WorkServer, check_failure, hidden, visible

pytestmark = pytest.mark.slow


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


@pytest.mark.parametrize("name", [*TASKS, *TORCH_TASKS])
def test_every_write_may_fail(failing, tmp_path, name):
    folder, count = tmp_path / "work", tmp_path / "count"
    folder.mkdir()
    words = f"task '{name}'"
    done = failing.run(words, folder, fail_at=0, count=str(count))
    assert done.code == 0, done.log
    total = count.stat().st_size
    assert total > 0, "no write was seen"
    before = visible(folder)
    failed = 0
    for place in range(1, total + 1):
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
