"""Files with flipped, cut, doubled and overwritten bytes, and workers that meet them."""

import contextlib
import gc
import io
import logging
import multiprocessing
import os
import random
import resource
import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path

from geoseg_cli.main import main

MOST_BYTES = 1 << 30
"""By which a worker may grow over what it had when it began."""

MOST_SECONDS = 100
"""For one file; a tenth of one is usual, but the first compiles what traces polygons."""

FINE_CODES = {0, 1, 2}
_EXTREMES = (b"\xff" * 4, b"\0" * 8, b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0\0\0\x80")


@dataclass(frozen=True)
class Target:
    """A good file that is spoilt, and the command that then meets it."""

    file: str
    """Its path within the folder of good files."""

    words: str
    """The command, which writes `out*` if anything."""


def mutate(content, chance):
    """Spoil bytes in one of six ways; headers, at either end, oftener than the rest."""
    data = bytearray(content)
    way = chance.randrange(6)
    if way == 0:
        return bytes(data[: chance.randrange(len(data))])
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        at = _place(len(data), chance)
        if way in {1, 2}:
            data[at] ^= 1 << chance.randrange(8)
        elif way == 3:
            data[at] = chance.randrange(256)
        elif way == 4:
            extreme = chance.choice(_EXTREMES)
            data[at : at + len(extreme)] = extreme
        else:
            start = _place(len(data), chance)
            data[at:at] = data[start : start + chance.randrange(1, 64)]
    return bytes(data)


def _place(length, chance):
    near = min(length, 600)
    return chance.choice(
        (chance.randrange(length), chance.randrange(near), length - 1 - chance.randrange(near))
    )


def meet(good, work, target, seed):
    """Spoil a file and run its command; what is wrong with the answer, or nothing."""
    whole = (good / target.file).read_bytes()
    (work / target.file).write_bytes(mutate(whole, random.Random(f"{target.file} {seed}")))
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([*target.words.split(), "-q"])
    except BaseException:  # noqa: BLE001 - whatever it is, it is told
        return traceback.format_exc()
    finally:
        (work / target.file).write_bytes(whole)
    told = err.getvalue()
    if code not in FINE_CODES or "Traceback" in told or "defect of geoseg" in told:
        return f"exit {code}: {told}"
    if code == 1 and "out of memory" in told:
        return told
    left = [path for path in work.iterdir() if path.name.startswith(("out", ".geoseg"))]
    kept = [path for path in left if path.name.startswith(".geoseg-keep")]  # for --resume
    problem = f"exit {code} left {left}" if code and len(left) > len(kept) else ""
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return problem


def work_off(good, folder, tasks, sender):
    """Meet one spoilt file after the other; each is told before and after."""
    os.chdir(folder)
    logging.disable(logging.CRITICAL)
    with open(os.devnull, "w") as silence:
        os.dup2(silence.fileno(), 2)  # what libraries print
    begun, kinds = None, set()
    for target, seed in tasks:
        sender.send(("begin", target.file, seed, ""))
        problem = meet(good, folder, target, seed)
        if target.file not in kinds:
            kinds.add(target.file)
            gc.freeze()  # the libraries that it loaded: `predict` would look for garbage in them
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if begun is None:
            begun = peak  # the first one loads the libraries
        if not problem and peak - begun > MOST_BYTES:
            problem, begun = f"grew by {(peak - begun) >> 20} MiB", peak
        sender.send(("end", target.file, seed, problem))
    sender.send(("done", "", 0, ""))


def fuzz(good, folder, tasks):
    """Give tasks to one worker after the other, a new one where one crashed or hung.

    Returns:
        File, seed and problem of all that went wrong.
    """
    context = multiprocessing.get_context("spawn")
    waiting, problems = list(tasks), []
    while waiting:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        receiver, sender = context.Pipe(duplex=False)
        worker = context.Process(target=work_off, args=(good, folder, waiting, sender))
        worker.start()
        sender.close()
        done, problem = _follow(receiver, problems)
        if problem:
            target, seed = waiting[done]
            worker.join(1 if problem == "crashed" else 0)
            problems.append((target.file, seed, f"{problem} (exit code {worker.exitcode})"))
            done += 1
        worker.kill()
        worker.join()
        waiting = waiting[done:]
    return problems


def _follow(receiver, problems):
    """How many tasks a worker has ended, and whether it hung or crashed in the next."""
    done = 0
    while True:
        try:
            if not receiver.poll(MOST_SECONDS + 60 * (done == 0)):
                return done, "hung"
            what, file, seed, problem = receiver.recv()
        except EOFError:
            return done, "crashed"
        if what == "done":
            return done, ""
        if what == "end":
            done += 1
            if problem:
                problems.append((file, seed, problem))


def spoilt_file(good: Path, file: str, seed: int, to: Path):
    """Write a spoilt file again, to look into what was found."""
    to.write_bytes(mutate((good / file).read_bytes(), random.Random(f"{file} {seed}")))
