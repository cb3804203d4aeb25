"""Runs commands of geoseg in forks of a process that has imported everything, and kills them.

A fresh interpreter takes seconds to import, in which nothing worth killing happens. Requests and
answers are lines of JSON on stdin and stdout; see `tests/fault_work.py` for the other side.

What a fork costs goes by what its process holds: with torch it is a gigabyte, a fifth of a second
until the fork has ended. So there is a process for what needs torch, and one for all else.
"""

import atexit
import gc
import importlib
import json
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path

PATIENCE = 240.0
"""Seconds that a command may take in all."""


def serve(kind, classes):
    """Run what is asked for.

    `classes` is a class raster to make polygons of once, so that all that is compiled is loaded.
    That starts no thread, which no process that is forked off would have.
    """
    import geoseg
    from geoseg_cli import main

    for module, _ in main.COMMANDS.values():
        importlib.import_module(module)
    if kind == "torch":
        load_torch()
    else:
        importlib.import_module("fault_tasks")
        importlib.import_module("geoseg.evaluate")
        importlib.import_module("geoseg.tile")
    with tempfile.TemporaryDirectory() as folder:
        options = geoseg.VectorizeOptions(simplify=1.0)
        geoseg.vectorize(classes, Path(folder) / "warm.gpkg", options)
    # What is collected is looked at, and so copied into each fork: half a second with torch.
    gc.collect()
    gc.freeze()
    assert ("torch" in sys.modules) == (kind == "torch")
    answer({"ready": True})
    for line in sys.stdin:
        answer(run(**json.loads(line)))


def load_torch():
    import numpy as np

    import geoseg
    from geoseg.engine import sink
    from geoseg.nn.keeper import Keeper

    for name in geoseg.__all__:
        getattr(geoseg, name)
    importlib.import_module("fault_torch_tasks")
    sink.CHECKPOINT_SECONDS = 0
    Keeper.writing_share = np.inf


def answer(content):
    print(json.dumps(content), flush=True)


def run(argv, cwd, log, kill_after=None, number=0, await_file=None, learn=False, **faults):
    """Run a command; signal it after so many seconds if it still runs then.

    With `await_file` the seconds count from when there is such a file. What the command has to
    import is imported here as well with `learn`, for the next one; `faults` go to `work`.
    """
    patience, lesson = PATIENCE, f"{log}.modules" if learn else None
    Path(log).unlink(missing_ok=True)
    # A pipe, for which no limit of the size of files holds.
    source, target = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(source)
        work(argv, cwd, log, target, lesson=lesson, **faults)
    os.close(target)
    said = bytearray()
    listener = threading.Thread(target=listen, args=(source, said), daemon=True)
    listener.start()
    while not Path(log).exists():
        time.sleep(0.001)
    start = began = time.monotonic()
    status, signalled = None, None
    while status is None:
        done, code = os.waitpid(pid, os.WNOHANG)
        now = time.monotonic()
        if done:
            status = os.waitstatus_to_exitcode(code)
        elif await_file is not None and now - start < patience:
            await_file = None if Path(await_file).exists() else await_file
            began = now
            time.sleep(0.01)
        elif signalled is None and kill_after is not None and now - began >= kill_after:
            signalled = now
            send(pid, number)
        elif now - start > patience:
            os.kill(pid, signal.SIGKILL)
            patience += 1e9
        else:
            time.sleep(0.002)
    ended = time.monotonic()
    # Who was killed ends nobody: its workers look for it every five seconds.
    left = left_of(pid, 30 if status == -signal.SIGKILL else 2)
    listener.join(5)
    if learn:
        take_in(Path(lesson).read_text().split())
    return {
        "code": status,
        "seconds": ended - began,
        "ending": None if signalled is None else ended - signalled,
        "left": left,
        "log": said.decode(errors="replace"),
    }


def send(pid, number):
    """Signal a command: Ctrl-C goes to all of its processes, as from a terminal."""
    if number == signal.SIGINT:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
    else:
        os.kill(pid, number)


def take_in(modules):
    """Import what a fork had to: the next ones find it there."""
    for module in modules:
        with suppress(ImportError):  # some are no files, but made by others
            importlib.import_module(module)
    gc.collect()
    gc.freeze()


def listen(source, said):
    """Take what is said until nobody is left to say more."""
    while part := os.read(source, 65536):
        said.extend(part)
    os.close(source)


def work(argv, cwd, log, target, largest=None, fail_at=None, count=None, lesson=None):  # noqa: PLR0917
    """Be the command; never returns.

    `largest` are the bytes that a file may have. From write number `fail_at` on (0: none) to a file
    below `cwd` all fail, and `count` is a file that gets a byte for each; see failing_writes.c.
    The file `lesson` is told which modules were imported.
    """
    from geoseg_cli.main import main

    os.setsid()
    os.chdir(cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    # Those of the server know that they can be sought in, if they can.
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - until the process ends
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    # Python's own handler tells where it was; until `main` has its own, there is nothing to tell.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Path(log).touch()  # it has begun
    sys.argv = ["geoseg", *argv]
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    if fail_at is not None:
        os.environ.update(FAIL_BELOW=f"{cwd}/", FAIL_AT=str(fail_at), FAIL_COUNT=count)
    code, known = 99, set(sys.modules)
    try:
        code = run_task(argv[1]) if argv[0] == "task" else main()
    except SystemExit as stop:
        code = stop.code
    except BaseException as error:  # noqa: BLE001 - told, whatever it is
        os.write(2, f"escaped: {error!r}\n{traceback.format_exc()}".encode())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        threading._shutdown()  # as the interpreter does in the end
        atexit._run_exitfuncs()
        if lesson is not None:
            Path(lesson).write_text(" ".join(name for name in sys.modules if name not in known))
        os._exit(code)


def run_task(name):
    """Do one of the tasks of writers, and tell an error as the command line does."""
    from geoseg.errors import GeosegError

    tasks = importlib.import_module(
        "fault_torch_tasks" if "torch" in sys.modules else "fault_tasks"
    )
    try:
        tasks.TASKS[name]()
    except GeosegError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def left_of(session, seconds):
    """Numbers of processes of a session that live so long after its first one has ended."""
    deadline = time.monotonic() + seconds
    while True:
        living = [
            pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if lives(pid, session)
        ]
        if not living or time.monotonic() > deadline:
            return living
        time.sleep(0.01)


def lives(pid, session):
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "ZX" and int(fields[3]) == session


if __name__ == "__main__":
    serve(*sys.argv[1:])
