"""Whoever is killed while a run folder is made or cleared can begin there again."""

from types import SimpleNamespace

import pytest
from small_land import configure_land

from geoseg.errors import OutputError
from geoseg.nn import run_folder
from geoseg.nn.run_folder import BUNDLE, CONFIG, check_run, open_run


class KilledError(BaseException):
    """Stands for the end of a process, after which nothing is cleaned up."""


@pytest.fixture
def config(tmp_path):
    return configure_land(tmp_path / "land")


@pytest.mark.parametrize("left", [[], [".geoseg-0123abcd-4711-0.toml", ".geoseg-keep-ab.lock"]])
def test_hidden_files_of_who_was_killed_make_no_folder_anothers(tmp_path, config, left):
    run = tmp_path / "run"
    run.mkdir()
    for name in left:
        (run / name).write_text("")
    check_run(run, config, resume=False, overwrite=False)
    check_run(run, config, resume=False, overwrite=True)


def test_a_folder_of_other_things_is_refused_still(tmp_path, config):
    for name in (".geoseg-0123abcd-4711-0.toml", "letter.txt"):
        (tmp_path / name).write_text("")
    with pytest.raises(OutputError, match="not empty"):
        check_run(tmp_path, config, resume=False, overwrite=False)
    with pytest.raises(OutputError, match=r"holds other things, no config\.toml"):
        check_run(tmp_path, config, resume=False, overwrite=True)


def fill(run):
    for name in (CONFIG, BUNDLE, "metrics.csv", "run.log", "checkpoints/last.ckpt"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("old")


@pytest.mark.parametrize("last", [BUNDLE, "metrics.csv", "run.log", "checkpoints", CONFIG])
def test_who_is_killed_while_an_old_run_is_replaced_may_replace_it(
    tmp_path, config, monkeypatch, last
):
    """The process ends as it is about to remove, or to write, what `last` names."""
    run = tmp_path / "run"
    fill(run)
    unlink, remove = type(run).unlink, run_folder.shutil.rmtree

    def check(path):
        if path.name == last:
            raise KilledError

    def checked_unlink(path, **more):
        check(path)
        unlink(path, **more)

    def checked_remove(path, **more):
        check(path)
        remove(path, **more)

    def checked_publish(path):
        check(path)
        raise AssertionError("it is to be killed before")

    monkeypatch.setattr(type(run), "unlink", checked_unlink)
    monkeypatch.setattr(run_folder.shutil, "rmtree", checked_remove)
    monkeypatch.setattr(run_folder, "publish", checked_publish)
    setup = SimpleNamespace(process=SimpleNamespace(is_first=True), config=config)
    with pytest.raises(KilledError):
        open_run(run, setup, resume=False)
    monkeypatch.undo()
    check_run(run, config, resume=False, overwrite=True)
