"""Predictions and tiles by workers of this machine: the same bytes as without them."""

import logging
import multiprocessing
import os
import random
import re
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from noise_scenes import write_model, write_scene
from range_server import serve
from stopped_runs import Stop
from torch_threads import one_thread

from geoseg.engine import cluster_chunks, cluster_worker
from geoseg.engine.cluster import Cluster
from geoseg.engine.cluster_run import ClusterRun
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.errors import WorkError
from geoseg.mosaic import mosaic
from geoseg.predict import PredictOptions, predict

FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", blend="hann")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Scenes, and a network with random weights: its rounding is what must not change."""
    folder = tmp_path_factory.mktemp("cluster")
    write_model(folder / "model.safetensors")
    (folder / "scenes").mkdir()
    write_scene(folder / "scenes" / "a.tif", (1700, 130), np.s_[200:700, :70])
    write_scene(folder / "scenes" / "b.tif", (600, 90))
    write_scene(folder / "scenes" / "c.tif", (90, 70))
    return folder


class Kept:
    """A cluster that outlives the runs that use it, as a scheduler that runs does."""

    def __init__(self, cluster):
        self.cluster = cluster

    def __call__(self, spec, *, gpus=0):
        return self

    def __enter__(self):
        return self.cluster

    def __exit__(self, *_):
        return None


@pytest.fixture(scope="module")
def started():
    with Cluster(ClusterSpec.parse("local:2")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started, monkeypatch):
    monkeypatch.setattr("geoseg.engine.cluster_predict.Cluster", Kept(started))
    monkeypatch.setattr("geoseg.engine.cluster_tiles.Cluster", Kept(started))
    return started


