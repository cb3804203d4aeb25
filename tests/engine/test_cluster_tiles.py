"""Tile sets cut by workers: the same files as by threads."""

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from small_land import make_land

from geoseg.engine import cluster_tiles
from geoseg.engine.cluster import Cluster
from geoseg.engine.cluster_spec import ClusterSpec
from geoseg.errors import ConfigError, SceneError, WorkError
from geoseg.tile import TileOptions, tile


@pytest.fixture(scope="module")
def started():
    with Cluster(ClusterSpec.parse("local:1")) as cluster:
        yield cluster


@pytest.fixture
def cluster(started, monkeypatch):
    class Kept:
        def __enter__(self):
            return started

        def __exit__(self, *_):
            return None

    monkeypatch.setattr("geoseg.engine.cluster_tiles.Cluster", lambda spec: Kept())
    return started


@pytest.fixture
def land(tmp_path):
    make_land(tmp_path)
    (tmp_path / "second.tif").write_bytes((tmp_path / "scene.tif").read_bytes())
    return tmp_path


def cut(land, output, options):
    scenes = [land / "scene.tif", land / "second.tif"]
    return tile(scenes, land / "labels.tif", output, options, legend=land / "legend.toml")


def files(folder):
    """All files; of the description all but the time of its making."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    lines = found.pop("tileset.json").splitlines()
    return found, [line for line in lines if b"created" not in line]


@pytest.mark.parametrize("method", ["stride", "balanced"])
def test_tiles_are_the_same_files(land, cluster, monkeypatch, method):
    monkeypatch.setattr(cluster_tiles, "_MOST_PLACES", 7)
    options = TileOptions(size=16, stride=9, method=method, count=12, split=(0.7, 0.3, 0))
    monkeypatch.chdir(land)  # relative paths lead workers there, too
    cut(Path(), Path("plain"), options)
    done = cut(Path(), Path("out"), replace(options, cluster="local:1"))
    assert len(done.tiles) > 12
    assert files(land / "plain") == files(land / "out")


def test_a_broken_scene_is_told_as_without_workers(land, cluster):
    broken = (land / "second.tif").read_bytes()
    options = TileOptions(size=16, split=(0.7, 0.3, 0), cluster="local:1")
    real = cluster.submit

    def spoil(*words, **named):
        (land / "second.tif").write_bytes(broken[:5000])
        return real(*words, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "submit", spoil)
        with pytest.raises(SceneError, match=r"second\.tif"):
            cut(land, land / "out", options)
    assert not (land / "out").exists()


def test_a_folder_that_workers_do_not_see_is_told(cluster, land):
    order = cluster_tiles.TileOrder(cutter=_Cutter(land / "nowhere"), groups=[], folder=str(land))
    with pytest.raises(WorkError, match=r"nowhere: is not seen by a worker"):
        cluster_tiles.cut_scene(order)


class _Cutter:
    def __init__(self, root, cut=None):
        self.encoder = type("Encoder", (), {"root": root})
        self.cut = cut


def test_threads_of_a_worker_stay_in_the_folder_of_their_task(tmp_path):
    """A second task that begins within the first one, and ends after it."""
    second_began, first_ended = threading.Event(), threading.Event()
    seen = []

    def first(_):
        other.start()
        second_began.wait(0.2)  # in vain, where tasks come one after the other

    def second(_):
        second_began.set()
        first_ended.wait(10)
        seen.append(os.getcwd())

    def task(cut):
        cutter = _Cutter(tmp_path, cut)
        cluster_tiles.cut_scene(
            cluster_tiles.TileOrder(cutter=cutter, groups=[[]], folder=str(tmp_path))
        )

    before = os.getcwd()
    other = threading.Thread(target=task, args=[second])
    task(first)
    first_ended.set()
    other.join()
    assert seen == [str(tmp_path)]
    assert os.getcwd() == before


def test_a_worker_may_ask_for_no_more_than_whoever_gave_the_order(tmp_path, monkeypatch):
    asked = "CPL_VSIL_CURL_ALLOWED_FILENAME"
    monkeypatch.setenv(asked, "none")
    seen = []
    cutter = _Cutter(tmp_path, lambda _: seen.append(os.environ.get(asked)))
    (order,) = cluster_tiles._orders([(cutter, [])])
    monkeypatch.delenv(asked)
    cluster_tiles.cut_scene(order)
    assert seen == ["none"]
    assert asked not in os.environ


def test_no_cluster_is_refused_at_once():
    with pytest.raises(ConfigError, match="is no cluster"):
        TileOptions(cluster="moon:3")
