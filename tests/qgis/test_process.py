"""The command is heard, ended when that is wished, and leaves no process behind."""

import os
import sys
import time

import pytest

from geoseg_qgis import process
from geoseg_qgis.environment import NotFoundError
from geoseg_qgis.messages import Advance, Note


class Ear:
    def __init__(self, cancel_at=None):
        self.messages, self.cancel_at = [], cancel_at

    def tell(self, message):
        self.messages.append(message)

    def is_cancelled(self):
        return self.cancel_at is not None and len(self.messages) >= self.cancel_at


def run(code, ear=None, **environ):
    words = [sys.executable, "-c", "import json, os, sys, time, signal\n" + code]
    return process.run(words, os.environ | environ, ear or Ear())


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_told_and_printed():
    ear = Ear()
    code = (
        "for n in (1, 2): print(json.dumps(dict(event='progress', task='t', done=n, total=2, "
        "unit='u')), file=sys.stderr)\n"
        "print('näh', file=sys.stderr)\n"
        "print(os.environ['X'], os.getcwd(), repr(sys.stdin.read()))\n"
    )
    outcome = run(code, ear, X="é", PYTHONIOENCODING="utf-8")
    assert ear.messages == [
        Advance("t", 1, 2, "u"),
        Advance("t", 2, 2, "u"),
        Note("näh", "plain"),
    ]
    assert outcome == process.Outcome(0, f"é {os.getcwd()} ''\n", "", False)


def test_much_on_both_streams_does_not_block():
    outcome = run("for n in range(20000): print('x' * 50); print('y' * 50, file=sys.stderr)")
    assert (outcome.exit_code, len(outcome.output)) == (0, 20000 * 51)


@pytest.mark.parametrize(
    ("code", "exit_code", "error"),
    [
        ("sys.stderr.write('Error: a: is bad.\\n'); sys.exit(2)", 2, "a: is bad."),
        ("sys.stderr.write('no such module\\n'); sys.exit(1)", 1, "no such module"),
        ("sys.exit(3)", 3, "no reason was told"),
        ("os.kill(os.getpid(), 9)", -9, "ended by signal 9, perhaps as the memory did not suffice"),
        ("raise ValueError('odd')", 1, "ValueError: odd"),
    ],
)
def test_failures(code, exit_code, error):
    outcome = run(code)
    assert (outcome.exit_code, outcome.error) == (exit_code, error)
    assert not outcome.was_cancelled


def test_cancelling_ends_the_command_and_its_children(tmp_path):
    code = (
        "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "def end(*_):\n"
        f"    open({str(tmp_path / 'cleaned')!r}, 'w').close(); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    started = time.monotonic()
    outcome = run(code, Ear(cancel_at=1))
    assert (outcome.was_cancelled, outcome.exit_code, outcome.error) == (True, 143, "")
    assert time.monotonic() - started < 20
    assert (tmp_path / "cleaned").exists()
    pids = (tmp_path / "pids").read_text().split()
    assert not [pid for pid in pids if is_running(pid)]


def test_a_stubborn_command_is_killed(monkeypatch):
    monkeypatch.setattr(process, "GRACE_SECONDS", 0.3)
    code = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    outcome = run(code, Ear(cancel_at=1))
    assert (outcome.was_cancelled, outcome.exit_code) == (True, -9)


def test_a_child_that_holds_the_streams_open_is_not_waited_for():
    code = (
        "import subprocess\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('done')\n"
    )
    started = time.monotonic()
    outcome = run(code)
    assert (outcome.exit_code, outcome.output) == (0, "done\n")
    assert time.monotonic() - started < 20


def test_a_listener_that_fails_ends_the_command(tmp_path):
    class Deaf(Ear):
        def tell(self, message):
            raise RuntimeError

    code = (
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(RuntimeError):
        run(code, Deaf())
    assert not is_running((tmp_path / "pid").read_text())


def test_what_cannot_be_started_is_told(tmp_path):
    with pytest.raises(NotFoundError, match="cannot be started"):
        process.run([str(tmp_path / "none")], os.environ, Ear())
