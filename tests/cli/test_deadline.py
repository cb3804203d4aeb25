"""Signals end the process soon, even where the main thread or an exception does not hear them."""

import signal
import subprocess
import sys
import time

import pytest

DRIVER = """
import multiprocessing, sys, time
import click
from geoseg.geo import outputs
from geoseg.geo.outputs import publish, publish_folder
from geoseg_cli import main

HOW, FOLDER = sys.argv[1:]

def deaf():
    import torch
    torch.set_num_threads(1)
    big = torch.rand(6000, 6000, dtype=torch.float64)
    print("waiting", flush=True)
    for _ in range(100):
        big @ big

def swallowing():
    print("waiting", flush=True)
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def own_listener():
    import signal
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    print("waiting", flush=True)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        time.sleep(0.1)

def cleaning():
    def dawdle(path):
        print("waiting", flush=True)
        time.sleep(60)

    outputs.remove_temporary_folder = dawdle
    raise ZeroDivisionError

@click.command()
def command():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True)
    child.start()
    with publish(f"{FOLDER}/a.txt") as one, publish_folder(f"{FOLDER}/b") as two:
        one.write_text("half")
        (two / "c.txt").write_text("half")
        globals()[HOW]()

main.COMMANDS.clear()
main.COMMANDS["fake"] = ("fake_module", "")
sys.modules["fake_module"] = type(sys)("fake_module")
sys.modules["fake_module"].command = command
sys.argv = ["geoseg", "fake"]
sys.exit(main.main())
"""


def start(how, folder):
    words = [sys.executable, "-W", "ignore", "-c", DRIVER, how, str(folder)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "waiting\n"
    time.sleep(0.3)
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("how", ["deaf", "swallowing"])
def test_nobody_hears_it(tmp_path, how, number, code):
    process = start(how, tmp_path)
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert time.monotonic() - began < 6  # two seconds, and a busy machine
    assert (out, err) == ("", "Error: interrupted\n" if number == signal.SIGINT else "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_something_is_removed_leaves_nothing(tmp_path, number, code):
    process = start("cleaning", tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert (out, err.strip()) == ("", "Error: interrupted" if number == signal.SIGINT else "")
    assert list(tmp_path.iterdir()) == []


def test_who_listens_is_left_alone(tmp_path):
    process = start("own_listener", tmp_path)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b"]
