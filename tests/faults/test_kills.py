"""Every command that writes, killed at moments all over its work: whole outputs, or none."""

import csv
import io
import json
import random
import signal
from itertools import product
from typing import NamedTuple

import pytest
import torch
from fault_work import JOBS, SIGNALS, hidden, visible
from safetensors.torch import load

from geoseg_cli.deadline import GRACE

pytestmark = pytest.mark.slow

KILLS = 50
"""Of each command."""

CHAIN = 3
"""So many kills in a row meet what the one before has left; then a run is let end."""

PROMISED = 2.0
"""Seconds in which a job ends after Ctrl-C or SIGTERM."""

SLACK = 4.0
"""Seconds more on a machine that other tests keep busy."""


class Undisturbed(NamedTuple):
    files: dict
    seconds: float


@pytest.fixture
def undisturbed(server, tmp_path):
    """What a command does that nobody kills, and how long that takes when all is loaded."""

    def run(name):
        folders = [tmp_path / place / name for place in ("first", "second")]
        for folder in folders:
            folder.mkdir(parents=True)
        first, second = (server.run(JOBS[name], folder, learn=True) for folder in folders)
        assert (first.code, second.code) == (0, 0), first.log + second.log
        return Undisturbed(visible(folders[1]), second.seconds)

    return run


def moments(name, seconds):
    """Seconds from the start of a job, and signals: random, but spread over all of its work."""
    draw = random.Random(name)
    parts = draw.sample(range(KILLS), KILLS)
    numbers = [list(SIGNALS)[place % len(SIGNALS)] for place in range(KILLS)]
    return [((p + draw.random()) / KILLS * seconds, n) for p, n in zip(parts, numbers, strict=True)]


def check_end(answer, number):
    """A job that was signalled ends as it should, soon, without a word too much or a child."""
    assert answer.left == [], "processes were left behind"
    assert "Traceback" not in answer.log
    if answer.code == 0:
        return  # it was done by then
    if answer.code == -number and not answer.log:
        return  # it had not begun
    assert answer.code == SIGNALS[number], answer.log
    if number != signal.SIGKILL:
        assert answer.ending < PROMISED + SLACK, answer.log
    if number == signal.SIGINT:
        assert answer.log.splitlines()[-1] == "Error: interrupted"