def files(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.fixture(scope="module")
def plain(place, tmp_path_factory):
    """The files of a run without workers, with a thread for each: as many as a worker has."""
    folder = tmp_path_factory.mktemp("plain")
    options = replace(FP32, probabilities=folder / "p", uncertainty=folder / "u")
    with one_thread():
        results = predict(place / "scenes", place / "model.safetensors", folder / "o", options)
    return folder, results


def on_cluster(place, folder, **changes):
    options = replace(FP32, probabilities=folder / "p", uncertainty=folder / "u", cluster="local:2")
    return predict(
        place / "scenes",
        place / "model.safetensors",
        folder / "o",
        replace(options, **changes),
    )


def kill_one(draw, seconds):
    """End a worker at some moment."""
    time.sleep(draw.random() * seconds)
    while not (pids := sorted(child.pid for child in multiprocessing.active_children())):
        time.sleep(0.05)
    os.kill(draw.choice(pids), signal.SIGKILL)


def run_and_kill(place, folder, draw, seconds):
    """The files of a run of which a worker is killed."""
    errors = []

    def kill():
        try:
            kill_one(draw, seconds)
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            errors.append(error)

    thread = threading.Thread(target=kill)
    thread.start()
    on_cluster(place, folder)
    thread.join()
    assert not errors
    return [files(folder / kind) for kind in "opu"]


def test_scenes_are_the_same_bytes_as_without_workers(place, plain, cluster, tmp_path):
    folder, expected = plain
    results = on_cluster(place, tmp_path)
    for kind in "opu":
        assert files(tmp_path / kind) == files(folder / kind)
    for one, two in zip(results, expected, strict=True):
        assert (one.scene, one.pixels, one.nodata_pixels) == (
            two.scene,
            two.pixels,
            two.nodata_pixels,
        )
        assert one.runtime == two.runtime


def test_a_killed_worker_changes_nothing(place, plain, cluster, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "geoseg"):
        found = run_and_kill(place, tmp_path, random.Random(0), 1.0)
        until = time.monotonic() + 30  # it is heard of by another thread, maybe after the end
        while not caplog.records and time.monotonic() < until:
            time.sleep(0.05)
    assert found == [files(plain[0] / kind) for kind in "opu"]
    (told,) = [record.getMessage() for record in caplog.records]
    assert re.fullmatch(r"local:2: lost the worker tls://127\.0\.0\.1:\d+; what it .*", told)


@pytest.mark.long
def test_twenty_killed_workers_change_nothing(place, plain, cluster, tmp_path):
    draw, expected = random.Random(1), [files(plain[0] / kind) for kind in "opu"]
    started = time.monotonic()
    on_cluster(place, tmp_path / "timed")
    seconds = time.monotonic() - started
    for number in range(20):
        found = run_and_kill(place, tmp_path / str(number), draw, seconds)
        assert found == expected


def test_a_broken_scene_fails_alone_and_is_done_when_mended(
    place, plain, cluster, tmp_path, monkeypatch
):
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    for path in (place / "scenes").iterdir():
        (scenes / path.name).write_bytes(path.read_bytes())
    broken = bytearray((scenes / "b.tif").read_bytes())
    whole = bytes(broken)
    del broken[len(broken) // 2 :]
    stamp = (scenes / "b.tif").stat()
    options = replace(FP32, cluster="local:2")
    real = ClusterRun._run_parts

    def spoil(run, parts, sink, task):
        if run._job.own.path.endswith("b.tif"):
            (scenes / "b.tif").write_bytes(bytes(broken))
        real(run, parts, sink, task)

    monkeypatch.setattr(ClusterRun, "_run_parts", spoil)
    with pytest.raises(WorkError, match=r"1 of 3 scenes failed, all others are done: .*b\.tif"):
        predict(scenes, place / "model.safetensors", tmp_path / "o", options)
    monkeypatch.undo()
    monkeypatch.setattr("geoseg.engine.cluster_predict.Cluster", Kept(cluster))
    assert {path.name for path in (tmp_path / "o").iterdir() if path.suffix == ".tif"} == {
        "a.tif",
        "c.tif",
    }
    (scenes / "b.tif").write_bytes(whole)
    os.utime(scenes / "b.tif", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    made = (tmp_path / "o" / "a.tif").stat().st_mtime_ns
    predict(scenes, place / "model.safetensors", tmp_path / "o", replace(options, resume=True))
    assert (tmp_path / "o" / "a.tif").stat().st_mtime_ns == made
    pixels = [read(folder / "o" / "b.tif") for folder in (tmp_path, plain[0])]
    assert np.array_equal(*pixels)


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.fixture(name="one_thread")
def _one_thread():
    """As many as a worker has."""
    with one_thread():
        yield


@pytest.mark.parametrize(
    ("first", "second"), [("local:2", "local:2"), ("local:2", None), (None, "local:2")]
)
def test_a_stopped_run_is_gone_on_with(
    place, cluster, one_thread, tmp_path, monkeypatch, first, second
):
    """By workers or without, whichever the first run had: with the same scores to the last bit.

    The last chunk alone has one window more than a batch, the whole scene has not.
    """
    monkeypatch.setattr("geoseg.engine.sink.CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr(cluster_chunks, "CHUNK_BYTES", 1)  # a row of blocks each
    sent = []
    real = Cluster.submit

    def submit(self, function, *arguments, **named):
        sent.append(arguments)
        return real(self, function, *arguments, **named)

    def run(name, progress=None, **changes):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        options = replace(FP32, batch_size=7, probabilities=folder / "p.tif", prob_dtype="float32")
        words = place / "scenes" / "a.tif", place / "model.safetensors", folder / "a.tif"
        predict(*words, replace(options, **changes), progress=progress)

    monkeypatch.setattr(Cluster, "submit", submit)
    run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("twice", Stop(600, seconds=0.5), cluster=first)
    chunks = [each[2] for each in sent if len(each) == 3]
    assert len(chunks) == (4 if first else 0)
    sent.clear()
    run("twice", resume=True, cluster=second)
    again = [each[2] for each in sent if len(each) == 3]
    assert not first or set(again) < set(chunks)
    assert 0 < len(again) < 4 if second else again == []
    assert files(tmp_path / "twice") == files(tmp_path / "whole")


def test_a_chunk_that_finds_no_memory_is_halved(place, plain, cluster, tmp_path, caplog):
    heights = []

    real = Cluster.result

    def result(self, future):
        found = real(self, future)
        if isinstance(found, cluster_worker.ChunkResult):
            height = found.arrays[0].shape[1]
            heights.append(height)
            if height > 512:
                raise MemoryError
        return found

    options = replace(FP32, cluster="local:2")
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING, "geoseg"):
        patch.setattr(Cluster, "result", result)
        words = place / "scenes" / "a.tif", place / "model.safetensors", tmp_path / "a.tif"
        predict(*words, options)
        assert max(heights) > 512
        assert "going on with halves" in caplog.text
        assert np.array_equal(read(tmp_path / "a.tif"), read(plain[0] / "o" / "a.tif"))

        def never(self, future):
            found = real(self, future)
            if isinstance(found, cluster_worker.ChunkResult):
                raise MemoryError  # noqa: TRY004 - what a worker would raise
            return found

        patch.setattr(Cluster, "result", never)
        with pytest.raises(
            WorkError, match=r"no memory for rows \d+ to \d+, and they cannot be halved"
        ):
            predict(*words, replace(options, overwrite=True))


def test_errors_of_workers_arrive_as_they_are(place, cluster, tmp_path, monkeypatch):
    real = ClusterRun._run_parts

    def replaced(run, parts, sink, task):
        write_scene(tmp_path / "scene.tif", (900, 60))
        real(run, parts, sink, task)

    monkeypatch.setattr(ClusterRun, "_run_parts", replaced)
    write_scene(tmp_path / "scene.tif", (700, 60))
    words = tmp_path / "scene.tif", place / "model.safetensors", tmp_path / "o.tif"
    with pytest.raises(WorkError, match=r"scene\.tif: a worker sees another scene"):
        predict(*words, replace(FP32, cluster="local:2"))
    assert not (tmp_path / "o.tif").exists()


def test_workers_ask_for_nothing_elsewhere_that_the_orders_may_not(
    place, cluster, tmp_path, monkeypatch
):
    """A scene that names overviews at a URL, in a mosaic, whose files nobody has looked into."""
    options = replace(FP32, cluster="local:2", mode="resize")
    monkeypatch.setenv("CPL_VSIL_CURL_ALLOWED_FILENAME", "none")
    asked = []
    with serve(tmp_path) as server:
        for name in ("forbidden", "allowed"):
            inner, scene = write_scene(tmp_path / f"{name}.tif", (600, 200)), tmp_path / name
            mosaic(inner, scene.with_suffix(".vrt"))
            with rasterio.open(inner, "r+") as file:
                overviews = f"/vsicurl/{server.fresh('none.tif')}"
                file.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=overviews)
            words = scene.with_suffix(".vrt"), place / "model.safetensors"
            predict(*words, tmp_path / f"{name}_classes.tif", options)
            asked.append(len(server.asked()[0]))
            monkeypatch.delenv("CPL_VSIL_CURL_ALLOWED_FILENAME", raising=False)
    assert asked[0] == 0
    assert asked[1] > 0, "the scene names nothing that a worker would ask for"


def test_a_worker_of_another_version_is_named(place, started, monkeypatch):
    monkeypatch.setattr("geoseg.engine.cluster.__version__", "99.0")
    with pytest.raises(
        WorkError, match=r"--cluster: tls://127.0.0.1:\d+ has geoseg .*is geoseg 99"
    ):
        started._check_versions()


def test_an_order_of_another_version_is_refused(place, started):
    order = cluster_worker.SceneOrder(
        scene="a.tif", bundles=(), options=FP32, targets=None, sha256="", stamp=(0, 0), mark="",
        version="99.0",
    )  # fmt: skip
    with pytest.raises(WorkError, match=r"this is geoseg 99\.0"):
        started.call(cluster_worker.predict_chunk, order, [], None)
