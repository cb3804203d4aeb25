"""A scheduler that somebody else has started, and its workers: `--cluster tcp://host:port`."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from distributed import Client
from noise_scenes import write_model, write_scene

from geoseg.engine.cluster import AHEAD, Cluster
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.engine.cluster_start import connect
from geoseg.errors import WorkError
from geoseg.predict import PredictOptions, predict

SECONDS = 120
ABSENT = "raise ModuleNotFoundError(\"No module named 'geoseg'\", name='geoseg')\n"


class Started:
    """Dask's own commands as processes, a scheduler on loopback and its workers."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.file = folder / "scheduler.json"
        words = ("--host", "127.0.0.1", "--port", "0", "--scheduler-file", self.file)
        self._start("distributed.cli.dask_scheduler", *words)
        until = time.monotonic() + SECONDS
        while not self.file.exists() and time.monotonic() < until:
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text())["address"]

    def add_worker(self, **variables):
        """Start one more, and wait until the scheduler knows it."""
        words = ("--host", "127.0.0.1", "--nthreads", "1", "--no-nanny")
        self._start("distributed.cli.dask_worker", self.address, *words, **variables)
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.processes) - 1, timeout=SECONDS)

    def _start(self, module, *words, **variables):
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", module, "--no-dashboard", *words],
                cwd=self.folder,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def end(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def started(tmp_path):
    made = Started(tmp_path)
    yield made
    made.end()


def make_files(folder):
    scene = write_scene(folder / "scene.tif", (600, 90))
    path = folder / "model.safetensors"
    return scene, write_model(path, "linear", "none", window=64, stride=32)


@pytest.mark.slow
def test_a_scheduler_that_runs(started, tmp_path):
    """It is used and left running; then a worker joins that has no geoseg."""
    words = make_files(tmp_path)
    options = PredictOptions(precision="fp32", device="cpu", backend="torch")
    started.add_worker()
    predict(*words, tmp_path / "there.tif", replace(options, cluster=started.address))
    predict(*words, tmp_path / "here.tif", options)
    assert (tmp_path / "there.tif").read_bytes() == (tmp_path / "here.tif").read_bytes()
    assert all(process.poll() is None for process in started.processes)

    (tmp_path / "bare" / "geoseg").mkdir(parents=True)
    (tmp_path / "bare" / "geoseg" / "__init__.py").write_text(ABSENT)
    started.add_worker(PYTHONPATH=str(tmp_path / "bare"))
    with (
        pytest.raises(WorkError, match=r"tcp://127\.0\.0\.1:\d+ has no geoseg, this is geoseg"),
        Cluster(ClusterSpec.parse(started.address)),
    ):
        raise AssertionError("a worker without geoseg was taken")


def test_a_scheduler_without_workers(started, monkeypatch):
    monkeypatch.setattr("geoseg.engine.cluster.WORKER_SECONDS", 0.2)
    with (
        pytest.raises(WorkError, match=r"tcp://127\.0\.0\.1:\d+: has no workers within 0 s"),
        Cluster(ClusterSpec.parse(started.address)),
    ):
        raise AssertionError("a scheduler without workers was taken")


@pytest.mark.parametrize("moment", ["frozen", "killed"])
def test_a_scheduler_that_is_lost_while_a_result_is_fetched(started, moment):
    """Both for what was never done, and for what is frozen as it is handed over."""
    cluster = Cluster(ClusterSpec.parse(started.address))
    with connect(started.address, SECONDS) as client:
        cluster._client = client
        future, told = cluster.submit(len, "word"), []

        def fetch():
            try:
                cluster.result(future)
            except WorkError as error:
                told.append(str(error))

        thread = threading.Thread(target=fetch, daemon=True)
        thread.start()
        if moment == "frozen":
            # What the client sees of a machine without power, in the end: no word, and no end.
            os.kill(started.processes[0].pid, signal.SIGSTOP)
            client.status = "connecting"
        else:
            started.processes[0].kill()
        thread.join(SECONDS)
        in_time = list(told)  # the end of the client ends all that waits
        client.status = "running"
    assert in_time == [f"{started.address}: its scheduler is gone. Start it, and --resume."]


def test_workers_that_come_later_get_tasks_too():
    cluster = Cluster(ClusterSpec.parse("tcp://127.0.0.1:1"))

    def taken():
        return sum(cluster.take_slot(wait=False) for _ in range(10))

    assert taken() == AHEAD
    cluster._hear((0.0, {"action": "add-worker", "worker": "tcp://127.0.0.1:2"}))
    assert taken() == AHEAD
    cluster._hear((0.0, {"action": "remove-worker", "worker": "tcp://127.0.0.1:2"}))
    assert taken() == 0
    for _ in range(AHEAD + 1):
        cluster.give_slot()
    assert taken() == 1