@pytest.mark.parametrize("name", ["tile", "vectorize", "relabel", "evaluate", "export"])
def test_killed_jobs_leave_whole_outputs_or_none(name, server, undisturbed, tmp_path):
    expected, seconds = undisturbed(name)
    folder = tmp_path / "killed"
    folder.mkdir()
    for place, (moment, number) in enumerate(moments(name, seconds), start=1):
        before, was_there = set(hidden(folder)), bool(visible(folder))
        words = JOBS[name] + (" --overwrite" if was_there else "")
        answer = server.run(words, folder, kill_after=moment, number=number)
        check_end(answer, number)
        found = visible(folder)
        assert {path: expected[path] for path in found} == found
        if name in {"tile", "relabel"}:
            assert found in ({}, expected), "a folder appears as a whole"
        assert found or not was_there, "an output was lost"
        # Who cannot clean up in time, on a machine that is busy, is ended: the next one does it.
        if number != signal.SIGKILL and answer.ending is not None and answer.ending < GRACE:
            assert set(hidden(folder)) <= before, answer
        if place % CHAIN == 0 or place == KILLS:
            done = server.run(f"{JOBS[name]} --overwrite", folder)
            assert done.code == 0, done.log
            found = visible(folder)
            assert found == expected
            assert hidden(folder) == []
            if place % 2:
                for path in sorted(folder.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()


def test_killed_predictions_are_resumed_to_the_same_bytes(server, undisturbed, tmp_path):
    expected, seconds = undisturbed("predict")
    folder, resumed, words = tmp_path / "0", 0, f"{JOBS['predict']} --resume"
    for place, (moment, number) in enumerate(moments("predict", seconds), start=1):
        folder.mkdir(exist_ok=True)
        answer = server.run(words, folder, kill_after=moment, number=number)
        check_end(answer, number)
        found = visible(folder)
        assert {path: expected[path] for path in found} == found
        # The next run goes on with it: one of the chain, or the last.
        resumed += any(path.endswith(".journal") for path in hidden(folder))
        if place % CHAIN == 0:
            done = server.run(words, folder)
            assert done.code == 0, done.log
            assert visible(folder) == expected
            assert hidden(folder) == []
            folder = tmp_path / str(place)
    assert resumed, "no run was killed where there was something to go on with"


def test_killed_trainings_are_resumed_to_the_same_weights(server, undisturbed, tmp_path):
    expected, seconds = undisturbed("train")
    expected = {path.partition("/")[2]: content for path, content in expected.items()}
    folder = tmp_path / "0"
    for place, (moment, number) in enumerate(moments("train", seconds), start=1):
        folder.mkdir(exist_ok=True)
        begun = (folder / "out" / "config.toml").is_file()
        words = JOBS["train"] + (" --resume" if begun else "")
        answer = server.run(words, folder, kill_after=moment, number=number)
        check_end(answer, number)
        check_run(folder / "out", expected)
        if place % CHAIN == 0:
            begun = (folder / "out" / "config.toml").is_file()
            words = JOBS["train"] + (" --resume" if begun else "")
            done = server.run(words, folder)
            assert done.code == 0, done.log
            found = check_run(folder / "out", expected)
            assert {path for path in expected if "events" not in path} <= found.keys()
            assert weights(found["model.safetensors"]) == weights(expected["model.safetensors"])
            assert rows(found["metrics.csv"]) == rows(expected["metrics.csv"])
            assert steps(found["checkpoints/last.ckpt"]) == steps(expected["checkpoints/last.ckpt"])
            assert hidden(folder) == []
            folder = tmp_path / str(place)


@pytest.mark.parametrize(
    ("when", "number"),
    [
        *product(["they start"], SIGNALS),
        # SIGTERM at that time: `test_two_processes_that_are_stopped_go_on_alike`.
        ("they train", signal.SIGINT),
        ("they train", signal.SIGKILL),
    ],
)
def test_processes_that_train_together_end_together(server, inputs, tmp_path, number, when):
    text = (inputs / "train.toml").read_text().replace("epochs = 3", "epochs = 3000")
    (tmp_path / "train.toml").write_text(text.replace("devices = 1", "devices = 2"))
    folder = tmp_path / "work"
    folder.mkdir()
    moment = {"kill_after": 3.0}
    if when == "they train":
        moment = {"kill_after": 0.5, "await_file": str(folder / "out" / "metrics.csv")}
    answer = server.run("train ../train.toml -o out", folder, number=number, **moment)
    check_end(answer, number)
    assert answer.code != 0, "it was not stopped"


@pytest.mark.parametrize("number", SIGNALS)
def test_workers_that_load_end_with_their_training(server, inputs, tmp_path, number):
    text = (inputs / "train.toml").read_text().replace("epochs = 3", "epochs = 3000")
    assert "cache_mb = 1024" in text and "workers = 1" in text
    # What fits into memory is loaded without workers.
    (tmp_path / "train.toml").write_text(text.replace("cache_mb = 1024", "cache_mb = 0"))
    folder = tmp_path / "work"
    folder.mkdir()
    begun = str(folder / "out" / "metrics.csv")
    words = "train ../train.toml -o out"
    answer = server.run(words, folder, kill_after=0.1, number=number, await_file=begun)
    check_end(answer, number)
    assert answer.code != 0, "it was not stopped"


def check_run(run, expected):
    """Each file of a run folder can be read; returns them all."""
    found = visible(run) if run.is_dir() else {}
    for path, content in found.items():
        if path.endswith(".ckpt"):
            assert "state_dict" in torch.load(io.BytesIO(content), weights_only=True)
        elif path.endswith(".safetensors"):
            load(content)
        elif path.endswith(".csv"):
            assert all(
                None not in row.values() for row in csv.DictReader(io.StringIO(content.decode()))
            )
        elif path.endswith(".json"):
            json.loads(content)
        elif path.endswith(".toml"):
            assert content == expected[path]
        elif path.endswith(".png"):
            assert content.endswith(b"IEND\xaeB`\x82")
    return found


def weights(content):
    return {key: tensor.tolist() for key, tensor in load(content).items()}


def steps(content):
    """How far a checkpoint is, its weights, and the state of its optimizer."""
    checkpoint = torch.load(io.BytesIO(content), weights_only=True)
    (optimizer,) = checkpoint["optimizer_states"]
    found = {**checkpoint["state_dict"]}
    found |= {(k, n): v for k, state in optimizer["state"].items() for n, v in state.items()}
    values = {key: torch.as_tensor(value).tolist() for key, value in found.items()}
    return checkpoint["global_step"], values


def rows(content):
    found = list(csv.DictReader(io.StringIO(content.decode())))
    of_the_clock = ("seconds", "time/", "samples_per_second")
    return [{k: v for k, v in row.items() if not k.startswith(of_the_clock)} for row in found]
