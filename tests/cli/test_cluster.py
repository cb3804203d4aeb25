"""Commands with `--cluster`: nothing but loopback is spoken to, and errors stay one line."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from geoseg_cli.main import main

LOOPBACK = """
import sys
def forbid(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] != "127.0.0.1":
        print("OPENED", event, args, flush=True)
        import os
        os._exit(77)
sys.addaudithook(forbid)
"""
RUN = "from geoseg_cli.main import main\nif __name__ == '__main__': sys.exit(main())"
HOLD = """
import sys, time
from pathlib import Path
from geoseg.geo.output_lock import writing
with writing(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
PREDICT = "predict scene.tif -m model.safetensors -o out.tif --device cpu"


def start(place, words, guard="import sys\n"):
    script = place / "run.py"
    script.write_text(guard + RUN)
    return subprocess.Popen(
        [sys.executable, script, *words.split()], cwd=place, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def run(place, words, guard="import sys\n"):
    process = start(place, words, guard)
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.mark.slow
def test_workers_of_this_machine_speak_on_loopback_alone(place):
    code, out, err = run(place, f"{PREDICT} --cluster local:1 --json", LOOPBACK)
    assert code == 0, out + err
    assert err == "local:1: 1 workers\n"
    assert json.loads(out)[0]["windows"] > 0


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ("--cluster tcp://127.0.0.1:9", 1, "tcp://127.0.0.1:9: no scheduler can be reached there"),
        ("--cluster moon:3", 2, "--cluster: moon:3: is no cluster"),
        ("--cluster local:1 --dry-run", 2, "--cluster: is given together with --dry-run"),
        ("--cluster local:1 --timings", 2, "--timings: tells nothing of workers"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(place, capsys, words, code, text):
    assert main([*PREDICT.split(), *words.split()]) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"Error: {text}")
    assert told.err.count("\n") == 1
    assert not (place / "out.tif").exists()


def test_a_gpu_that_is_not_there_is_told_before_anything_starts(place, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = "predict scene.tif -m model.safetensors -o out.tif --device cuda --cluster local:1"
    assert main(words.split()) == 2
    told = capsys.readouterr().err
    assert told.startswith("Error: --device: ")
    assert told.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes as Linux tells them")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_all_processes(place, number, code):
    """Long before the deadline would end them, which interpreters that end do not hear."""
    process = start(place, f"{PREDICT} --cluster local:2")
    until = time.monotonic() + 120
    # One that Python has to clean up, one that forks, and two workers.
    while len(workers := children(process.pid)) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, out + err
    told = err.replace("local:2: 2 workers\n", "").strip()
    assert told == ("Error: interrupted" if number == signal.SIGINT else "")
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert [name for name in os.listdir(place) if name.startswith(("out", ".geoseg"))] == []


def children(pid):
    with suppress(psutil.Error):
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return []


@pytest.mark.slow
def test_a_full_disk_is_told_and_the_old_output_stays(place):
    (place / "out.tif").write_bytes(b"old")
    before = sorted(os.listdir(place))
    limit = "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
    code, out, err = run(place, f"{PREDICT} --overwrite --cluster local:1", limit)
    assert (code, out) == (1, "")
    told = [line for line in err.splitlines() if not line.startswith("_tiff")]  # libtiff's own
    assert len(told) == 2
    assert told[0] == "local:1: 1 workers"
    assert told[1].startswith("Error: out.tif: could not be written")
    assert (place / "out.tif").read_bytes() == b"old"
    assert sorted(os.listdir(place)) == sorted([*before, "run.py"])


def test_a_second_run_of_one_output_is_refused(place, capsys):
    words = [sys.executable, "-W", "ignore", "-c", HOLD, place / "out.tif"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert main([*PREDICT.split(), "--cluster", "local:1"]) == 2
        other.kill()
    error = capsys.readouterr().err.splitlines()[-1]
    assert f"out.tif: is being written by process {other.pid} since 20" in error
    assert not (place / "out.tif").exists()
