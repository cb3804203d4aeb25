"""What a worker keeps from one task to the next."""

import threading
from types import SimpleNamespace

import pytest
import torch

from geoseg import __version__
from geoseg.engine import cluster_worker


@pytest.fixture
def found(monkeypatch):
    """Hashes of the bundle's file, as it is found each time it is opened."""
    hashes = []
    monkeypatch.setattr(cluster_worker, "open_model", lambda path: path)
    monkeypatch.setattr(
        cluster_worker, "Ensemble", lambda models, options: SimpleNamespace(sha256=hashes.pop(0))
    )
    monkeypatch.setattr(cluster_worker, "Crew", lambda ensemble, options: object())
    return hashes


def order(sha256):
    return SimpleNamespace(bundles=("model.safetensors",), sha256=sha256, options=None)


def test_a_bundle_is_opened_once_as_long_as_it_is_asked_for(found):
    found[:] = ["one", "two"]
    kept = cluster_worker._Kept()
    first = kept.open(order("one"))
    assert kept.open(order("one")) is first
    assert kept.open(order("two"))[0].sha256 == "two"


def test_an_older_bundle_that_a_shared_folder_still_shows_is_not_kept(found):
    """Under the name of the new one it would be refused for ever."""
    found[:] = ["old", "new"]
    kept = cluster_worker._Kept()
    assert kept.open(order("new"))[0].sha256 == "old"
    assert kept.open(order("new"))[0].sha256 == "new"


def test_the_thread_of_a_task_has_the_threads_of_its_worker(found, monkeypatch):
    found[:], seen = ["one"], []
    told = SimpleNamespace(**vars(order("one")), version=__version__, remote=None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: seen.append((n, threading.get_ident())))

    def work():
        with cluster_worker._alone(told):
            seen.append((3, threading.get_ident()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] == seen[1]
