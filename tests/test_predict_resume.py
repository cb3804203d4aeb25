"""A stopped prediction that is gone on with gives the bytes of one that never stopped."""

import dataclasses
import os
import shutil
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from noise_scenes import write_model, write_scene
from stopped_runs import Stop
from torch_threads import one_thread

from geoseg.engine import parts, sink
from geoseg.errors import OutputError, WorkError
from geoseg.geo.cog import RasterWriter, partial_path
from geoseg.predict import PredictOptions, predict

SHAPE = 1700, 300
FP32 = PredictOptions(precision="fp32", device="cpu", backend="torch", blend="hann")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Noise with a hole in it, so that batches do not end where rows of windows do."""
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    return write_scene(path, SHAPE, np.s_[200:700, :170], seed=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Convolutions with random weights: their rounding is what must not change."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    return write_model(path, "linknet", encoder_depth=3)


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def options_for(folder, **changes):
    return dataclasses.replace(
        FP32, probabilities=folder / "p.tif", prob_dtype="float32", **changes
    )


def narrow_panels(monkeypatch):
    monkeypatch.setattr(sink, "BLOCK", 128)
    monkeypatch.setattr(parts, "BLOCK", 128)
    monkeypatch.setattr(parts, "panel_width", lambda *_: 128)


PANELS = {"max_memory": 1}


@pytest.fixture(scope="module")
def once(tmp_path_factory, scene, bundle):
    """What never stopped, by whether it went by panels: the folder, and what was told."""
    made = {}
    for panels in (False, True):
        folder = tmp_path_factory.mktemp("once")
        with pytest.MonkeyPatch.context() as patch:
            if panels:
                narrow_panels(patch)
            options = options_for(folder, **(PANELS if panels else {}))
            [result] = predict(scene, bundle, folder / "c.tif", options)
        made[panels] = folder, result
    return made


@pytest.mark.parametrize("rows", [600, 1100, 1690])
@pytest.mark.parametrize("changes", [{}, PANELS], ids=["whole", "panels"])
def test_stopped_run_goes_on_to_the_same_bytes(
    tmp_path, monkeypatch, scene, bundle, once, rows, changes
):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    if changes:
        narrow_panels(monkeypatch)
    twice = tmp_path
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, twice / "c.tif", options_for(twice, **changes), progress=Stop(rows))
    assert not (twice / "c.tif").exists()
    assert hidden(twice)
    resumed = options_for(twice, resume=True, **changes)
    [result] = predict(scene, bundle, twice / "c.tif", resumed)
    whole, told = once[bool(changes)]
    assert content(twice) == content(whole)
    assert result.pixels == told.pixels
    assert (result.windows, result.skipped) == (told.windows, told.skipped)


@pytest.mark.parametrize("place", ["__enter__", "__exit__"])
def test_nothing_is_written_when_rasters_are_closed(tmp_path, monkeypatch, scene, bundle, place):
    """A signal may come as the writing of a scene begins, or as its end is about to be awaited."""
    whole, close, closed = getattr(sink.Sink, place), RasterWriter.abort, []

    def interrupted(self, *error):
        if place == "__enter__":
            whole(self)
        raise KeyboardInterrupt

    def watched(self):
        closed.append([each for each in threading.enumerate() if each.name == "geoseg-writer"])
        close(self)

    monkeypatch.setattr(sink.Sink, place, interrupted)
    monkeypatch.setattr(RasterWriter, "abort", watched)
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, tmp_path / "c.tif", FP32)
    assert closed == [[]]


def test_overwriting_makes_the_same_bytes(tmp_path, scene, bundle, once):
    whole, told = once[False]
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "c.tif").write_bytes(b"older")
    options = options_for(tmp_path, overwrite=True)
    [again] = predict(scene, bundle, tmp_path / "c.tif", options)
    assert content(tmp_path) == content(whole)
    assert (again.windows, again.skipped) == (told.windows, told.skipped)


def test_run_that_is_finished_is_left_alone(tmp_path, scene, bundle):
    options = options_for(tmp_path, resume=True)
    [first] = predict(scene, bundle, tmp_path / "c.tif", options)
    made = (tmp_path / "c.tif").stat().st_mtime_ns
    [second] = predict(scene, bundle, tmp_path / "c.tif", options)
    assert (tmp_path / "c.tif").stat().st_mtime_ns == made
    assert second.windows == 0
    assert second.pixels == first.pixels
    assert second.runtime == first.runtime


def test_result_of_other_settings_is_not_taken_for_finished(tmp_path, scene, bundle):
    predict(scene, bundle, tmp_path / "c.tif", FP32)
    other = dataclasses.replace(FP32, resume=True, blend="mean")
    with pytest.raises(OutputError, match="already exists"):
        predict(scene, bundle, tmp_path / "c.tif", other)


@pytest.mark.parametrize("change", ["settings", "scene", "rasters", "second raster", "journal"])
def test_what_does_not_fit_is_begun_anew(
    tmp_path, monkeypatch, caplog, scene, bundle, once, change
):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    scene = shutil.copy(scene, tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, folder / "c.tif", options_for(folder), progress=Stop(1100))
    changes = {}
    if change == "settings":
        changes = {"blend": "mean"}
    elif change == "scene":
        os.utime(scene, ns=(1, 1))
    elif change == "rasters":
        for path in folder.glob(".*.tif"):
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif change == "second raster":
        partial_path(folder / "p.tif").unlink()
    else:
        for path in folder.glob(".*.journal"):
            path.write_bytes(b"[]\n")
    caplog.clear()
    resumed = options_for(folder, resume=True, **changes)
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, folder / "c.tif", resumed, progress=Stop(100))
    assert not [path for path in folder.iterdir() if path.suffix == ".tif" and path.stem in "cp"]
    predict(scene, bundle, folder / "c.tif", resumed)
    assert not hidden(folder)
    if change != "journal":
        assert "begins anew" in caplog.text
    fresh, _ = once[False]
    if changes:
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        predict(scene, bundle, fresh / "c.tif", options_for(fresh, **changes))
    assert content(folder) == content(fresh)


def test_run_without_resume_begins_anew_and_leaves_nothing_hidden(
    tmp_path, monkeypatch, scene, bundle
):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, folder / "c.tif", FP32, progress=Stop(1100))
    [result] = predict(scene, bundle, folder / "c.tif", FP32)
    assert result.windows > 50
    assert not hidden(folder)


def test_early_stop_leaves_nothing(tmp_path, scene, bundle):
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, folder / "c.tif", FP32, progress=Stop(100))
    assert not list(folder.iterdir())


def test_resume_replaces_no_file_of_others(tmp_path, monkeypatch, scene, bundle):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    (tmp_path / "p.tif").write_bytes(b"precious")
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, tmp_path / "c.tif", FP32, progress=Stop(1100))
    with pytest.raises(OutputError, match=r"p\.tif: already exists"):
        predict(scene, bundle, tmp_path / "c.tif", options_for(tmp_path, resume=True))
    assert (tmp_path / "p.tif").read_bytes() == b"precious"


def test_resume_makes_polygons_that_are_missing_and_leaves_those_that_are_there(
    tmp_path, scene, bundle
):
    predict(scene, bundle, tmp_path / "c.tif", FP32)
    options = dataclasses.replace(FP32, resume=True, polygons=tmp_path / "p.gpkg")
    made = (tmp_path / "c.tif").stat().st_mtime_ns
    predict(scene, bundle, tmp_path / "c.tif", options)
    drawn = (tmp_path / "p.gpkg").read_bytes()
    predict(scene, bundle, tmp_path / "c.tif", options)
    assert (tmp_path / "p.gpkg").read_bytes() == drawn
    assert (tmp_path / "c.tif").stat().st_mtime_ns == made


def test_no_raster_is_published_before_all_are_checked(tmp_path, monkeypatch, scene, bundle):
    folder = tmp_path / "out"
    folder.mkdir()
    verify = RasterWriter._verify

    def fail_for_probabilities(self, finished):
        if self.path.name == "p.tif":
            raise WorkError(self.path, "does not read back as written")
        verify(self, finished)

    monkeypatch.setattr(RasterWriter, "_verify", fail_for_probabilities)
    with pytest.raises(WorkError, match=r"p\.tif"):
        predict(scene, bundle, folder / "c.tif", options_for(folder))
    assert not list(folder.iterdir())


def test_resized_scene_is_gone_on_with(tmp_path, monkeypatch, scene, bundle):
    monkeypatch.setattr(sink, "CHECKPOINT_SECONDS", 0)
    whole, twice = tmp_path / "whole", tmp_path / "twice"
    whole.mkdir()
    twice.mkdir()
    predict(scene, bundle, whole / "c.tif", options_for(whole, mode="resize"))
    options = options_for(twice, mode="resize")
    with pytest.raises(KeyboardInterrupt):
        predict(scene, bundle, twice / "c.tif", options, progress=Stop(1200))
    assert hidden(twice)
    predict(scene, bundle, twice / "c.tif", options_for(twice, mode="resize", resume=True))
    assert content(twice) == content(whole)


def test_interrupt_while_the_writer_is_waited_for_ends_it_first(tmp_path, monkeypatch):
    """Nobody writes into a raster that is closed already."""
    from geoseg.engine.fetch import fetch
    from geoseg.engine.parts import Part
    from geoseg.engine.pipeline import Counts
    from geoseg.engine.timings import Timings

    busy = []

    class Writer:
        profile = SimpleNamespace(dtype="uint8")

        def write(self, data, window):
            busy.append(True)
            time.sleep(0.3)
            busy.append(False)

    part = Part((0, 512), (0, 4), (512, 512), Counts())
    one = sink.Sink([Writer()], [255], [part], classes=(0,), journal=None, timings=Timings())
    calls = []
    join = one._thread.join

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 1:
            time.sleep(0.1)
            raise KeyboardInterrupt
        join(*arguments)

    monkeypatch.setattr(one._thread, "join", interrupted)
    with pytest.raises(KeyboardInterrupt), one:
        one.put(0, [fetch(torch.zeros(1, 512, 4, dtype=torch.uint8))], np.ones((512, 4), bool))
    assert busy == [True, False]
    assert not one._thread.is_alive()
